/* ring.c: see ring.h. */
#include "ring.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct ring_line {
    struct timespec time;
    size_t length;
    size_t source_length;
    char bytes[]; /* the source, then the message */
};

static struct ring_line **ring_lines;
static size_t ring_room;
static uint64_t ring_next;

int ring_start(size_t lines)
{
    ring_lines = calloc(lines, sizeof *ring_lines);
    ring_room = lines;
    return ring_lines ? 0 : -1;
}

void ring_add(const char *source, const char *message, size_t length)
{
    size_t source_length = strlen(source);
    struct ring_line *line = malloc(sizeof *line + source_length + length);
    if (!line)
        return;
    clock_gettime(CLOCK_REALTIME, &line->time);
    line->length = length;
    line->source_length = source_length;
    memcpy(line->bytes, source, source_length);
    memcpy(line->bytes + source_length, message, length);
    struct ring_line **place = &ring_lines[ring_next++ % ring_room];
    free(*place);
    *place = line;
}

uint64_t ring_first(void)
{
    return ring_next < ring_room ? 0 : ring_next - ring_room;
}

uint64_t ring_end(void)
{
    return ring_next;
}

/* The length of the UTF-8 sequence at `text`, 0 if there is none (RFC 3629, 4). */
static size_t ring_utf8(const unsigned char *text, size_t length)
{
    static const struct {
        unsigned char mask, lead;
        unsigned least;
    } forms[] = {{0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (size_t form = 0; form < 3; form++) {
        if ((text[0] & forms[form].mask) != forms[form].lead)
            continue;
        unsigned code = text[0] & (unsigned char)~forms[form].mask;
        for (size_t i = 1; i <= form + 1; i++) {
            if (i >= length || (text[i] & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (text[i] & 0x3f);
        }
        bool surrogate = code >= 0xd800 && code < 0xe000;
        return code < forms[form].least || code > 0x10ffff || surrogate ? 0 : form + 2;
    }
    return 0;
}

/* As a JSON string's inside: bytes that are no UTF-8 become U+FFFD. At most six bytes for one. */
static char *ring_escape(char *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        const unsigned char *at = (const unsigned char *)text + i;
        size_t sequence = 1;
        if (*at == '"' || *at == '\\')
            out += sprintf(out, "\\%c", *at);
        else if (*at < ' ' || *at == 0x7f)
            out += sprintf(out, "\\u%04x", *at);
        else if (*at < 0x80)
            *out++ = (char)*at;
        else if ((sequence = ring_utf8(at, length - i)) > 0)
            out = (char *)memcpy(out, at, sequence) + sequence;
        else
            out += sprintf(out, "\\ufffd");
        i += sequence ? sequence : 1;
    }
    return out;
}

char *ring_format(uint64_t number, size_t *length)
{
    const struct ring_line *line = ring_lines[number % ring_room];
    char *text = malloc(128 + 6 * (line->source_length + line->length));
    struct tm utc;
    if (!text)
        return NULL;
    gmtime_r(&line->time.tv_sec, &utc);
    char *out = text + strftime(text, 64, "{\"time\":\"%Y-%m-%dT%H:%M:%S", &utc);
    out += sprintf(out, ".%09ldZ\",\"source\":\"", line->time.tv_nsec);
    out = ring_escape(out, line->bytes, line->source_length);
    out += sprintf(out, "\",\"msg\":\"");
    out = ring_escape(out, line->bytes + line->source_length, line->length);
    out += sprintf(out, "\"}\n");
    *length = (size_t)(out - text);
    return text;
}
