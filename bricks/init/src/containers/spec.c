/* spec.c: see spec.h. */
#include "containers/spec.h"

#include "base/failure.h"
#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where the relative root path stands in the file. */
struct range {
    size_t offset;
    size_t length;
};

/* What is put in, and where. */
struct profile {
    size_t offset;
    const char *path; /* NULL: nothing */
    char *text;
    size_t length;
};

static int spec_read_number(const char *text, size_t *value)
{
    char *end;
    *value = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end ? 0 : -1;
}

static const struct plan_line *spec_line_of(const struct bundle *bundle, enum plan_word word)
{
    for (size_t i = 0; i < bundle->count; i++)
        if (bundle->lines[i].word == word)
            return &bundle->lines[i];
    return NULL;
}

static int spec_read_range(const struct bundle *bundle, struct range *range)
{
    const struct plan_line *line = spec_line_of(bundle, WORD_ROOTPATH);
    if (!line || spec_read_number(line->argument[0], &range->offset) < 0)
        return -1;
    return spec_read_number(line->argument[1], &range->length);
}

/* Whether the range is a whole JSON string, as far as its quotes show. */
static bool spec_holds_string(const char *spec, size_t size, const struct range *range)
{
    if (range->length < 2 || range->length > size || range->offset > size - range->length)
        return false;
    const char *string = spec + range->offset;
    return string[0] == '"' && string[range->length - 1] == '"' &&
           !memchr(string + 1, '"', range->length - 2);
}

/* A whole file, or NULL with the reason. */
static char *spec_read_part(const char *path, size_t *length, struct failure *failure)
{
    char *text = file_read(path, MAX_SPEC, length);
    if (!text && errno == EFBIG)
        failed(failure, "%s is longer than %d bytes", path, MAX_SPEC);
    else if (!text)
        failed_errno(failure, "%s", path);
    return text;
}

/*
 * The profile's text, if there is one. A container whose profile cannot be read does not start
 * without it.
 */
static int spec_read_profile(const struct bundle *bundle, struct profile *profile,
                             struct failure *failure)
{
    const struct plan_line *line = spec_line_of(bundle, WORD_SECCOMP);
    *profile = (struct profile){0};
    if (!line)
        return 0;
    profile->path = line->argument[1];
    if (spec_read_number(line->argument[0], &profile->offset) < 0)
        return failed(failure, "seccomp %s: not an offset", line->argument[0]);
    profile->text = spec_read_part(profile->path, &profile->length, failure);
    return profile->text ? 0 : -1;
}

/* Whether an object's first member can be put in there, behind the root path. */
static bool spec_holds_object(const char *spec, size_t size, const struct range *range,
                              size_t offset)
{
    return offset > range->offset + range->length && offset < size && spec[offset - 1] == '{';
}

static char *spec_assembled(const char *spec, size_t size, const struct range *range,
                            const char *rootfs, const struct profile *profile, size_t *length)
{
    static const char name[] = "\"seccomp\":";
    const size_t behind = range->offset + range->length, root = strlen(rootfs);
    const size_t more = profile->path ? sizeof name + profile->length : 0;
    const size_t middle = profile->path ? profile->offset : size;
    *length = size - range->length + root + 2 + more;
    char *whole = malloc(*length);
    if (!whole)
        return NULL;
    char *at = mempcpy(whole, spec, range->offset);
    *at++ = '"';
    at = mempcpy(at, rootfs, root);
    *at++ = '"';
    at = mempcpy(at, spec + behind, middle - behind);
    if (profile->path) {
        at = mempcpy(at, name, sizeof name - 1);
        at = mempcpy(at, profile->text, profile->length);
        *at++ = ',';
    }
    memcpy(at, spec + middle, size - middle);
    return whole;
}

char *spec_read(const struct bundle *bundle, size_t *length, struct failure *failure)
{
    char path[PATH_SIZE];
    struct range range;
    struct profile profile;
    size_t size;
    char *whole = NULL;
    if (spec_read_profile(bundle, &profile, failure) < 0)
        return NULL;
    snprintf(path, sizeof path, "%s/config.json", bundle->path);
    char *spec = spec_read_part(path, &size, failure);
    if (!spec) {
        free(profile.text);
        return NULL;
    }
    if (spec_read_range(bundle, &range) < 0 || !spec_holds_string(spec, size, &range))
        failed(failure, "the plan's rootpath does not fit %s", path);
    else if (profile.path && !spec_holds_object(spec, size, &range, profile.offset))
        failed(failure, "the plan's seccomp does not fit %s", path);
    else if (strpbrk(bundle->rootfs, "\"\\\n\t"))
        failed(failure, "%s cannot be written to JSON unescaped", bundle->rootfs);
    else if (!(whole = spec_assembled(spec, size, &range, bundle->rootfs, &profile, length)))
        failed_errno(failure, "%s", path);
    if (whole && *length > MAX_SPEC) {
        failed(failure, "%s is longer than %d bytes with its profile", path, MAX_SPEC);
        free(whole);
        whole = NULL;
    }
    free(profile.text);
    free(spec);
    return whole;
}

static void spec_placed(const struct bundle *bundle, const char *suffix, char *path, size_t size)
{
    snprintf(path, size, "/run/compos/bundles/%s%s", bundle->id, suffix);
}

static int spec_write_whole(const char *path, const char *text, size_t length)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return -1;
    while (length > 0) {
        ssize_t written = write(file, text, length);
        if (written < 0)
            break;
        text += written;
        length -= (size_t)written;
    }
    close(file);
    return length > 0 ? -1 : 0;
}

int spec_place(const struct bundle *bundle, char *folder, size_t size, struct failure *failure)
{
    char path[PATH_SIZE];
    size_t length;
    if (!spec_line_of(bundle, WORD_SECCOMP)) {
        snprintf(folder, size, "%s", bundle->path);
        return 0;
    }
    char *spec = spec_read(bundle, &length, failure);
    if (!spec)
        return -1;
    spec_placed(bundle, "", folder, size);
    spec_placed(bundle, "/config.json", path, sizeof path);
    int result = directory_make(folder) < 0 ? -1 : spec_write_whole(path, spec, length);
    free(spec);
    return result < 0 ? failed_errno(failure, "%s", path) : 0;
}

void spec_unplace(const struct bundle *bundle)
{
    char path[PATH_SIZE];
    spec_placed(bundle, "/config.json", path, sizeof path);
    unlink(path);
    spec_placed(bundle, "", path, sizeof path);
    rmdir(path);
}
