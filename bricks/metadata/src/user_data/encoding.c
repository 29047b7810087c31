/* encoding.c: see encoding.h. */
#include "user_data/encoding.h"

#include "result.h"
#include "user_data/base64.h"
#include "user_data/gzip.h"

#include <stdlib.h>
#include <string.h>

bool encoding_named(const char *name, bool *gzip)
{
    static const char *const both[] = {"gz+base64", "gzip+base64", "gz+b64", "gzip+b64"};
    *gzip = false;
    for (size_t i = 0; i < sizeof both / sizeof *both; i++)
        *gzip |= strcmp(name, both[i]) == 0;
    return *gzip || strcmp(name, "b64") == 0 || strcmp(name, "base64") == 0;
}

char *encoding_decode(const char *bytes, size_t length, bool gzip, size_t *size,
                      struct failure *failure)
{
    char *decoded = base64_decode(bytes, length, size);
    if (!decoded)
        failed(failure, "no base64");
    if (!decoded || !gzip)
        return decoded;
    char *plain = gzip_decompress(decoded, *size, MAX_USER_DATA, size, failure);
    free(decoded);
    return plain;
}
