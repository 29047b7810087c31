/* yaml_scalar.c: see yaml_scalar.h. */
#include "yaml/yaml_scalar.h"

#include "json/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void yaml_scalar_set(struct json *value, const char *text, size_t length)
{
    value->type = JSON_STRING;
    value->text = text;
    value->length = length;
}

/* 7.3.2: '' is an apostrophe; nothing else is special. */
static char *yaml_scalar_single(struct yaml_reader *reader, char *text, struct json *value)
{
    char *out = text, *begin = text;
    for (char *in = text + 1; *in; in++) {
        if (*in == '\'' && in[1] != '\'') {
            *out = '\0';
            yaml_scalar_set(value, begin, (size_t)(out - begin));
            return in + 1;
        }
        in += *in == '\'';
        *out++ = *in;
    }
    yaml_reader_refuse(reader, "a string without an end");
    return NULL;
}

/* Behind the backslash at `in`: the last byte of the escape, or NULL. It stands for fewer bytes. */
static char *yaml_scalar_escape(char *in, char **out)
{
    static const char letters[] = "\"\\/bfnrt ", meanings[] = "\"\\/\b\f\n\r\t ";
    const char *letter = *in ? strchr(letters, *in) : NULL;
    if (letter) {
        *(*out)++ = meanings[letter - letters];
        return in;
    }
    char digits[5] = "";
    size_t count = *in == 'x' ? 2 : *in == 'u' ? 4 : 0;
    if (count == 0 || strspn(in + 1, "0123456789abcdefABCDEF") < count)
        return NULL;
    memcpy(digits, in + 1, count);
    uint32_t code = (uint32_t)strtoul(digits, NULL, 16);
    if (code == 0 || (code >= 0xd800 && code < 0xe000))
        return NULL;
    *out = utf8_put(*out, code);
    return in + count;
}

/* 7.3.1: of the escapes, those that JSON has, and "\x". */
static char *yaml_scalar_double(struct yaml_reader *reader, char *text, struct json *value)
{
    char *out = text, *begin = text;
    for (char *in = text + 1; *in; in++) {
        if (*in == '"') {
            *out = '\0';
            yaml_scalar_set(value, begin, (size_t)(out - begin));
            return in + 1;
        }
        if (*in != '\\') {
            *out++ = *in;
        } else if (!(in = yaml_scalar_escape(in + 1, &out))) {
            yaml_reader_refuse(reader, "an escape that is not supported");
            return NULL;
        }
    }
    yaml_reader_refuse(reader, "a string without an end");
    return NULL;
}

char *yaml_scalar_quoted(struct yaml_reader *reader, char *text, struct json *value)
{
    return *text == '"' ? yaml_scalar_double(reader, text, value)
                        : yaml_scalar_single(reader, text, value);
}

bool yaml_scalar_is_plain(const char *text)
{
    return *text && !strchr("&*!|>%@`[]{},#\t", *text) &&
           !(strchr("-?:", *text) && (!text[1] || text[1] == ' '));
}

/* One line of a plain scalar, in `*length` bytes; 1 if a comment ends it, 0 if not. */
static int yaml_scalar_plain_line(struct yaml_reader *reader, const char *text, size_t *length)
{
    if (strstr(text, ": ") || strchr(text, '\t'))
        return yaml_reader_refuse(reader,
                                  "a colon or tab in a scalar, which needs quotation marks");
    const char *comment = strstr(text, " #");
    *length = comment ? (size_t)(comment - text) : strlen(text);
    while (*length > 0 && text[*length - 1] == ' ')
        --*length;
    if (*length > 0 && text[*length - 1] == ':')
        return yaml_reader_refuse(reader, "a colon in a scalar, which needs quotation marks");
    return comment ? 1 : 0;
}

/* 7.3.3: lines that are further in than `parent` go on with it, behind a space. */
static int yaml_scalar_plain(struct yaml_reader *reader, char *text, size_t parent,
                             struct json *value)
{
    size_t length;
    if (!yaml_scalar_is_plain(text))
        return yaml_reader_refuse(reader, "this part of YAML is not supported");
    int ended = yaml_scalar_plain_line(reader, text, &length);
    char *out = text + length;
    while (ended == 0) {
        size_t blanks = strspn(reader->next, " ");
        if (blanks <= parent || strchr("#\r\n", reader->next[blanks]))
            break;
        char *line = yaml_reader_take_line(reader) + blanks;
        ended = yaml_scalar_plain_line(reader, line, &length);
        if (ended < 0)
            break;
        *out++ = ' ';
        memmove(out, line, length);
        out += length;
    }
    if (ended < 0)
        return -1;
    *out = '\0';
    yaml_scalar_set(value, text, (size_t)(out - text));
    return 0;
}

