/* version_driver.c: reads lines with one version or two, and says what version.c knows of them. */
#include "version.h"

#include <stdio.h>
#include <string.h>

int main(void)
{
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        char *second = strchr(line, ' ');
        if (!second) {
            printf("%d\n", version_is(line));
            continue;
        }
        *second++ = '\0';
        int order = version_compare(line, second);
        printf("%d\n", (order > 0) - (order < 0));
    }
    return 0;
}
