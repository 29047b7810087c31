/* logger.c: see logger.h. */
#include "log/logger.h"

#include "base/console.h"
#include "base/failure.h"
#include "base/files.h"
#include "containers/bundle.h"
#include "log/syslog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static volatile sig_atomic_t logger_ending;
static int logger_kernel_log = -1;

static void logger_end(int number)
{
    (void)number;
    logger_ending = 1;
}

static void logger_file_path(char *path, size_t size, const struct stream *stream, unsigned number)
{
    char suffix[16] = "";
    if (number > 0)
        snprintf(suffix, sizeof suffix, ".%u", number);
    snprintf(path, size, "/var/log/%s%s.log%s", stream->id, stream->suffix, suffix);
}

static void logger_open_file(struct stream *stream)
{
    char path[PATH_SIZE];
    struct failure failure;
    logger_file_path(path, sizeof path, stream, 0);
    stream->file = bundle_log(path, &failure);
    if (stream->file >= 0) {
        off_t length = lseek(stream->file, 0, SEEK_END);
        stream->written = length > 0 ? (size_t)length : 0;
    } else if (!stream->full) {
        stream->full = true;
        say("%s", failure.text);
    }
}

/*
 * NAME.log becomes NAME.log.1 and so on; the oldest goes. What cannot move is emptied: the bound
 * holds in any case.
 */
static void logger_rotate(struct stream *stream)
{
    char from[PATH_SIZE], to[PATH_SIZE];
    bool moved = false;
    for (unsigned number = stream->settings->files; number-- > 1;) {
        logger_file_path(from, sizeof from, stream, number - 1);
        logger_file_path(to, sizeof to, stream, number);
        moved = rename(from, to) == 0;
    }
    if (!moved) {
        stream->written = ftruncate(stream->file, 0) == 0 ? 0 : stream->written;
        return;
    }
    close(stream->file);
    logger_open_file(stream);
}

static void logger_to_file(struct stream *stream, const char *bytes, size_t length)
{
    while (length > 0) {
        if (stream->file < 0)
            logger_open_file(stream);
        if (stream->file >= 0 && stream->written >= stream->settings->size)
            logger_rotate(stream);
        if (stream->file < 0)
            return;
        size_t room =
            stream->written < stream->settings->size ? stream->settings->size - stream->written : 0;
        if (room == 0)
            errno = ENOSPC;
        ssize_t count = room == 0 ? -1 : write(stream->file, bytes, length < room ? length : room);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            if (!stream->full)
                say("log %s%s: %s: lines are lost", stream->id, stream->suffix, strerror(errno));
            stream->full = true;
            return;
        }
        stream->full = false;
        stream->written += (size_t)count;
        bytes += count;
        length -= (size_t)count;
    }
}

static void logger_to_kernel(const char *tag, const char *line)
{
    /*
     * A record of the kernel's is one write, less than a kilobyte
     * (Documentation/ABI/testing/dev-kmsg).
     */
    char record[1000];
    if (logger_kernel_log < 0)
        logger_kernel_log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    int length = snprintf(record, sizeof record, "<14>%s: %s", tag, line);
    if (length > 0)
        (void)!write(logger_kernel_log, record,
                     (size_t)length < sizeof record ? (size_t)length : sizeof record - 1);
}

static void logger_to_console(const char *tag, const char *line)
{
    char text[LOG_LINE + 300];
    int length = snprintf(text, sizeof text, "%s: %s\n", tag, line);
    if (length > 0)
        console_write(text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

static void logger_pass_line(struct stream *stream)
{
    const struct log_settings *settings = stream->settings;
    const char *tag = *settings->tag ? settings->tag : stream->id;
    stream->line[stream->length] = '\0';
    stream->length = 0;
    if (settings->driver == LOG_CONSOLE)
        logger_to_console(tag, stream->line);
    else if (settings->driver == LOG_KMSG)
        logger_to_kernel(tag, stream->line);
    else if (settings->driver == LOG_SYSLOG)
        syslog_send(settings->address, tag, !*stream->suffix, stream->line);
}

/* Longer lines are cut into several. */
static void logger_to_lines(struct stream *stream, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != '\n')
            stream->line[stream->length++] = bytes[i] == '\0' ? ' ' : bytes[i];
        if (bytes[i] == '\n' || stream->length == sizeof stream->line - 1)
            logger_pass_line(stream);
    }
}

/*
 * At most what a FIFO holds, so that one loud container starves no other. False when there is
 * nothing.
 */
static bool logger_empty(struct stream *stream)
{
    static char bytes[65536];
    ssize_t count = read(stream->input, bytes, sizeof bytes);
    if (count <= 0)
        return count < 0 && errno == EINTR;
    logger_to_file(stream, bytes, (size_t)count);
    if (stream->settings->driver != LOG_FILE)
        logger_to_lines(stream, bytes, (size_t)count);
    return true;
}

/* What is in the FIFOs now; an endless writer is not waited for. */
static void logger_finish(struct stream *streams, size_t count)
{
    enum { ROUNDS = 64 };
    for (size_t i = 0; i < count; i++) {
        for (int round = 0; round < ROUNDS && logger_empty(&streams[i]); round++)
            continue;
        if (streams[i].length > 0)
            logger_pass_line(&streams[i]);
    }
    syslog_finish();
}

_Noreturn void logger_run(struct stream *streams, size_t count)
{
    struct sigaction action = {.sa_handler = logger_end};
    struct pollfd *inputs = calloc(count, sizeof *inputs);
    prctl(PR_SET_NAME, "compos-log");
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; inputs && i < count; i++)
        inputs[i] = (struct pollfd){.fd = streams[i].input, .events = POLLIN};
    /* A signal between the test and poll costs one second at most. */
    while (inputs && !logger_ending) {
        int ready = poll(inputs, count, 1000);
        for (size_t i = 0; ready > 0 && i < count; i++)
            if (inputs[i].revents)
                logger_empty(&streams[i]);
        if (ready < 0 && errno != EINTR)
            sleep(1); /* never without rest */
    }
    logger_finish(streams, count);
    _exit(inputs == NULL);
}
