/* log.c: see log.h. */
#include "log/log.h"

#include "base/console.h"
#include "base/failure.h"
#include "base/files.h"
#include "base/process.h"
#include "log/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOLDER "/run/compos/log"
#define EXTERNAL "/var/run/linuxkit-external-logging.sock"
#define DAEMON "containerd"

static struct stream *log_streams;
static size_t log_stream_count;
static struct child log_process;
static bool log_running, log_renewed;

static void log_fifo_path(char *path, size_t size, const char *id, const char *suffix)
{
    snprintf(path, size, FOLDER "/%s%s", id, suffix);
}

/* A FIFO, open for both ends: writers never block for want of a reader, and never find one gone. */
static int log_open_fifo(const char *id, const char *suffix)
{
    char path[PATH_SIZE];
    log_fifo_path(path, sizeof path, id, suffix);
    if (mkfifo(path, 0600) < 0 && errno != EEXIST)
        return -1;
    return open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static void log_add_stream(const char *id, const char *suffix, const struct log_settings *settings)
{
    struct stream *stream = &log_streams[log_stream_count];
    *stream = (struct stream){.id = id, .suffix = suffix, .settings = settings, .file = -1};
    stream->input = log_open_fifo(id, suffix);
    if (stream->input < 0)
        say("log %s%s: %s", id, suffix, strerror(errno));
    else
        log_stream_count++;
}

static void log_begin(void)
{
    struct failure failure;
    pid_t pid = child_fork(&log_process, &failure);
    if (pid == 0)
        logger_run(log_streams, log_stream_count);
    log_running = pid > 0;
    if (!log_running)
        say("logs: %s", failure.text);
}

void log_start(const struct service *services, size_t count)
{
    static const struct log_settings daemon_log = {LOG_FILE, 1 << 20, 3, "", ""};
    if (log_streams)
        return;
    log_streams = calloc(2 * count + 1, sizeof *log_streams);
    if (!log_streams || directory_make(FOLDER) < 0) {
        say("logs: %s", strerror(errno));
        return;
    }
    log_add_stream(DAEMON, "", &daemon_log);
    for (size_t i = 0; i < count; i++) {
        log_add_stream(services[i].bundle.id, LOG_OUT, &services[i].log);
        log_add_stream(services[i].bundle.id, LOG_ERROR, &services[i].log);
    }
    log_begin();
}

void log_add(const struct service *service)
{
    struct stream *streams =
        log_streams ? realloc(log_streams, (log_stream_count + 2) * sizeof *streams) : NULL;
    if (!streams) {
        say("log %s: %s", service->bundle.id, strerror(errno));
        return;
    }
    log_streams = streams;
    log_add_stream(service->bundle.id, LOG_OUT, &service->log);
    log_add_stream(service->bundle.id, LOG_ERROR, &service->log);
    if (log_running) {
        log_renewed = true;
        kill(log_process.pid, SIGTERM);
    }
}

void log_check(void)
{
    char text[64];
    if (!log_running || !log_process.ended)
        return;
    child_forget(&log_process);
    describe_status(log_process.status, text, sizeof text);
    if (!log_renewed)
        say("logs: %s; restarting", text);
    log_renewed = false;
    log_begin();
}

void log_stop(void)
{
    enum { STOP_TIMEOUT = 5000 };
    if (!log_running)
        return;
    log_running = false;
    kill(log_process.pid, SIGTERM);
    if (child_wait_until(&log_process, process_now() + STOP_TIMEOUT) < 0)
        kill(log_process.pid, SIGKILL);
}

int log_daemon(void)
{
    /*
     * It starts before the process that empties FIFOs does: what it says until then waits in this
     * one.
     */
    static int held = -1;
    char path[PATH_SIZE];
    if (held < 0 && directory_make(FOLDER) == 0)
        held = log_open_fifo(DAEMON, "");
    if (held < 0)
        return -1;
    log_fifo_path(path, sizeof path, DAEMON, "");
    return open(path, O_WRONLY | O_CLOEXEC);
}

/* One message: the source's name, and the descriptor to read (docs/linuxkit.md#run-12.2). */
static int log_send_descriptor(const char *source, int descriptor)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = EXTERNAL};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec payload = {.iov_base = (void *)(uintptr_t)source, .iov_len = strlen(source)};
    struct msghdr message = {.msg_name = &address,
                             .msg_namelen = sizeof address,
                             .msg_iov = &payload,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
    /* One that hangs takes a few messages, and then none. */
    const struct timeval timeout = {.tv_usec = 500000};
    int channel = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (channel < 0)
        return -1;
    setsockopt(channel, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    ssize_t sent = sendmsg(channel, &message, MSG_NOSIGNAL);
    int reason = errno;
    close(channel);
    errno = reason;
    return sent < 0 ? -1 : 0;
}

int log_external(const char *source)
{
    int ends[2];
    if (access(EXTERNAL, F_OK) < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    int sent = log_send_descriptor(source, ends[0]);
    close(ends[0]);
    /* PID 1 writes: it must not wait for somebody who does not read. */
    if (sent == 0 && fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0)
        return ends[1];
    say("log %s: memlogd: %s", source, strerror(errno));
    close(ends[1]);
    return -1;
}

/*
 * memlogd reads services' FIFOs, which LinuxKit has in /var/run, to their end: until nobody has one
 * open for writing. This process has, from before memlogd looks until it ends itself; by then the
 * container has opened its own end.
 */
static int log_external_fifo(const char *source, char *path, size_t size)
{
    snprintf(path, size, "/var/run/%s.log", source);
    if (mkfifo(path, 0600) < 0 && errno != EEXIST)
        return -1;
    int writer = open(path, O_RDWR | O_CLOEXEC);
    int reader = writer < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    int sent = reader < 0 ? -1 : log_send_descriptor(source, reader);
    if (sent < 0)
        say("log %s: memlogd: %s", source, strerror(errno));
    if (reader >= 0)
        close(reader);
    if (sent < 0 && writer >= 0)
        close(writer);
    return sent;
}

void log_target(const struct service *service, const char *stream, char *path, size_t size)
{
    char source[512];
    snprintf(source, sizeof source, "%s%s", service->bundle.id, stream);
    bool wanted = service->log.driver != LOG_NONE;
    if (wanted && access(EXTERNAL, F_OK) == 0 && log_external_fifo(source, path, size) == 0)
        return;
    if (!wanted)
        snprintf(path, size, "/dev/null");
    else
        log_fifo_path(path, size, service->bundle.id, stream);
    if (access(path, W_OK) < 0)
        snprintf(path, size, "/dev/null");
}
