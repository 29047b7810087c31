/* logs.c: see logs.h. */
#include "logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_OPEN = 64 };

struct log_file {
    char name[256];
    int file;
    off_t size;
};

static int logs_folder;
static off_t logs_size;
static long logs_kept;
static struct log_file logs_open[MAX_OPEN];
static size_t logs_count;
static size_t logs_oldest;

int logs_start(const char *folder, long size, long files, struct failure *failure)
{
    logs_size = size;
    logs_kept = files;
    logs_folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return logs_folder < 0 ? failed_errno(failure, "%s", folder) : 0;
}

/* A source is what a program calls itself: one component, and no hidden one. */
static int logs_name(const char *source, char *name, size_t size)
{
    int length = snprintf(name, size, "%s.log", *source ? source : "unnamed");
    for (char *byte = name; *byte; byte++)
        if (*byte == '/' || (unsigned char)*byte < ' ')
            *byte = '_';
    if (name[0] == '.')
        name[0] = '_';
    return length > 0 && (size_t)length < size ? 0 : -1;
}

static int logs_open_file(struct log_file *log, struct failure *failure)
{
    struct stat status;
    /* A FIFO or a link in its place must neither be waited for nor followed. */
    log->file = openat(logs_folder, log->name,
                       O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    if (log->file < 0 || fstat(log->file, &status) < 0)
        return failed_errno(failure, "%s", log->name);
    log->size = status.st_size;
    return 0;
}

/* With many sources the one that has been open for longest makes room: it is opened again. */
static struct log_file *logs_find(const char *name, struct failure *failure)
{
    struct log_file *log;
    for (size_t i = 0; i < logs_count; i++)
        if (strcmp(logs_open[i].name, name) == 0 && logs_open[i].file >= 0)
            return &logs_open[i];
    if (logs_count < MAX_OPEN) {
        log = &logs_open[logs_count++];
    } else {
        log = &logs_open[logs_oldest++ % MAX_OPEN];
        if (log->file >= 0)
            close(log->file);
    }
    snprintf(log->name, sizeof log->name, "%s", name);
    return logs_open_file(log, failure) < 0 ? NULL : log;
}

/* NAME.1 becomes NAME.2, NAME.0 becomes NAME.1, NAME becomes NAME.0. */
static int logs_rotate(struct log_file *log, struct failure *failure)
{
    char from[288], to[288];
    close(log->file);
    log->file = -1;
    for (long i = logs_kept - 2; i >= 0; i--) {
        snprintf(to, sizeof to, "%s.%ld", log->name, i);
        if (i > 0)
            snprintf(from, sizeof from, "%s.%ld", log->name, i - 1);
        else
            snprintf(from, sizeof from, "%s", log->name);
        if (renameat(logs_folder, from, logs_folder, to) < 0 && errno != ENOENT)
            return failed_errno(failure, "%s", to);
    }
    if (logs_kept == 1)
        unlinkat(logs_folder, log->name, 0);
    return logs_open_file(log, failure);
}

int logs_append(const char *source, const char *line, size_t length, struct failure *failure)
{
    char name[256];
    if (logs_name(source, name, sizeof name) < 0)
        return failed(failure, "%.64s...: the name is too long", source);
    struct log_file *log = logs_find(name, failure);
    if (!log)
        return -1;
    if (log->size >= logs_size && logs_rotate(log, failure) < 0)
        return -1;
    ssize_t written = write(log->file, line, length);
    if (written < 0)
        return failed_errno(failure, "%s", name);
    log->size += written;
    return 0;
}
