/* yaml_reader.c: see yaml_reader.h. */
#include "yaml/yaml_reader.h"

#include <string.h>

int yaml_reader_refuse(const struct yaml_reader *reader, const char *what)
{
    return failed(reader->failure, "line %zu: %s", reader->number, what);
}

char *yaml_reader_take_line(struct yaml_reader *reader)
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

void yaml_reader_advance(struct yaml_reader *reader)
{
    while ((reader->line = yaml_reader_take_line(reader)) != NULL) {
        reader->indent = strspn(reader->line, " ");
        char first = reader->line[reader->indent];
        if (first && first != '#')
            return;
    }
}

struct json *yaml_reader_new(struct yaml_reader *reader)
{
    if (reader->count < YAML_VALUES)
        return &reader->values[reader->count++];
    yaml_reader_refuse(reader, "too many values");
    return NULL;
}

bool yaml_reader_is_rest(const char *text)
{
    size_t blanks = strspn(text, " ");
    return !text[blanks] || (text[blanks] == '#' && blanks > 0);
}
