/* yaml_flow.c: see yaml_flow.h. Sections are those of YAML 1.2.2. */
#include "yaml/yaml_flow.h"

#include "yaml/yaml_scalar.h"

#include <string.h>

static int yaml_flow_value(struct yaml_reader *reader, char **at, struct json *value, int depth);

/* Passes blanks, line ends and comments; what is there then is never a zero byte. */
static int yaml_flow_skip(struct yaml_reader *reader, char **at)
{
    for (;;) {
        char *text = *at + strspn(*at, " ");
        if (*text && !(*text == '#' && text > *at)) {
            *at = text;
            return 0;
        }
        yaml_reader_advance(reader);
        if (!reader->line)
            return yaml_reader_refuse(reader, "a collection without an end");
        *at = reader->line;
    }
}

/* Where a line of a plain scalar ends: at what a collection is made of, at a comment. */
static char *yaml_flow_plain_end(char *text)
{
    while (*text && !strchr(",[]{}\t", *text) &&
           !(*text == ':' && (!text[1] || strchr(" ,]}", text[1]))) &&
           !(*text == ' ' && text[1] == '#'))
        text++;
    return text;
}

/*
 * 7.3.3, in a collection; further lines are joined with a space. It is moved to the byte in front
 * of it, which has been used, so that there is room for a zero byte behind it.
 */
static int yaml_flow_plain(struct yaml_reader *reader, char **at, struct json *value)
{
    char *text = *at, *begin = text - 1, *out = begin;
    if (!yaml_scalar_is_plain(text) || *text == ':')
        return yaml_reader_refuse(reader, "this part of YAML is not supported");
    for (;;) {
        char *end = yaml_flow_plain_end(text);
        size_t length = (size_t)(end - text);
        while (length > 0 && text[length - 1] == ' ')
            length--;
        if (memchr(text, '?', length))
            return yaml_reader_refuse(reader, "a question mark, which needs quotation marks here");
        memmove(out, text, length);
        out += length;
        *at = end;
        size_t blanks = strspn(reader->next, " ");
        if (*end || strchr(",[]{}:#?-\"'&*!|>%@`\t\r\n", reader->next[blanks]))
            break;
        *out++ = ' ';
        text = yaml_reader_take_line(reader) + blanks;
    }
    *out = '\0';
    yaml_scalar_set(value, begin, (size_t)(out - begin));
    return 0;
}

static int yaml_flow_scalar(struct yaml_reader *reader, char **at, struct json *value)
{
    if (**at != '\'' && **at != '"')
        return yaml_flow_plain(reader, at, value);
    *at = yaml_scalar_quoted(reader, *at, value);
    return *at ? 0 : -1;
}

/* 7.4.2: "key: value". */
static int yaml_flow_pair(struct yaml_reader *reader, char **at, const struct json *parent,
                          struct json *member, int depth)
{
    struct json key;
    size_t line = reader->number;
    if (yaml_flow_scalar(reader, at, &key) < 0)
        return -1;
    *at += strspn(*at, " ");
    if (**at != ':' || reader->number != line)
        return yaml_reader_refuse(reader, "a key without a value");
    ++*at;
    if (json_member(parent, key.text))
        return yaml_reader_refuse(reader, "a key twice");
    member->key = key.text;
    member->key_length = key.length;
    return yaml_flow_skip(reader, at) < 0 ? -1 : yaml_flow_value(reader, at, member, depth);
}

static int yaml_flow_members(struct yaml_reader *reader, char **at, struct json *value, char end,
                             int depth)
{
    struct json **place = &value->first;
    for (;;) {
        if (yaml_flow_skip(reader, at) < 0)
            return -1;
        if (**at == end) {
            ++*at;
            return 0;
        }
        struct json *member = yaml_reader_new(reader);
        if (!member)
            return -1;
        int read = end == '}' ? yaml_flow_pair(reader, at, value, member, depth)
                              : yaml_flow_value(reader, at, member, depth);
        if (read < 0 || yaml_flow_skip(reader, at) < 0)
            return -1;
        *place = member;
        place = &member->next;
        if (**at == ',')
            ++*at;
        else if (**at != end)
            return yaml_reader_refuse(reader, "neither a comma nor an end of a collection");
    }
}

static int yaml_flow_value(struct yaml_reader *reader, char **at, struct json *value, int depth)
{
    bool mapping = **at == '{';
    if (!mapping && **at != '[')
        return yaml_flow_scalar(reader, at, value);
    if (depth >= YAML_DEPTH)
        return yaml_reader_refuse(reader, "too many levels");
    value->type = mapping ? JSON_OBJECT : JSON_ARRAY;
    ++*at;
    return yaml_flow_members(reader, at, value, mapping ? '}' : ']', depth + 1);
}

int yaml_flow_read(struct yaml_reader *reader, char *text, struct json *value, int depth)
{
    if (yaml_flow_value(reader, &text, value, depth) < 0)
        return -1;
    if (!yaml_reader_is_rest(text))
        return yaml_reader_refuse(reader, "more behind a collection");
    yaml_reader_advance(reader);
    return 0;
}
