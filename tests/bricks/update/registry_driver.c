/* registry_driver.c: what registry.c finds under a name: the blob, the header, the rollout. */
#include "registry.h"

#include <stdio.h>

int main(int count, char *arguments[])
{
    struct registry_bundle bundle;
    struct failure failure = {""};
    if (count != 2)
        return 2;
    if (registry_find(arguments[1], &bundle, &failure) < 0) {
        fprintf(stderr, "%s\n", failure.text);
        return 1;
    }
    printf("%s\n%s\n%s\n", bundle.url, bundle.header, bundle.rollout);
    return 0;
}
