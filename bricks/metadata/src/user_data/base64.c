/* base64.c: see base64.h. */
#include "user_data/base64.h"

#include <stdlib.h>
#include <string.h>

char *base64_decode(const char *text, size_t length, size_t *size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0, count = 0;
    size_t padding = 0, taken = 0;
    char *bytes = malloc(length / 4 * 3 + 4);
    *size = 0;
    for (size_t i = 0; bytes && i < length; i++) {
        if (memchr(" \t\r\n", text[i], 4))
            continue;
        taken++;
        if (text[i] == '=' && taken % 4 != 1 && taken % 4 != 2) {
            padding++;
            continue;
        }
        const char *digit = memchr(digits, text[i], 64);
        if (!digit || padding > 0) {
            free(bytes);
            return NULL;
        }
        bits = bits << 6 | (unsigned)(digit - digits);
        count += 6;
        if (count >= 8) {
            count -= 8;
            bytes[(*size)++] = (char)(bits >> count & 0xff);
        }
    }
    if (bytes && taken % 4 == 0)
        return bytes;
    free(bytes);
    return NULL;
}
