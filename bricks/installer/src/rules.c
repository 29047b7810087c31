/* rules.c: see rules.h. */
#include "rules.h"

#include "base/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "compos.install"

enum { MOST = 64 << 10 };

static int rules_word(char *to, const char *key, const char *value, struct failure *failure)
{
    if (strlen(value) >= RULES_WORD)
        return failed(failure, "%s: longer than %d characters", key, RULES_WORD - 1);
    strcpy(to, value);
    return 0;
}

static int rules_then(struct rules *rules, const char *value, struct failure *failure)
{
    static const char *const names[] = {"wait", "poweroff", "reboot"};
    for (size_t index = 0; index < sizeof names / sizeof *names; index++)
        if (strcmp(value, names[index]) == 0) {
            rules->then = (enum rules_then)index;
            return 0;
        }
    return failed(failure, "then: %.40s is none of wait, poweroff, reboot", value);
}

static int rules_set(struct rules *rules, const char *key, const char *value,
                     struct failure *failure)
{
    if (strcmp(key, "disk") == 0)
        return rules_word(rules->disk, key, value, failure);
    if (strcmp(key, "erase") == 0)
        return rules_word(rules->erase, key, value, failure);
    if (strcmp(key, "then") == 0)
        return rules_then(rules, value, failure);
    if (strcmp(key, "min-size") == 0)
        rules->least = strtoull(value, NULL, 10);
    else if (strcmp(key, "removable") == 0)
        rules->removable = strcmp(value, "yes") == 0;
    else if (strcmp(key, "unattended") == 0)
        rules->unattended = strcmp(value, "yes") == 0;
    else
        return failed(failure, "%.40s is no rule", key);
    return 0;
}

static int rules_read_file(struct rules *rules, char *text, struct failure *failure)
{
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
        char *value = strchr(line, '\t');
        if (!*line)
            continue;
        if (!value)
            return failed(failure, "a rule without a value: %.40s", line);
        *value++ = 0;
        if (rules_set(rules, line, value, failure) < 0)
            return -1;
    }
    return 0;
}

static int rules_read_word(struct rules *rules, char *word, struct failure *failure)
{
    const size_t length = strlen(PREFIX);
    char *value = strchr(word, '=');
    if (strncmp(word, PREFIX, length) != 0 || !value)
        return 0;
    *value++ = 0;
    if (word[length] == '.')
        return rules_set(rules, word + length + 1, value, failure);
    if (word[length])
        return 0;
    if (strcmp(value, "auto") != 0 && strcmp(value, "ask") != 0)
        return failed(failure, PREFIX "=%.40s is neither auto nor ask", value);
    rules->unattended = strcmp(value, "auto") == 0;
    return 0;
}

int rules_read(struct rules *rules, const char *path, const char *cmdline, struct failure *failure)
{
    size_t length;
    *rules = (struct rules){0};
    char *text = file_read(path, MOST, &length);
    if (!text)
        return failed_errno(failure, "%s", path);
    int status = rules_read_file(rules, text, failure);
    free(text);
    if (status < 0)
        return -1;
    text = file_read(cmdline, MOST, &length);
    if (!text)
        return failed_errno(failure, "%s", cmdline);
    for (char *rest = text, *word; status == 0 && (word = strsep(&rest, " \n")) != NULL;)
        status = rules_read_word(rules, word, failure);
    free(text);
    /* Who names the disk that may be erased means that disk. */
    if (status == 0 && !*rules->disk)
        strcpy(rules->disk, rules->erase);
    return status;
}