/* Whether a block's line is neither empty nor further in than the first (8.1.3). */
static bool yaml_scalar_folds(const char *line)
{
    return *line != '\n' && *line != ' ' && *line != '\t';
}

/* 8.1.3: in `text`, of literal lines, a single line end between two plain lines is a space. */
static size_t yaml_scalar_fold(char *text, size_t length)
{
    char *out = text;
    const char *end = text + length;
    for (const char *line = text; line < end;) {
        const char *line_end = memchr(line, '\n', (size_t)(end - line));
        bool plain = yaml_scalar_folds(line);
        size_t count = (size_t)((line_end ? line_end : end) - line), breaks = 0;
        memmove(out, line, count);
        out += count;
        line += count;
        while (line < end && *line == '\n') {
            breaks++;
            line++;
        }
        bool folded = plain && line < end && yaml_scalar_folds(line);
        if (folded && breaks == 1)
            *out++ = ' ';
        else
            for (size_t i = folded ? 1 : 0; i < breaks; i++)
                *out++ = '\n';
    }
    return (size_t)(out - text);
}

/*
 * 8.1.2 and 8.1.3: a literal or folded block behind "|" or ">", which "-" or "+" may follow. The
 * lines move together, to where the first one begins.
 */
static int yaml_scalar_block(struct yaml_reader *reader, const char *header, size_t parent,
                             struct json *value)
{
    char *begin = reader->next, *out = begin, *end = begin;
    size_t indent = 0, leading = 0;
    char style = header[0], chomping = header[1];
    if (!yaml_reader_is_rest(header + 1 + (chomping == '-' || chomping == '+')))
        return yaml_reader_refuse(reader, "this part of YAML is not supported");
    while (*reader->next) {
        size_t blanks = strspn(reader->next, " ");
        bool blank = !reader->next[blanks] || strchr("\r\n", reader->next[blanks]);
        bool empty = blank && (indent == 0 || blanks <= indent);
        if (!blank && blanks <= parent)
            break;
        if (!blank && indent == 0)
            indent = blanks;
        if (indent == 0)
            leading = blanks > leading ? blanks : leading;
        if (!empty && (blanks < indent || leading > indent))
            return yaml_reader_refuse(reader, "a block whose first line is not its outermost");
        bool ends = strchr(reader->next, '\n') != NULL;
        const char *line = yaml_reader_take_line(reader);
        size_t length = strlen(line), skip = blanks < indent || indent == 0 ? blanks : indent;
        memmove(out, line + skip, length - skip);
        out += length - skip;
        if (!empty)
            end = out;
        if (ends)
            *out++ = '\n';
    }
    /* Clipped to one line end, stripped of all, or kept. */
    size_t length = (size_t)(end - begin);
    size_t kept = (size_t)(out - begin) - length;
    if (style == '>')
        length = yaml_scalar_fold(begin, length);
    if (length == 0 && kept > 0 && chomping == '+')
        return yaml_reader_refuse(reader, "a block of empty lines");
    if (length == 0) {
        yaml_scalar_set(value, "", 0);
        return 0;
    }
    if (chomping != '+' && kept > 0)
        kept = chomping == '-' ? 0 : 1;
    /* There is room, for a zero as well: each line has lost its indentation. */
    memset(begin + length, '\n', kept);
    length += kept;
    begin[length] = '\0';
    yaml_scalar_set(value, begin, length);
    return 0;
}

int yaml_scalar_read(struct yaml_reader *reader, char *text, size_t parent, struct json *value)
{
    int read;
    if (*text == '|' || *text == '>') {
        read = yaml_scalar_block(reader, text, parent, value);
    } else if (*text == '\'' || *text == '"') {
        const char *end = yaml_scalar_quoted(reader, text, value);
        read = end ? 0 : -1;
        if (end && !yaml_reader_is_rest(end))
            read = yaml_reader_refuse(reader, "more behind a string");
    } else {
        read = yaml_scalar_plain(reader, text, parent, value);
    }
    if (read == 0)
        yaml_reader_advance(reader);
    return read;
}
