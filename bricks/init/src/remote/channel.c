/* channel.c: see channel.h. */
#include "remote/channel.h"

#include "base/cmdline.h"
#include "base/console.h"
#include "base/files.h"
#include "base/process.h"
#include "containers/oci.h"
#include "remote/command.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PORTS "/sys/class/virtio-ports"
#define PORT_NAME "org.compos.exec."

enum { FRAME_HEAD = 5, NONCE = 16, OUTPUT = 16384, IDLE = 50, LOOK_FOR = 60000, MAX_PORTS = 8 };

/* One port. What arrives is gathered in `text` until a frame is whole. */
struct session {
    int port;
    bool runs;
    struct command command;
    size_t length;
    char text[FRAME_HEAD + MAX_COMMAND];
    /* Standard input that the command has not taken yet. */
    size_t waiting, taken;
    char input[MAX_COMMAND];
    bool input_ends;
};

static void channel_pause(void)
{
    const struct timespec pause = {.tv_nsec = IDLE * 1000000L};
    nanosleep(&pause, NULL);
}

/* Until the host comes: the port's driver then sends SIGIO. A second, in case that was before. */
static void channel_await(void)
{
    const struct timespec limit = {.tv_sec = 1};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    sigtimedwait(&set, NULL, &limit);
}

/* Writes all of it, however long the host takes; -1 when it has gone. */
static int channel_put(int port, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t put = write(port, bytes, size);
        if (put > 0) {
            bytes += put;
            size -= (size_t)put;
            continue;
        }
        struct pollfd ready = {.fd = port, .events = POLLOUT};
        if (put < 0 && errno != EAGAIN && errno != EINTR)
            return -1;
        if (poll(&ready, 1, -1) < 0 && errno != EINTR)
            return -1;
        if (ready.revents & (POLLHUP | POLLERR))
            return -1;
    }
    return 0;
}

static int channel_send(struct session *session, char kind, const char *payload, size_t size)
{
    char head[FRAME_HEAD] = {kind, (char)(size >> 24), (char)(size >> 16), (char)(size >> 8),
                             (char)size};
    return channel_put(session->port, head, sizeof head) < 0 ||
                   channel_put(session->port, payload, size) < 0
               ? -1
               : 0;
}

static void channel_close(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
    *descriptor = -1;
}

static void channel_close_input(struct session *session)
{
    /* A terminal's input and output are one descriptor. */
    if (session->command.terminal)
        session->command.input = -1;
    channel_close(&session->command.input);
    session->waiting = session->taken = 0;
}

static void channel_close_others(struct session *session)
{
    channel_close(&session->command.output);
    channel_close(&session->command.error);
    channel_close(&session->command.process);
}

/* Ends what runs, if anything does, and forgets it. */
static void channel_end(struct session *session)
{
    if (session->runs) {
        command_signal(&session->command, SIGKILL);
        waitpid(session->command.pid, NULL, 0);
        channel_close_input(session);
        channel_close_others(session);
    }
    session->runs = session->input_ends = false;
    session->waiting = session->taken = 0;
}

static int channel_begin(struct session *session, const char *request, size_t size)
{
    struct failure failure;
    channel_end(session);
    session->runs = command_start(&session->command, request, size, &failure) == 0;
    return session->runs ? 0 : channel_send(session, 'F', failure.text, strlen(failure.text));
}

static void channel_take_input(struct session *session, const char *bytes, size_t size)
{
    if (size == 0)
        session->input_ends = true;
    if (session->command.input < 0)
        return; /* nobody reads it */
    memcpy(session->input, bytes, size);
    session->waiting = size;
    session->taken = 0;
}

static int channel_frame(struct session *session, char kind, const char *payload, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)payload;
    if (kind == 'H' && size == NONCE) {
        channel_end(session);
        return channel_send(session, 'H', payload, size);
    }
    if (kind == 'E')
        return channel_begin(session, payload, size);
    if (!session->runs)
        return 0; /* it has just ended */
    if (kind == 'I')
        channel_take_input(session, payload, size);
    else if (kind == 'W' && size == 4)
        command_resize(&session->command, 256U * bytes[0] + bytes[1], 256U * bytes[2] + bytes[3]);
    else if (kind == 'K' && size == 1)
        command_signal(&session->command, bytes[0]);
    return 0;
}

/* Carries out the frames that are whole; those behind input that is not taken yet have to wait. */
static int channel_frames(struct session *session)
{
    while (session->length >= FRAME_HEAD && session->waiting == 0) {
        const uint8_t *head = (const uint8_t *)session->text;
        size_t size =
            (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
        if (size > MAX_COMMAND)
            return -1;
        if (session->length < FRAME_HEAD + size)
            break;
        if (channel_frame(session, session->text[0], session->text + FRAME_HEAD, size) < 0)
            return -1;
        session->length -= FRAME_HEAD + size;
        memmove(session->text, session->text + FRAME_HEAD + size, session->length);
    }
    return 0;
}

/* What the host sends; -1 when it has gone. */
static int channel_receive(struct session *session)
{
    size_t room = sizeof session->text - session->length;
    ssize_t got = room > 0 ? read(session->port, session->text + session->length, room) : 0;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0)
        return -1;
    session->length += (size_t)got;
    return channel_frames(session);
}

static int channel_pass_input(struct session *session)
{
    ssize_t put = write(session->command.input, session->input + session->taken,
                        session->waiting - session->taken);
    if (put < 0 && errno != EAGAIN) {
        channel_close_input(session);
        return channel_frames(session);
    }
    session->taken += put > 0 ? (size_t)put : 0;
    if (session->taken < session->waiting)
        return 0;
    session->waiting = session->taken = 0;
    return channel_frames(session);
}

