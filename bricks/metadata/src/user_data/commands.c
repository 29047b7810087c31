/* commands.c: see commands.h. */
#include "user_data/commands.h"

#include "config.h"
#include "json/json_value.h"
#include "report.h"
#include "text.h"

#include <string.h>

/* An argument that the shell takes as it is. */
static void commands_quote(struct text *script, const struct json *argument)
{
    text_add(script, "'", 1);
    for (size_t i = 0; i < argument->length; i++)
        text_add(script, argument->text[i] == '\'' ? "'\\''" : argument->text + i,
                 argument->text[i] == '\'' ? 4 : 1);
    text_add(script, "'", 1);
}

/* A string is for the shell, a sequence is a program with its arguments. */
static int commands_add(struct text *script, const struct json *command)
{
    if (json_value_is_scalar(command)) {
        text_add(script, command->text, command->length);
        text_add(script, "\n", 1);
        return 0;
    }
    if (command->type != JSON_ARRAY || !command->first)
        return -1;
    for (const struct json *argument = command->first; argument; argument = argument->next) {
        if (!json_value_is_scalar(argument))
            return -1;
        commands_quote(script, argument);
        text_add(script, argument->next ? " " : "\n", 1);
    }
    return 0;
}

void commands_write(struct result *result, const struct json *root, const char *key)
{
    struct failure failure;
    struct text script = {0};
    const struct json *command = json_value_entries(root, key);
    if (!command)
        return;
    text_format(&script, "#!/bin/sh\n");
    int added = 0;
    for (; command && added == 0; command = command->next)
        added = commands_add(&script, command);
    if (added < 0 || script.failed)
        report("#cloud-config: %s: neither strings nor sequences of strings: left out", key);
    else if (config_write(result->folder, key, script.bytes, script.length, 0700, &failure) < 0)
        report("#cloud-config: %s", failure.text);
    text_free(&script);
}
