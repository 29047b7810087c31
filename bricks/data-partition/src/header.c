/*
 * header.c: see header.h.
 *
 * Source: cryptsetup, docs/on-disk-format-luks2.pdf, 3 (the JSON).
 */
#include "header.h"

#include "disk/tool.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TEXT = 1 << 20, TOOL_SECONDS = 60 };

int header_read(const char *node, struct header *header, struct failure *failure)
{
    const char *const arguments[] = {"cryptsetup", "luksDump", "--dump-json-metadata", node, NULL};
    header->root = NULL;
    header->text = malloc(MOST_TEXT);
    if (!header->text)
        return failed_errno(failure, "%s", node);
    if (tool_capture(arguments, TOOL_SECONDS, header->text, MOST_TEXT, failure) == 0)
        header->root = json_parse(header->text, strlen(header->text), failure);
    if (header->root)
        return 0;
    header_free(header);
    return -1;
}

void header_free(struct header *header)
{
    json_free(header->root);
    free(header->text);
    *header = (struct header){NULL, NULL};
}

const struct json *header_token(const struct header *header, const struct json *before,
                                const char *type)
{
    const struct json *tokens = json_member(header->root, "tokens");
    if (!tokens || tokens->type != JSON_OBJECT)
        return NULL;
    for (const struct json *at = before ? before->next : tokens->first; at; at = at->next) {
        const struct json *found = json_string(at, "type");
        if (found && strcmp(found->text, type) == 0)
            return at;
    }
    return NULL;
}

int header_unused(const struct header *header, const char *section)
{
    const struct json *all = json_member(header->root, section);
    for (int number = 0;; number++) {
        bool is_used = false;
        for (const struct json *at = all ? all->first : NULL; at; at = at->next)
            is_used |= at->key && atoi(at->key) == number;
        if (!is_used)
            return number;
    }
}
