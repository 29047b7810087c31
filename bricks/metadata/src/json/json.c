/* json.c: see json.h. */
#include "json/json.h"

#include "json/utf8.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64, MAX_VALUES = 65536 };

struct json_reader {
    char *at;
    char *end;
    const char *begin;
    struct json *values;
    size_t count;
    size_t room;
    struct failure *failure;
};

static int json_read_value(struct json_reader *reader, struct json *value, int depth);

static int json_refuse(struct json_reader *reader, const char *what)
{
    return failed(reader->failure, "%s at byte %zu", what, (size_t)(reader->at - reader->begin));
}

static void json_skip_space(struct json_reader *reader)
{
    while (reader->at < reader->end && memchr(" \t\r\n", *reader->at, 4))
        reader->at++;
}

/* Whether the next byte is `wanted`, which is then passed. */
static bool json_take(struct json_reader *reader, char wanted)
{
    if (reader->at == reader->end || *reader->at != wanted)
        return false;
    reader->at++;
    return true;
}

static struct json *json_new(struct json_reader *reader)
{
    if (reader->count < reader->room)
        return &reader->values[reader->count++];
    json_refuse(reader, "too many values");
    return NULL;
}

static int json_hexadecimal(struct json_reader *reader, uint32_t *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        if (reader->at == reader->end || !isxdigit((unsigned char)*reader->at))
            return json_refuse(reader, "not four hexadecimal digits");
        int digit = tolower((unsigned char)*reader->at++);
        *unit = *unit * 16 + (uint32_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    }
    return 0;
}

/* Behind "\u". The six bytes of an escape hold the three of its UTF-8, twelve hold four. */
static int json_read_unicode(struct json_reader *reader, char **out)
{
    enum { REPLACEMENT = 0xfffd };
    uint32_t code, low;
    if (json_hexadecimal(reader, &code) < 0)
        return -1;
    if (code >= 0xd800 && code < 0xdc00 && reader->end - reader->at >= 6 &&
        memcmp(reader->at, "\\u", 2) == 0) {
        char *second = reader->at;
        reader->at += 2;
        if (json_hexadecimal(reader, &low) < 0)
            return -1;
        if (low >= 0xdc00 && low < 0xe000)
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        else
            reader->at = second;
    }
    *out = utf8_put(*out, code >= 0xd800 && code < 0xe000 ? REPLACEMENT : code);
    return 0;
}

static int json_read_escape(struct json_reader *reader, char **out)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (json_take(reader, 'u'))
        return json_read_unicode(reader, out);
    const char *letter =
        reader->at < reader->end && *reader->at ? strchr(letters, *reader->at) : NULL;
    if (!letter)
        return json_refuse(reader, "unknown escape");
    reader->at++;
    *(*out)++ = meanings[letter - letters];
    return 0;
}

/* Decoded where it stands: it never gets longer, and the quotation mark leaves room for a zero. */
static int json_read_string(struct json_reader *reader, const char **text, size_t *length)
{
    if (!json_take(reader, '"'))
        return json_refuse(reader, "no string");
    char *out = reader->at;
    *text = out;
    while (!json_take(reader, '"')) {
        if (reader->at == reader->end)
            return json_refuse(reader, "a string without an end");
        if ((unsigned char)*reader->at < ' ')
            return json_refuse(reader, "a control character in a string");
        if (!json_take(reader, '\\'))
            *out++ = *reader->at++;
        else if (json_read_escape(reader, &out) < 0)
            return -1;
    }
    *out = '\0';
    *length = (size_t)(out - *text);
    return 0;
}

