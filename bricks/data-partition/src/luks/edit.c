/* edit.c: see edit.h. */
#include "luks/edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void edit_print_string(FILE *out, const char *text, size_t length)
{
    fputc('"', out);
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte < ' ' || byte == '"' || byte == '\\')
            fprintf(out, "\\u%04x", byte);
        else
            fputc(byte, out);
    }
    fputc('"', out);
}

static void edit_print_key(FILE *out, const struct json *value)
{
    if (!value->key)
        return;
    edit_print_string(out, value->key, value->key_length);
    fputc(':', out);
}

static void edit_print(FILE *out, const struct json *value)
{
    const char *between = "";
    if (value->type == JSON_STRING) {
        edit_print_string(out, value->text, value->length);
        return;
    }
    if (value->type != JSON_OBJECT && value->type != JSON_ARRAY) {
        fwrite(value->text, 1, value->length, out);
        return;
    }
    fputc(value->type == JSON_OBJECT ? '{' : '[', out);
    for (const struct json *at = value->first; at; at = at->next) {
        fputs(between, out);
        edit_print_key(out, at);
        edit_print(out, at);
        between = ",";
    }
    fputc(value->type == JSON_OBJECT ? '}' : ']', out);
}

bool edit_drops_token(const struct edit *edit, const struct json *token)
{
    const struct json *type = json_string(token, "type");
    const char *const *at = edit->types;
    if (!type || (edit->stays && token->key && strcmp(token->key, edit->stays) == 0))
        return false;
    while (*at && strcmp(type->text, *at) != 0)
        at++;
    return *at;
}

bool edit_drops_slot(const struct header *header, const struct edit *edit, const char *slot)
{
    const struct json *tokens = json_member(header->root, "tokens");
    for (const struct json *token = tokens ? tokens->first : NULL; token; token = token->next) {
        const struct json *slots = json_member(token, "keyslots");
        const struct json *at = slots && edit_drops_token(edit, token) ? slots->first : NULL;
        for (; at; at = at->next)
            if (at->type == JSON_STRING && strcmp(at->text, slot) == 0)
                return true;
    }
    return false;
}

/* Those members of a section that stay, with `added` behind them. */
static void edit_print_section(FILE *out, const struct header *header, const struct edit *edit,
                               const struct json *section, bool has_slots, const char *added)
{
    const char *between = "";
    fputc('{', out);
    for (const struct json *at = section->first; at; at = at->next) {
        if (!at->key ||
            (has_slots ? edit_drops_slot(header, edit, at->key) : edit_drops_token(edit, at)))
            continue;
        fputs(between, out);
        edit_print_key(out, at);
        edit_print(out, at);
        between = ",";
    }
    if (added)
        fprintf(out, "%s%s", between, added);
    fputc('}', out);
}

/* The slots that a digest is about. */
static void edit_print_list(FILE *out, const struct header *header, const struct edit *edit,
                            const struct json *list)
{
    const char *between = "";
    fputc('[', out);
    for (const struct json *at = list->first; at; at = at->next) {
        if (at->type != JSON_STRING || edit_drops_slot(header, edit, at->text))
            continue;
        fputs(between, out);
        edit_print(out, at);
        between = ",";
    }
    if (edit->slot_text)
        fprintf(out, "%s\"%d\"", between, edit->slot);
    fputc(']', out);
}

static void edit_print_digest(FILE *out, const struct header *header, const struct edit *edit,
                              const struct json *digest)
{
    const char *between = "";
    fputc('{', out);
    for (const struct json *at = digest->first; at; at = at->next) {
        fputs(between, out);
        edit_print_key(out, at);
        if (at->key && strcmp(at->key, "keyslots") == 0)
            edit_print_list(out, header, edit, at);
        else
            edit_print(out, at);
        between = ",";
    }
    fputc('}', out);
}

static void edit_print_digests(FILE *out, const struct header *header, const struct edit *edit,
                               const struct json *digests)
{
    const char *between = "";
    fputc('{', out);
    for (const struct json *at = digests->first; at; at = at->next) {
        fputs(between, out);
        edit_print_key(out, at);
        edit_print_digest(out, header, edit, at);
        between = ",";
    }
    fputc('}', out);
}

char *edit_header(const struct header *header, const struct edit *edit, struct failure *failure)
{
    char *text = NULL;
    size_t size;
    const char *between = "";
    FILE *out = open_memstream(&text, &size);
    if (!out) {
        failed_errno(failure, "the LUKS2 header");
        return NULL;
    }
    fputc('{', out);
    for (const struct json *at = header->root->first; at; at = at->next) {
        fputs(between, out);
        edit_print_key(out, at);
        between = ",";
        if (at->key && strcmp(at->key, "keyslots") == 0)
            edit_print_section(out, header, edit, at, true, edit->slot_text);
        else if (at->key && strcmp(at->key, "tokens") == 0)
            edit_print_section(out, header, edit, at, false, edit->tokens_text);
        else if (at->key && strcmp(at->key, "digests") == 0)
            edit_print_digests(out, header, edit, at);
        else
            edit_print(out, at);
    }
    fputc('}', out);
    if (fclose(out) == 0)
        return text;
    failed_errno(failure, "the LUKS2 header");
    free(text);
    return NULL;
}
