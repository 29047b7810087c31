/* mime.c: see mime.h. */
#include "user_data/mime.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_HEADER = 1024 };

struct mime_reader {
    const char *at;
    const char *end;
};

/* The next line, without its end; false at the end. */
static bool mime_line(struct mime_reader *reader, const char **line, size_t *length)
{
    if (reader->at == reader->end)
        return false;
    const char *end = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
    *line = reader->at;
    *length = (size_t)((end ? end : reader->end) - reader->at);
    reader->at = end ? end + 1 : reader->end;
    if (*length > 0 && (*line)[*length - 1] == '\r')
        --*length;
    return true;
}

/* A header with the lines that belong to it, at most `MAX_HEADER` bytes; 0 behind the last. */
static int mime_header(struct mime_reader *reader, char *header, struct failure *failure)
{
    const char *line;
    size_t length, used = 0;
    if (!mime_line(reader, &line, &length) || length == 0)
        return 0;
    do {
        if (length >= MAX_HEADER - used || memchr(line, '\0', length))
            return failed(failure, "a header is too long, or no text");
        memcpy(header + used, line, length);
        used += length;
    } while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t') &&
             mime_line(reader, &line, &length));
    header[used] = '\0';
    return 1;
}

static const char *mime_value(const char *header, const char *name)
{
    size_t length = strlen(name);
    if (strncasecmp(header, name, length) != 0 || header[length] != ':')
        return NULL;
    return header + length + 1 + strspn(header + length + 1, " \t");
}

bool mime_is_message(const char *bytes, size_t length)
{
    struct mime_reader reader = {bytes, bytes + length};
    char header[MAX_HEADER];
    /* What some programs write in front of the headers. */
    if (length > 5 && memcmp(bytes, "From ", 5) == 0)
        mime_header(&reader, header, &(struct failure){0});
    while (mime_header(&reader, header, &(struct failure){0}) > 0) {
        size_t name = strcspn(header, ": \t");
        if (header[name] != ':' || name == 0)
            return false;
        if (mime_value(header, "MIME-Version"))
            return true;
    }
    return false;
}

/* RFC 2045, 5.1: "multipart/mixed; boundary=..." */
static int mime_read_type(const char *value, struct mime_part *part, struct failure *failure)
{
    size_t length = strcspn(value, "; \t");
    if (length == 0 || length >= MIME_TYPE)
        return failed(failure, "a type is invalid");
    for (size_t i = 0; i < length; i++)
        part->type[i] = (char)tolower((unsigned char)value[i]);
    part->type[length] = '\0';
    for (value += length; (value = strchr(value, ';')) != NULL;) {
        value += 1 + strspn(value + 1, " \t");
        if (strncasecmp(value, "boundary=", 9) != 0)
            continue;
        value += 9;
        bool quoted = *value == '"';
        value += quoted;
        length = strcspn(value, quoted ? "\"" : "; \t");
        if (length == 0 || length >= MIME_BOUNDARY)
            return failed(failure, "a boundary is invalid");
        snprintf(part->boundary, sizeof part->boundary, "%.*s", (int)length, value);
    }
    return 0;
}

/* RFC 2045, 6 */
static int mime_read_encoding(const char *value, struct mime_part *part, struct failure *failure)
{
    static const char *const plain[] = {"7bit", "8bit", "binary"};
    size_t length = strcspn(value, "; \t");
    if (length == 6 && strncasecmp(value, "base64", 6) == 0) {
        part->base64 = true;
        return 0;
    }
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strlen(plain[i]) == length && strncasecmp(value, plain[i], length) == 0)
            return 0;
    return failed(failure, "the encoding %.32s is not supported", value);
}

int mime_read(const char *bytes, size_t length, struct mime_part *part, struct failure *failure)
{
    struct mime_reader reader = {bytes, bytes + length};
    char header[MAX_HEADER];
    int more;
    *part = (struct mime_part){.type = "text/plain"};
    while ((more = mime_header(&reader, header, failure)) > 0) {
        const char *value;
        if ((value = mime_value(header, "Content-Type")))
            more = mime_read_type(value, part, failure);
        else if ((value = mime_value(header, "Content-Transfer-Encoding")))
            more = mime_read_encoding(value, part, failure);
        if (more < 0)
            return -1;
    }
    part->body = reader.at;
    part->length = (size_t)(reader.end - reader.at);
    return more;
}

/* RFC 2046, 5.1.1: 0 for another line, 1 for a boundary, 2 for the last. */
static int mime_boundary(const char *boundary, const char *line, size_t length)
{
    size_t size = strlen(boundary);
    if (length < size + 2 || memcmp(line, "--", 2) != 0 || memcmp(line + 2, boundary, size) != 0)
        return 0;
    line += size + 2;
    length -= size + 2;
    bool last = length >= 2 && memcmp(line, "--", 2) == 0;
    for (size_t i = last ? 2 : 0; i < length; i++)
        if (line[i] != ' ' && line[i] != '\t')
            return 0;
    return last ? 2 : 1;
}

int mime_next(const struct mime_part *whole, size_t *at, const char **bytes, size_t *length)
{
    struct mime_reader reader = {whole->body + *at, whole->body + whole->length};
    const char *line;
    size_t line_length;
    int found = 0;
    while (found == 0 && mime_line(&reader, &line, &line_length))
        found = mime_boundary(whole->boundary, line, line_length);
    if (found != 1)
        return 0;
    *bytes = reader.at;
    *length = (size_t)(reader.end - reader.at);
    while (mime_line(&reader, &line, &line_length))
        if (mime_boundary(whole->boundary, line, line_length) > 0) {
            *length = (size_t)(line - *bytes);
            break;
        }
    *at = (size_t)(*bytes + *length - whole->body);
    /* The line end in front of a boundary belongs to the boundary. */
    if (*length > 0 && (*bytes)[*length - 1] == '\n')
        --*length;
    if (*length > 0 && (*bytes)[*length - 1] == '\r')
        --*length;
    return 1;
}