static int json_read_members(struct json_reader *reader, struct json *parent, char end, int depth)
{
    bool named = end == '}';
    struct json **place = &parent->first;
    json_skip_space(reader);
    if (json_take(reader, end))
        return 0;
    do {
        struct json *member = json_new(reader);
        if (!member)
            return -1;
        json_skip_space(reader);
        if (named) {
            if (json_read_string(reader, &member->key, &member->key_length) < 0)
                return -1;
            json_skip_space(reader);
            if (!json_take(reader, ':'))
                return json_refuse(reader, "no colon");
        }
        if (json_read_value(reader, member, depth) < 0)
            return -1;
        *place = member;
        place = &member->next;
        json_skip_space(reader);
    } while (json_take(reader, ','));
    return json_take(reader, end) ? 0 : json_refuse(reader, "neither a comma nor an end");
}

static bool json_take_digits(struct json_reader *reader)
{
    const char *begin = reader->at;
    while (reader->at < reader->end && isdigit((unsigned char)*reader->at))
        reader->at++;
    return reader->at > begin;
}

static int json_read_number(struct json_reader *reader, struct json *value)
{
    value->type = JSON_NUMBER;
    value->text = reader->at;
    json_take(reader, '-');
    bool valid = json_take(reader, '0') || json_take_digits(reader);
    if (valid && json_take(reader, '.'))
        valid = json_take_digits(reader);
    if (valid && (json_take(reader, 'e') || json_take(reader, 'E'))) {
        if (!json_take(reader, '-'))
            json_take(reader, '+');
        valid = json_take_digits(reader);
    }
    value->length = (size_t)(reader->at - value->text);
    return valid ? 0 : json_refuse(reader, "no value");
}

static bool json_take_word(struct json_reader *reader, struct json *value, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return false;
    value->text = reader->at;
    value->length = length;
    reader->at += length;
    return true;
}

static int json_read_value(struct json_reader *reader, struct json *value, int depth)
{
    if (depth == MAX_DEPTH)
        return json_refuse(reader, "too many levels");
    json_skip_space(reader);
    if (json_take(reader, '{')) {
        value->type = JSON_OBJECT;
        return json_read_members(reader, value, '}', depth + 1);
    }
    if (json_take(reader, '[')) {
        value->type = JSON_ARRAY;
        return json_read_members(reader, value, ']', depth + 1);
    }
    if (reader->at < reader->end && *reader->at == '"') {
        value->type = JSON_STRING;
        return json_read_string(reader, &value->text, &value->length);
    }
    value->type = JSON_BOOLEAN;
    if (json_take_word(reader, value, "true") || json_take_word(reader, value, "false"))
        return 0;
    value->type = JSON_NULL;
    return json_take_word(reader, value, "null") ? 0 : json_read_number(reader, value);
}

struct json *json_parse(char *text, size_t length, struct failure *failure)
{
    /* A value takes at least a byte and what stands between it and the next. */
    size_t room = length / 2 + 1 < MAX_VALUES ? length / 2 + 1 : MAX_VALUES;
    struct json_reader reader = {
        .at = text, .end = text + length, .begin = text, .room = room, .failure = failure};
    reader.values = calloc(room, sizeof *reader.values);
    if (!reader.values) {
        failed_errno(failure, "JSON");
        return NULL;
    }
    int read = json_read_value(&reader, json_new(&reader), 0);
    json_skip_space(&reader);
    if (read == 0 && reader.at < reader.end)
        read = json_refuse(&reader, "more behind the end");
    if (read == 0)
        return reader.values;
    free(reader.values);
    return NULL;
}

void json_free(struct json *root)
{
    free(root);
}

const struct json *json_member(const struct json *object, const char *key)
{
    const struct json *found = NULL;
    size_t length = strlen(key);
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    for (const struct json *member = object->first; member; member = member->next)
        if (member->key_length == length && memcmp(member->key, key, length) == 0)
            found = member;
    return found;
}

const struct json *json_string(const struct json *root, const char *path)
{
    char name[64];
    while (root && *path) {
        size_t length = strcspn(path, ".");
        if (length >= sizeof name)
            return NULL;
        memcpy(name, path, length);
        name[length] = '\0';
        root = json_member(root, name);
        path += length + (path[length] == '.');
    }
    return root && root->type == JSON_STRING ? root : NULL;
}
