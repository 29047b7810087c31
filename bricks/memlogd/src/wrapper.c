/* wrapper.c: see wrapper.h. */
#include "wrapper.h"

#include "base/console.h"
#include "protocol/options.h"
#include "protocol/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* One of the command's two streams: where it comes from, and where it goes. */
struct wrapper_stream {
    int input;
    int own;
    int log; /* -1: memlogd does not take it */
};

/* The command's end of the stream, or -1. */
static int wrapper_open(struct wrapper_stream *stream, int own, int log_socket, const char *name,
                        struct failure *failure)
{
    int pipes[2], logs[2];
    char source[256];
    *stream = (struct wrapper_stream){.own = own, .log = -1};
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return failed_errno(failure, "pipe");
    stream->input = pipes[0];
    snprintf(source, sizeof source, "%s.%s", name, own == STDOUT_FILENO ? "stdout" : "stderr");
    if (log_socket < 0 || pipe2(logs, O_CLOEXEC) < 0)
        return pipes[1];
    if (protocol_send_descriptor(log_socket, source, logs[0], failure) < 0) {
        fprintf(stderr, "logwrite: %s\n", failure->text);
        close(logs[1]);
    } else {
        /* A memlogd that hangs is waited for once. */
        fcntl(logs[1], F_SETFL, O_NONBLOCK);
        stream->log = logs[1];
    }
    close(logs[0]);
    return pipes[1];
}

/* Passes on what is there; at the end closes the stream. */
static void wrapper_pass(struct wrapper_stream *stream)
{
    enum { LOG_TIMEOUT = 1000 };
    char bytes[4096];
    ssize_t count = read(stream->input, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR)
        return;
    if (count > 0) {
        if (stream->log >= 0 && write_within(stream->log, bytes, (size_t)count, LOG_TIMEOUT) < 0) {
            close(stream->log);
            stream->log = -1;
        }
        write_within(stream->own, bytes, (size_t)count, -1);
        return;
    }
    close(stream->input);
    stream->input = -1;
    if (stream->log >= 0)
        close(stream->log);
}

static int wrapper_status(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return 1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int wrapper_run(char *command[], const char *name, int log_socket)
{
    struct failure failure;
    struct wrapper_stream streams[2];
    int ends[2] = {-1, -1};
    for (int i = 0; i < 2; i++) {
        ends[i] = wrapper_open(&streams[i], STDOUT_FILENO + i, log_socket, name, &failure);
        if (ends[i] < 0) {
            fprintf(stderr, "logwrite: %s\n", failure.text);
            return 1;
        }
    }
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[0], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        signal(SIGPIPE, SIG_DFL);
        execvp(command[0], command);
        fprintf(stderr, "logwrite: %s: %s\n", command[0], strerror(errno));
        _exit(127);
    }
    close(ends[0]);
    close(ends[1]);
    while (child > 0 && (streams[0].input >= 0 || streams[1].input >= 0)) {
        struct pollfd ready[2] = {{streams[0].input, POLLIN, 0}, {streams[1].input, POLLIN, 0}};
        if (poll(ready, 2, -1) < 0)
            continue;
        for (int i = 0; i < 2; i++)
            if (ready[i].revents)
                wrapper_pass(&streams[i]);
    }
    return child < 0 ? 1 : wrapper_status(child);
}

int wrapper_main(int argument_count, char *arguments[])
{
    struct failure failure;
    const char *path = LOG_SOCKET, *name = "";
    const struct option options[] = {{.name = "n", .text = &name},
                                     {.name = "socket", .text = &path}};
    int first = options_read(argument_count, arguments, options, 2);
    if (first >= argument_count) {
        fprintf(stderr, "usage: logwrite [-n NAME] [-socket PATH] COMMAND [ARGUMENT...]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int log_socket = protocol_connect(path, SOCK_DGRAM, &failure);
    if (log_socket < 0)
        fprintf(stderr, "logwrite: %s\n", failure.text);
    return wrapper_run(arguments + first, *name ? name : arguments[first], log_socket);
}
