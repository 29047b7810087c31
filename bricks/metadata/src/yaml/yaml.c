/* yaml.c: see yaml.h. Block collections; sections are those of YAML 1.2.2. */
#include "yaml/yaml.h"

#include "yaml/yaml_flow.h"
#include "yaml/yaml_reader.h"
#include "yaml/yaml_scalar.h"

#include <stdlib.h>
#include <string.h>

static int yaml_read_block(struct yaml_reader *reader, struct json *value, int depth);

/* Whether an entry of a sequence begins here; "-a" is a scalar or key. */
static bool yaml_is_entry(const char *text)
{
    return *text == '-' && (text[1] == ' ' || !text[1]);
}

/* A scalar or flow collection in the rest of a line. */
static int yaml_read_inline(struct yaml_reader *reader, char *text, size_t parent,
                            struct json *value, int depth)
{
    if (*text == '[' || *text == '{')
        return yaml_flow_read(reader, text, value, depth);
    return yaml_scalar_read(reader, text, parent, value);
}

/* What stands behind "key:" in a mapping at column `indent`. */
static int yaml_read_member_value(struct yaml_reader *reader, char *rest, size_t indent,
                                  struct json *value, int depth)
{
    rest += strspn(rest, " ");
    if (*rest && *rest != '#')
        return yaml_read_inline(reader, rest, indent, value, depth);
    yaml_reader_advance(reader);
    /* 8.2.2: a sequence may stand in the column of its key. */
    bool sequence = reader->line && yaml_is_entry(reader->line + reader->indent);
    if (reader->line && (reader->indent > indent || (reader->indent == indent && sequence)))
        return yaml_read_block(reader, value, depth);
    value->type = JSON_NULL;
    return 0;
}

/* Where the colon behind a key is, which blanks may precede; 0 if there is none. */
static size_t yaml_key_end(const char *text)
{
    size_t length;
    /* 9.1.2 and 9.1.3: marks of documents. */
    if (strncmp(text, "--- ", 4) == 0 || strncmp(text, "... ", 4) == 0)
        return 0;
    if (*text == '"' || *text == '\'') {
        const char marks[] = {*text, '\\', '\0'};
        length = 1 + strcspn(text + 1, marks);
        length = text[length] == *text ? length + 1 : 0;
    } else {
        length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./");
    }
    size_t end = length > 0 ? length + strspn(text + length, " ") : 0;
    return text[end] == ':' && (!text[end + 1] || text[end + 1] == ' ') ? end : 0;
}

static int yaml_read_mapping(struct yaml_reader *reader, struct json *value, int depth)
{
    struct json **place = &value->first;
    const size_t indent = reader->indent;
    value->type = JSON_OBJECT;
    while (reader->line && reader->indent == indent) {
        char *key = reader->line + indent;
        size_t length = yaml_key_end(key);
        if (length == 0)
            return yaml_reader_refuse(reader, "not a key with a colon");
        char *rest = key + length + 1;
        while (key[length - 1] == ' ')
            length--;
        if (*key == '"' || *key == '\'') {
            key++;
            length -= 2;
        }
        key[length] = '\0';
        if (json_member(value, key))
            return yaml_reader_refuse(reader, "a key twice");
        struct json *member = yaml_reader_new(reader);
        if (!member)
            return -1;
        member->key = key;
        member->key_length = length;
        if (yaml_read_member_value(reader, rest, indent, member, depth) < 0)
            return -1;
        *place = member;
        place = &member->next;
    }
    return 0;
}

/* What stands behind the dash of a sequence at column `indent`. */
static int yaml_read_entry(struct yaml_reader *reader, char *entry, size_t indent,
                           struct json *member, int depth)
{
    size_t blanks = strspn(entry, " ");
    char *text = entry + blanks;
    if (blanks == 0 && *entry)
        return yaml_reader_refuse(reader, "no blank behind a dash");
    if (!*text || *text == '#') {
        yaml_reader_advance(reader);
        if (reader->line && reader->indent > indent)
            return yaml_read_block(reader, member, depth);
        member->type = JSON_NULL;
        return 0;
    }
    if (yaml_key_end(text) == 0 && !yaml_is_entry(text))
        return yaml_read_inline(reader, text, indent, member, depth);
    reader->indent = indent + 1 + blanks;
    return yaml_read_block(reader, member, depth);
}

static int yaml_read_sequence(struct yaml_reader *reader, struct json *value, int depth)
{
    struct json **place = &value->first;
    const size_t indent = reader->indent;
    value->type = JSON_ARRAY;
    while (reader->line && reader->indent == indent && reader->line[indent] == '-') {
        struct json *member = yaml_reader_new(reader);
        if (!member ||
            yaml_read_entry(reader, reader->line + indent + 1, indent, member, depth) < 0)
            return -1;
        *place = member;
        place = &member->next;
    }
    return 0;
}

static int yaml_read_block(struct yaml_reader *reader, struct json *value, int depth)
{
    size_t indent = reader->indent;
    char *text = reader->line + indent;
    if (depth == YAML_DEPTH)
        return yaml_reader_refuse(reader, "too many levels");
    int read;
    if (yaml_is_entry(text))
        read = yaml_read_sequence(reader, value, depth + 1);
    else if (*text == '{' || *text == '[')
        read = yaml_flow_read(reader, text, value, depth + 1);
    else
        read = yaml_read_mapping(reader, value, depth + 1);
    if (read == 0 && reader->line && reader->indent > indent)
        return yaml_reader_refuse(reader, "a line that is too far in");
    return read;
}

struct json *yaml_parse(char *text, size_t length, struct failure *failure)
{
    struct yaml_reader reader = {.next = text, .failure = failure};
    if (memchr(text, '\0', length)) {
        failed(failure, "a zero byte");
        return NULL;
    }
    /* It would end a line, too (5.4). */
    for (const char *end = memchr(text, '\r', length); end; end = strchr(end + 1, '\r'))
        if (end[1] != '\n') {
            failed(failure, "a carriage return that ends no line");
            return NULL;
        }
    reader.values = calloc(YAML_VALUES, sizeof *reader.values);
    if (!reader.values) {
        failed_errno(failure, "YAML");
        return NULL;
    }
    struct json *root = yaml_reader_new(&reader);
    yaml_reader_advance(&reader);
    /* 9.1.2: an explicit document; a second one is refused. */
    if (reader.line && strncmp(reader.line, "---", 3) == 0 && yaml_reader_is_rest(reader.line + 3))
        yaml_reader_advance(&reader);
    int read = 0;
    root->type = JSON_OBJECT;
    if (reader.line)
        read = reader.indent == 0
                   ? yaml_read_block(&reader, root, 0)
                   : yaml_reader_refuse(&reader, "the first key is not in the first column");
    if (read == 0 && (reader.line || root->type != JSON_OBJECT))
        read = yaml_reader_refuse(&reader, "this is no mapping");
    if (read == 0)
        return root;
    free(reader.values);
    return NULL;
}

struct json *yaml_parse_copy(const char *bytes, size_t length, char **copy, struct failure *failure)
{
    *copy = malloc(length + 1);
    if (!*copy) {
        failed_errno(failure, "YAML");
        return NULL;
    }
    memcpy(*copy, bytes, length);
    (*copy)[length] = '\0';
    /* JSON has escapes that the YAML here does not know. */
    struct json *root = length > 0 && **copy == '{' ? json_parse(*copy, length, failure) : NULL;
    if (root)
        return root;
    memcpy(*copy, bytes, length);
    return yaml_parse(*copy, length, failure);
}

void yaml_free(struct json *root)
{
    free(root);
}