/* 1 when something was passed on. */
static int channel_pass_output(struct session *session, int *descriptor, char kind)
{
    static char bytes[OUTPUT];
    ssize_t got = read(*descriptor, bytes, sizeof bytes);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return 0;
    if (got > 0)
        return channel_send(session, kind, bytes, (size_t)got) < 0 ? -1 : 1;
    channel_close(descriptor); /* its end; EIO of a terminal */
    return 0;
}

/* What is there by now; programs that the command has left behind may hold the stream open. */
static int channel_drain(struct session *session, int *descriptor, char kind)
{
    int passed = *descriptor < 0 ? 0 : fcntl(*descriptor, F_SETFL, O_NONBLOCK) < 0 ? -1 : 1;
    while (passed > 0 && *descriptor >= 0)
        passed = channel_pass_output(session, descriptor, kind);
    return passed;
}

static int channel_report(struct session *session)
{
    int status;
    if (waitpid(session->command.pid, &status, WNOHANG) != session->command.pid)
        return 0;
    int output = channel_drain(session, &session->command.output, 'O');
    int error = output < 0 ? -1 : channel_drain(session, &session->command.error, 'R');
    bool killed = WIFSIGNALED(status);
    char end[2] = {(char)killed, (char)(killed ? WTERMSIG(status) : WEXITSTATUS(status))};
    channel_close_input(session);
    channel_close_others(session);
    session->runs = session->input_ends = false;
    return error < 0 ? -1 : channel_send(session, 'X', end, sizeof end);
}

static void channel_finish_input(struct session *session)
{
    struct command *command = &session->command;
    if (!session->input_ends || session->waiting > 0 || command->input < 0)
        return;
    /* On a terminal the key says it. */
    if (command->terminal)
        (void)!write(command->input, "\x04", 1);
    channel_close_input(session);
}

/* One round; -1 when the host has gone, or sends what is no frame. */
static int channel_step(struct session *session)
{
    struct command *command = &session->command;
    const bool runs = session->runs, full = session->waiting > 0;
    struct pollfd ready[] = {
        {.fd = session->port, .events = full ? 0 : POLLIN},
        {.fd = runs && full ? command->input : -1, .events = POLLOUT},
        {.fd = runs ? command->output : -1, .events = POLLIN},
        {.fd = runs ? command->error : -1, .events = POLLIN},
        {.fd = runs ? command->process : -1, .events = POLLIN},
    };
    if (poll(ready, 5, -1) < 0)
        return errno == EINTR ? 0 : -1;
    if (ready[0].revents & (POLLHUP | POLLERR))
        return -1;
    if (ready[0].revents & POLLIN && channel_receive(session) < 0)
        return -1;
    if (!runs || !session->runs)
        return 0;
    if (ready[1].revents && channel_pass_input(session) < 0)
        return -1;
    if (ready[2].revents && channel_pass_output(session, &command->output, 'O') < 0)
        return -1;
    if (ready[3].revents && channel_pass_output(session, &command->error, 'R') < 0)
        return -1;
    channel_finish_input(session);
    return ready[4].revents ? channel_report(session) : 0;
}

void channel_attend(int port)
{
    static struct session session;
    session.port = port;
    session.length = 0;
    session.command.input = session.command.output = -1;
    session.command.error = session.command.process = -1;
    while (channel_step(&session) == 0)
        continue;
    channel_end(&session);
}

/* In a process of its own: serves a port, one client after the other. */
static _Noreturn void channel_serve(const char *path)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    int port = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (port < 0) {
        say("%s: %s", path, strerror(errno));
        _exit(1);
    }
    fcntl(port, F_SETOWN, getpid());
    fcntl(port, F_SETFL, O_NONBLOCK | O_ASYNC);
    while (true) {
        channel_attend(port);
        channel_await();
    }
}

/* Starts to serve the ports that are new. */
static void channel_look(bool served[MAX_PORTS])
{
    char path[300], name[64];
    DIR *folder = opendir(PORTS);
    struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL) {
        snprintf(path, sizeof path, PORTS "/%s/name", entry->d_name);
        if (*entry->d_name == '.' || file_line(path, name, sizeof name) < 0 ||
            strncmp(name, PORT_NAME, strlen(PORT_NAME)) != 0)
            continue;
        unsigned number = (unsigned)atoi(name + strlen(PORT_NAME));
        if (number >= MAX_PORTS || served[number])
            continue;
        served[number] = true;
        snprintf(path, sizeof path, "/dev/%s", entry->d_name);
        if (fork() == 0)
            channel_serve(path);
    }
    if (folder)
        closedir(folder);
}

/* Services have the runtime that the plan names, later than here. */
static void channel_find_runtime(const struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->lines[i].word == WORD_RUNTIME)
            oci_use(plan->lines[i].argument[0]);
}

void channel_start(const struct plan *plan)
{
    static struct child looking;
    struct failure failure;
    bool served[MAX_PORTS] = {false};
    if (!cmdline_has("compos.exec"))
        return;
    pid_t pid = child_fork(&looking, &failure);
    if (pid < 0)
        say("compos.exec: %s", failure.text);
    if (pid != 0)
        return;
    channel_find_runtime(plan);
    /* The port's driver may still be on its way. */
    for (int waited = 0; waited < LOOK_FOR; waited += IDLE) {
        channel_look(served);
        channel_pause();
    }
    _exit(0);
}
