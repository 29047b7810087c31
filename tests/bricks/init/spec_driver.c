/*
 * spec_driver.c: BUNDLE OFFSET LENGTH [SECCOMP-OFFSET PROFILE]: prints the bundle's config.json as
 * a runtime gets it.
 */
#include "base/failure.h"
#include "containers/spec.h"

#include <stdio.h>
#include <stdlib.h>

int main(int count, char *arguments[])
{
    if (count != 4 && count != 6)
        return 2;
    struct plan_line lines[] = {
        {.word = WORD_CONTAINER, .argument = {"name", arguments[1], ""}},
        {.word = WORD_ROOTPATH, .inside = true, .argument = {arguments[2], arguments[3]}},
        {.word = WORD_SECCOMP,
         .inside = true,
         .argument = {arguments[4], count > 4 ? arguments[5] : NULL}},
    };
    const size_t used = count > 4 ? 3 : 2;
    struct plan plan = {.lines = lines, .count = used};
    struct bundle bundle;
    struct failure failure;
    size_t length;
    char *spec = bundle_read(&bundle, &plan, 0, used, &failure) < 0
                     ? NULL
                     : spec_read(&bundle, &length, &failure);
    if (spec)
        fwrite(spec, 1, length, stdout);
    else
        printf("error %s\n", failure.text);
    free(spec);
    return 0;
}
