/* flags.c: a command's options as Go's `flag` package reads them. */
#include "disk/flags.h"

#include <string.h>

static const struct flag *flags_find(const struct flag flags[], const char *name, size_t length)
{
    for (; flags->name; flags++)
        if (strlen(flags->name) == length && strncmp(flags->name, name, length) == 0)
            return flags;
    return NULL;
}

static int flags_switch(const struct flag *flag, const char *value, struct failure *failure)
{
    if (!value || strcmp(value, "true") == 0 || strcmp(value, "1") == 0)
        *flag->on = true;
    else if (strcmp(value, "false") == 0 || strcmp(value, "0") == 0)
        *flag->on = false;
    else
        return failed(failure, "-%s=%s: neither true nor false", flag->name, value);
    return 0;
}

int flags_read(int count, char *const arguments[], const struct flag flags[],
               struct failure *failure)
{
    int index = 1;
    while (index < count && arguments[index][0] == '-' && arguments[index][1]) {
        const char *name = arguments[index++] + 1;
        name += *name == '-';
        if (!*name)
            break;
        const char *equals = strchr(name, '=');
        size_t length = equals ? (size_t)(equals - name) : strlen(name);
        const struct flag *flag = flags_find(flags, name, length);
        if (!flag)
            return failed(failure, "-%s: no such option", name);
        if (flag->on && flags_switch(flag, equals ? equals + 1 : NULL, failure) < 0)
            return -1;
        if (flag->on)
            continue;
        if (!equals && index == count)
            return failed(failure, "-%s needs a value", name);
        *flag->text = equals ? equals + 1 : arguments[index++];
    }
    return index;
}
