/* options.c: see options.h. */
#include "protocol/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void options_refuse(const char *program, const char *argument, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program, argument, what);
    exit(2);
}

static const struct option *options_find(const struct option *options, size_t count,
                                         const char *name, size_t length)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(options[i].name) == length && memcmp(options[i].name, name, length) == 0)
            return &options[i];
    return NULL;
}

static void options_set(const char *program, const struct option *option, const char *value)
{
    char *end;
    if (option->text) {
        *option->text = value;
        return;
    }
    errno = 0;
    long number = strtol(value, &end, 0);
    if (errno || end == value || *end || number < option->least || number > option->most)
        options_refuse(program, option->name, "not a number that is allowed");
    *option->number = number;
}

int options_read(int argument_count, char *arguments[], const struct option *options, size_t count)
{
    int i = 1;
    for (; i < argument_count && arguments[i][0] == '-' && arguments[i][1]; i++) {
        const char *name = arguments[i] + strspn(arguments[i], "-");
        if (!*name)
            return i + 1;
        size_t length = strcspn(name, "=");
        const struct option *option = options_find(options, count, name, length);
        if (!option)
            options_refuse(arguments[0], arguments[i], "unknown option");
        else if (option->flag)
            *option->flag = strcmp(name + length, "=false") != 0;
        else if (name[length] == '=')
            options_set(arguments[0], option, name + length + 1);
        else if (i + 1 < argument_count)
            options_set(arguments[0], option, arguments[++i]);
        else
            options_refuse(arguments[0], arguments[i], "a value is missing");
    }
    return i;
}
