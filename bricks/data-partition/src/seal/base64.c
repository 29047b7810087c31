/* base64.c: see base64.h. */
#include "seal/base64.h"

#include <stdint.h>
#include <string.h>

static const char base64_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_write(const void *bytes, size_t size, char *text)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < size; i += 3) {
        unsigned three = (unsigned)at[i] << 16;
        three |= i + 1 < size ? (unsigned)at[i + 1] << 8 : 0;
        three |= i + 2 < size ? at[i + 2] : 0;
        *text++ = base64_letters[three >> 18];
        *text++ = base64_letters[three >> 12 & 63];
        *text++ = i + 1 < size ? base64_letters[three >> 6 & 63] : '=';
        *text++ = i + 2 < size ? base64_letters[three & 63] : '=';
    }
    *text = 0;
}

ssize_t base64_read(const char *text, size_t length, void *bytes, size_t most)
{
    unsigned char *out = bytes;
    size_t size = 0;
    uint32_t held = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n' || text[i] == '\r')
            continue;
        const char *found = text[i] ? strchr(base64_letters, text[i]) : NULL;
        if (!found)
            break;
        held = held << 6 | (uint32_t)(found - base64_letters);
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        if (size == most)
            return -1;
        out[size++] = (unsigned char)(held >> bits);
    }
    return (ssize_t)size;
}
