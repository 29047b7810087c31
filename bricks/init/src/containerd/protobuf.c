/* protobuf.c: see protobuf.h. */
#include "containerd/protobuf.h"

#include <string.h>

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static void protobuf_put_byte(struct message *message, uint8_t byte)
{
    if (message->length < message->size)
        message->data[message->length++] = byte;
    else
        message->overflow = true;
}

static void protobuf_put_varint(struct message *message, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        protobuf_put_byte(message, (uint8_t)(value | 0x80));
    protobuf_put_byte(message, (uint8_t)value);
}

void message_bytes(struct message *message, unsigned field, const void *data, size_t length)
{
    protobuf_put_varint(message, (uint64_t)field << 3 | BYTES);
    protobuf_put_varint(message, length);
    if (length > message->size - message->length) {
        message->overflow = true;
        return;
    }
    if (length)
        memcpy(message->data + message->length, data, length);
    message->length += length;
}

void message_text(struct message *message, unsigned field, const char *text)
{
    if (*text)
        message_bytes(message, field, text, strlen(text));
}

void message_number(struct message *message, unsigned field, uint64_t value)
{
    if (!value)
        return;
    protobuf_put_varint(message, (uint64_t)field << 3 | VARINT);
    protobuf_put_varint(message, value);
}

static int protobuf_get_varint(const uint8_t *data, size_t length, size_t *at, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && *at < length; shift += 7) {
        uint8_t byte = data[(*at)++];
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return 0;
    }
    return -1;
}

int message_next(const uint8_t *data, size_t length, size_t *at, struct message_field *field)
{
    uint64_t key, size;
    if (*at >= length)
        return 0;
    if (protobuf_get_varint(data, length, at, &key) < 0 || key >> 3 == 0 || key >> 3 > 0x1fffffff)
        return -1;
    *field = (struct message_field){.number = (unsigned)(key >> 3)};
    switch (key & 7) {
    case VARINT:
        return protobuf_get_varint(data, length, at, &field->value) < 0 ? -1 : 1;
    case BYTES:
        if (protobuf_get_varint(data, length, at, &size) < 0 || size > length - *at)
            return -1;
        break;
    case FIXED64:
        size = 8;
        break;
    case FIXED32:
        size = 4;
        break;
    default:
        return -1;
    }
    if (size > length - *at)
        return -1;
    field->data = data + *at;
    field->length = (size_t)size;
    *at += (size_t)size;
    return 1;
}
