/* spec.c: see spec.h. */
#include "spec.h"

#include "files.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t maximum = (size_t)16 << 20;

/* Where the relative root path stands in the file. */
struct range {
    size_t offset;
    size_t length;
};

static bool read_number(const char *text, size_t *value)
{
    char *end;
    *value = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end;
}

static bool read_range(const struct bundle *bundle, struct range *range)
{
    for (size_t i = 0; i < bundle->count; i++) {
        const char *const *argument = bundle->lines[i].argument;
        if (bundle->lines[i].word == WORD_ROOTPATH)
            return read_number(argument[0], &range->offset) && read_number(argument[1], &range->length);
    }
    return false;
}

/* Whether the range is a whole JSON string, as far as its quotes show. */
static bool holds_string(const char *spec, size_t size, const struct range *range)
{
    if (range->length < 2 || range->length > size || range->offset > size - range->length)
        return false;
    const char *string = spec + range->offset;
    return string[0] == '"' && string[range->length - 1] == '"' && !memchr(string + 1, '"', range->length - 2);
}

static char *replaced(const char *spec, size_t size, const struct range *range, const char *rootfs, size_t *length)
{
    size_t root = strlen(rootfs);
    *length = size - range->length + root + 2;
    char *whole = malloc(*length);
    if (!whole)
        return NULL;
    char *at = mempcpy(whole, spec, range->offset);
    *at++ = '"';
    at = mempcpy(at, rootfs, root);
    *at++ = '"';
    const size_t behind = range->offset + range->length;
    memcpy(at, spec + behind, size - behind);
    return whole;
}

char *spec_read(const struct bundle *bundle, size_t *length, struct failure *failure)
{
    char path[PATH_SIZE];
    struct range range;
    size_t size;
    char *whole = NULL;
    snprintf(path, sizeof path, "%s/config.json", bundle->path);
    char *spec = file_read(path, maximum, &size);
    if (!spec)
        failed_errno(failure, "%s", path);
    else if (!read_range(bundle, &range) || !holds_string(spec, size, &range))
        failed(failure, "the plan's rootpath does not fit %s", path);
    else if (strpbrk(bundle->rootfs, "\"\\\n\t"))
        failed(failure, "%s cannot stand in JSON unescaped", bundle->rootfs);
    else if (!(whole = replaced(spec, size, &range, bundle->rootfs, length)))
        failed_errno(failure, "%s", path);
    free(spec);
    return whole;
}
