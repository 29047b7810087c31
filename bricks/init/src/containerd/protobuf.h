/*
 * protobuf.h: the little of protocol buffers' wire format that containerd's calls need (encoding
 * spec). Memory only.
 */
#ifndef COMPOS_PROTOBUF_H
#define COMPOS_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message being written into memory of fixed size; `overflow` says that it did not fit. */
struct message {
    uint8_t *data;
    size_t size;
    size_t length;
    bool overflow;
};

/* Append a field; an empty text and the number 0 are what a message without the field says. */
void message_bytes(struct message *message, unsigned field, const void *data, size_t length);
void message_text(struct message *message, unsigned field, const char *text);
void message_number(struct message *message, unsigned field, uint64_t value);

/* One field that was read: a number, or bytes inside the message. */
struct message_field {
    unsigned number;
    uint64_t value;
    const uint8_t *data;
    size_t length;
};

/* Reads the next field at *at, which is moved on. 1: there is one; 0: the end; -1: malformed. */
int message_next(const uint8_t *data, size_t length, size_t *at, struct message_field *field);

#endif
