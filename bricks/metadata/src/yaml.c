/* yaml.c: see yaml.h. Sections are those of YAML 1.2.2. */
#include "yaml.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 32, MAX_VALUES = 4096 };

/*
 * `line` is the first that has not been used, without blank lines and comments, `indent` its
 * column; an entry that stands behind "- " is a line of its own, further in. Without more, `line`
 * is NULL.
 */
struct yaml_reader {
    char *line;
    char *next;
    size_t indent;
    size_t number;
    struct json *values;
    size_t count;
    struct failure *failure;
};

static int yaml_read_block(struct yaml_reader *reader, struct json *value, int depth);

static int yaml_refuse(const struct yaml_reader *reader, const char *what)
{
    return failed(reader->failure, "line %zu: %s", reader->number, what);
}

/* The line at `next`, with a zero in place of its end. */
static char *yaml_take_line(struct yaml_reader *reader)
{
    char *line = reader->next;
    if (!*line)
        return NULL;
    size_t length = strcspn(line, "\n");
    reader->next = line + length + (line[length] == '\n');
    line[length] = '\0';
    if (length > 0 && line[length - 1] == '\r')
        line[length - 1] = '\0';
    reader->number++;
    return line;
}

static void yaml_advance(struct yaml_reader *reader)
{
    while ((reader->line = yaml_take_line(reader)) != NULL) {
        reader->indent = strspn(reader->line, " ");
        char first = reader->line[reader->indent];
        if (first && first != '#')
            return;
    }
}

static struct json *yaml_new(struct yaml_reader *reader)
{
    if (reader->count < MAX_VALUES)
        return &reader->values[reader->count++];
    yaml_refuse(reader, "too many values");
    return NULL;
}

static void yaml_set(struct json *value, const char *text, size_t length)
{
    value->type = JSON_STRING;
    value->text = text;
    value->length = length;
}

/* Behind a scalar there may be a comment (6.6). */
static bool yaml_is_rest(const char *text)
{
    size_t blanks = strspn(text, " ");
    return !text[blanks] || (text[blanks] == '#' && blanks > 0);
}

/* 7.3.2: '' is an apostrophe; nothing else is special. Decoded in place. */
static int yaml_read_single(struct yaml_reader *reader, char *text, struct json *value)
{
    char *out = text, *begin = text;
    for (char *in = text + 1; *in; in++) {
        if (*in == '\'' && in[1] != '\'') {
            bool rest = yaml_is_rest(in + 1);
            *out = '\0';
            yaml_set(value, begin, (size_t)(out - begin));
            return rest ? 0 : yaml_refuse(reader, "more behind a string");
        }
        in += *in == '\'';
        *out++ = *in;
    }
    return yaml_refuse(reader, "a string without an end");
}

/* 7.3.1: of the escapes, those that have one letter. Decoded in place. */
static int yaml_read_double(struct yaml_reader *reader, char *text, struct json *value)
{
    static const char letters[] = "\"\\/nrt ", meanings[] = "\"\\/\n\r\t ";
    char *out = text, *begin = text;
    for (char *in = text + 1; *in; in++) {
        if (*in == '"') {
            bool rest = yaml_is_rest(in + 1);
            *out = '\0';
            yaml_set(value, begin, (size_t)(out - begin));
            return rest ? 0 : yaml_refuse(reader, "more behind a string");
        }
        if (*in == '\\') {
            const char *letter = *++in ? strchr(letters, *in) : NULL;
            if (!letter)
                return yaml_refuse(reader, "an escape that is not supported");
            *out++ = meanings[letter - letters];
        } else {
            *out++ = *in;
        }
    }
    return yaml_refuse(reader, "a string without an end");
}

/* 7.3.3. What would begin something else is not supported. */
static int yaml_read_plain(struct yaml_reader *reader, char *text, struct json *value)
{
    if (strchr("&*!|>%@`[]{},", *text) || (strchr("-?:", *text) && (!text[1] || text[1] == ' ')))
        return yaml_refuse(reader, "this part of YAML is not supported");
    if (strstr(text, ": "))
        return yaml_refuse(reader, "a colon in a scalar, which needs quotation marks");
    char *comment = strstr(text, " #");
    if (comment)
        *comment = '\0';
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == ' ')
        length--;
    text[length] = '\0';
    yaml_set(value, text, length);
    return 0;
}

/*
 * 8.1.2: a literal block behind "|", "|-" or "|+", whose lines are further in than `parent`. The
 * lines move together, to where the first one begins.
 */
static int yaml_read_literal(struct yaml_reader *reader, const char *header, size_t parent,
                             struct json *value)
{
    char *begin = reader->next, *out = begin, *end = begin;
    size_t indent = 0;
    char chomping = header[1];
    if (!yaml_is_rest(header + 1 + (chomping == '-' || chomping == '+')))
        return yaml_refuse(reader, "this part of YAML is not supported");
    while (*reader->next) {
        size_t blanks = strspn(reader->next, " ");
        bool empty = strchr("\r\n", reader->next[blanks]) != NULL;
        if (!empty && blanks <= parent)
            break;
        if (!empty && indent == 0)
            indent = blanks;
        if (!empty && blanks < indent)
            return yaml_refuse(reader, "a literal block whose lines begin in front of its first");
        const char *line = yaml_take_line(reader);
        size_t length = strlen(line), skip = blanks < indent || indent == 0 ? blanks : indent;
        memmove(out, line + skip, length - skip);
        out += length - skip;
        if (!empty)
            end = out;
        *out++ = '\n';
    }
    /* Clipped to one line end, stripped of all, or kept. */
    size_t length = (size_t)(end - begin);
    if (chomping == '+')
        length = (size_t)(out - begin);
    else if (chomping != '-' && length > 0)
        length++;
    /* There is room for a zero: each line has lost its indentation. */
    if (length > 0)
        begin[length] = '\0';
    yaml_set(value, length > 0 ? begin : "", length);
    yaml_advance(reader);
    return 0;
}

