/* json_value.c: see json_value.h. */
#include "json/json_value.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool json_value_is_scalar(const struct json *value)
{
    return value && (value->type == JSON_STRING || value->type == JSON_NUMBER ||
                     value->type == JSON_BOOLEAN);
}

int json_value_copy(const struct json *value, char *text, size_t size)
{
    text[0] = '\0';
    if (!json_value_is_scalar(value) || value->length == 0 || value->length >= size)
        return -1;
    for (size_t i = 0; i < value->length; i++)
        if (value->text[i] < ' ' || value->text[i] > '~')
            return -1;
    memcpy(text, value->text, value->length);
    text[value->length] = '\0';
    return 0;
}

int json_value_text(const struct json *object, const char *key, char *text, size_t size)
{
    return json_value_copy(json_member(object, key), text, size);
}

long json_value_number(const struct json *object, const char *key, long least, long most)
{
    char text[16];
    if (json_value_text(object, key, text, sizeof text) < 0 ||
        strspn(text, "0123456789") != strlen(text))
        return -1;
    long number = strtol(text, NULL, 10);
    return number >= least && number <= most ? number : -1;
}

bool json_value_flag(const struct json *object, const char *key, bool usual)
{
    static const char *const words[] = {"true", "yes", "on", "1", "false", "no", "off", "0"};
    char text[8];
    if (json_value_text(object, key, text, sizeof text) < 0)
        return usual;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0)
            return i < 4;
    return usual;
}

const struct json *json_value_entries(const struct json *object, const char *key)
{
    const struct json *array = json_member(object, key);
    return array && array->type == JSON_ARRAY ? array->first : NULL;
}
