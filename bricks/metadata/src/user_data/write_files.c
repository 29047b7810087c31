/* write_files.c: see write_files.h. */
#include "user_data/write_files.h"

#include "config.h"
#include "json/json_value.h"
#include "report.h"
#include "user_data/encoding.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_COMPONENTS = 32 };

static int write_files_mode(const struct json *file, mode_t *mode)
{
    const struct json *given = json_string(file, "permissions");
    *mode = 0644;
    if (!given)
        return 0;
    if (given->length == 0 || given->length > 5 || strspn(given->text, "01234567") != given->length)
        return -1;
    unsigned long value = strtoul(given->text, NULL, 8);
    *mode = (mode_t)value;
    return value <= 0777 ? 0 : -1;
}

/* Below `folder`, which it closes: the directories of `path`, and the file. */
static int write_files_write_at(int folder, char *path, const char *bytes, size_t size, mode_t mode,
                                struct failure *failure)
{
    for (int i = 0; i < MAX_COMPONENTS; i++) {
        path += strspn(path, "/");
        char *slash = strchr(path, '/');
        if (!slash) {
            int done = config_write(folder, path, bytes, size, mode, failure);
            return config_close(folder, 0755, done < 0 ? &(struct failure){0} : failure) | done;
        }
        *slash = '\0';
        int next = config_directory(folder, path, failure);
        config_close(folder, 0755, &(struct failure){0});
        if (next < 0)
            return -1;
        folder = next;
        path = slash + 1;
    }
    close(folder);
    return failed(failure, "the path is too long");
}

static int write_files_write_bytes(struct result *result, const struct json *path,
                                   const char *bytes, size_t size, mode_t mode,
                                   struct failure *failure)
{
    char copy[1024];
    if (path->text[0] != '/' ||
        (size_t)snprintf(copy, sizeof copy, "%s", path->text) >= sizeof copy)
        return failed(failure, "%.64s: no absolute path, or too long", path->text);
    int folder = config_directory(result->folder, "files", failure);
    return folder < 0 ? -1 : write_files_write_at(folder, copy, bytes, size, mode, failure);
}

static int write_files_write_one(struct result *result, const struct json *file,
                                 struct failure *failure)
{
    static const struct json nothing = {.type = JSON_STRING, .text = ""};
    const struct json *path = json_string(file, "path");
    const struct json *content = json_string(file, "content");
    const struct json *encoding = json_string(file, "encoding");
    bool base64, gzip = false;
    mode_t mode;
    content = content ? content : &nothing;
    if (!path || write_files_mode(file, &mode) < 0)
        return failed(failure, "a file without a path, or with permissions that are none");
    base64 = encoding && encoding_named(encoding->text, &gzip);
    if (encoding && !base64 && strcmp(encoding->text, "text/plain") != 0)
        return failed(failure, "%.64s: an encoding that is not supported", path->text);
    if (!base64)
        return write_files_write_bytes(result, path, content->text, content->length, mode, failure);
    struct failure reason;
    size_t size;
    char *decoded = encoding_decode(content->text, content->length, gzip, &size, &reason);
    if (!decoded)
        return failed(failure, "%.64s: %.256s", path->text, reason.text);
    int done = write_files_write_bytes(result, path, decoded, size, mode, failure);
    free(decoded);
    return done;
}

/* Keys that change what a file is, and that have no meaning in a folder of files. */
static void write_files_report_others(const struct json *file)
{
    const struct json *path = json_string(file, "path");
    const struct json *owner = json_string(file, "owner");
    if (path && json_value_flag(file, "append", false))
        report("#cloud-config: write_files: %.64s: it is written, not appended", path->text);
    if (path && owner && strncmp(owner->text, "root", 4) != 0)
        report("#cloud-config: write_files: %.64s: its owner is root", path->text);
}

void write_files_apply(struct result *result, const struct json *file)
{
    struct failure failure;
    for (; file; file = file->next) {
        if (write_files_write_one(result, file, &failure) < 0)
            report("#cloud-config: write_files: %s", failure.text);
        else
            write_files_report_others(file);
    }
}