/* A scalar in the rest of a line. */
static int yaml_read_scalar(struct yaml_reader *reader, char *text, size_t parent,
                            struct json *value)
{
    int read;
    if (*text == '|')
        return yaml_read_literal(reader, text, parent, value);
    if (*text == '\'')
        read = yaml_read_single(reader, text, value);
    else if (*text == '"')
        read = yaml_read_double(reader, text, value);
    else
        read = yaml_read_plain(reader, text, value);
    if (read == 0)
        yaml_advance(reader);
    return read;
}

/* What stands behind "key:" in a mapping at column `indent`. */
static int yaml_read_member_value(struct yaml_reader *reader, char *rest, size_t indent,
                                  struct json *value, int depth)
{
    rest += strspn(rest, " ");
    if (*rest && *rest != '#')
        return yaml_read_scalar(reader, rest, indent, value);
    yaml_advance(reader);
    /* 8.2.2: a sequence may stand in the column of its key. */
    bool sequence = reader->line && reader->line[reader->indent] == '-';
    if (reader->line && (reader->indent > indent || (reader->indent == indent && sequence)))
        return yaml_read_block(reader, value, depth);
    value->type = JSON_NULL;
    return 0;
}

static size_t yaml_key_length(const char *text)
{
    size_t length =
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");
    return text[length] == ':' && (!text[length + 1] || text[length + 1] == ' ') ? length : 0;
}

static int yaml_read_mapping(struct yaml_reader *reader, struct json *value, int depth)
{
    struct json **place = &value->first;
    const size_t indent = reader->indent;
    value->type = JSON_OBJECT;
    while (reader->line && reader->indent == indent) {
        char *key = reader->line + indent;
        size_t length = yaml_key_length(key);
        if (length == 0)
            return yaml_refuse(reader, "not a key with a colon");
        key[length] = '\0';
        struct json *member = json_member(value, key) ? NULL : yaml_new(reader);
        if (!member)
            return yaml_refuse(reader, "a key twice, or too many values");
        member->key = key;
        member->key_length = length;
        if (yaml_read_member_value(reader, key + length + 1, indent, member, depth) < 0)
            return -1;
        *place = member;
        place = &member->next;
    }
    return 0;
}

static int yaml_read_sequence(struct yaml_reader *reader, struct json *value, int depth)
{
    struct json **place = &value->first;
    const size_t indent = reader->indent;
    value->type = JSON_ARRAY;
    while (reader->line && reader->indent == indent && reader->line[indent] == '-') {
        char *entry = reader->line + indent + 1;
        struct json *member = yaml_new(reader);
        if (!member)
            return -1;
        size_t blanks = strspn(entry, " ");
        if (blanks == 0 || !entry[blanks] || entry[blanks] == '#')
            return yaml_refuse(reader, "an entry that is not in the line of its dash");
        int read;
        if (yaml_key_length(entry + blanks) > 0 ||
            (entry[blanks] == '-' && entry[blanks + 1] == ' ')) {
            reader->indent = indent + 1 + blanks;
            read = yaml_read_block(reader, member, depth);
        } else {
            read = yaml_read_scalar(reader, entry + blanks, indent, member);
        }
        if (read < 0)
            return -1;
        *place = member;
        place = &member->next;
    }
    return 0;
}

static int yaml_read_block(struct yaml_reader *reader, struct json *value, int depth)
{
    size_t indent = reader->indent;
    if (depth == MAX_DEPTH)
        return yaml_refuse(reader, "too many levels");
    int read = reader->line[indent] == '-' ? yaml_read_sequence(reader, value, depth + 1)
                                           : yaml_read_mapping(reader, value, depth + 1);
    if (read == 0 && reader->line && reader->indent > indent)
        return yaml_refuse(reader, "a line that is too far in");
    return read;
}

struct json *yaml_parse(char *text, size_t length, struct failure *failure)
{
    struct yaml_reader reader = {.next = text, .failure = failure};
    if (memchr(text, '\0', length) || memchr(text, '\t', length)) {
        failed(failure, "a tab or a zero byte");
        return NULL;
    }
    reader.values = calloc(MAX_VALUES, sizeof *reader.values);
    if (!reader.values) {
        failed_errno(failure, "YAML");
        return NULL;
    }
    struct json *root = yaml_new(&reader);
    yaml_advance(&reader);
    int read = 0;
    root->type = JSON_OBJECT;
    if (reader.line)
        read = reader.indent == 0
                   ? yaml_read_block(&reader, root, 0)
                   : yaml_refuse(&reader, "the first key is not in the first column");
    if (read == 0 && (reader.line || root->type != JSON_OBJECT))
        read = yaml_refuse(&reader, "this is no mapping");
    if (read == 0)
        return root;
    free(reader.values);
    return NULL;
}

void yaml_free(struct json *root)
{
    free(root);
}
