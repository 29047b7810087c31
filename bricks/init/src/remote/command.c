/* command.c: see command.h. */
#include "remote/command.h"

#include "base/files.h"
#include "containers/oci.h"
#include "services/status.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where containerd's shims keep the runtime's state of services. */
#define SHIM_STATE "/run/containerd/runc/services.linuxkit"

enum { HEAD = 7, RUNTIME_ARGUMENTS = 8, MAX_STATUS_FILE = 1 << 20 };

struct host_request {
    unsigned flags, rows, columns, count;
    const char *service, *folder;
    const char *arguments[MAX_ARGUMENTS + 1];
};

static unsigned command_number(const char *text)
{
    return (unsigned)(uint8_t)text[0] << 8 | (uint8_t)text[1];
}

/* The string at *text, which is moved behind it; NULL when there is none before `end`. */
static const char *command_string(const char **text, const char *end)
{
    const char *begin = *text, *zero = memchr(begin, '\0', (size_t)(end - begin));
    if (!zero)
        return NULL;
    *text = zero + 1;
    return begin;
}

static int command_read_request(struct host_request *request, const char *text, size_t length,
                                struct failure *failure)
{
    const char *end = text + length;
    if (length < HEAD)
        return failed(failure, "the request is too short");
    *request = (struct host_request){.flags = (uint8_t)text[0],
                                     .rows = command_number(text + 1),
                                     .columns = command_number(text + 3),
                                     .count = command_number(text + 5)};
    text += HEAD;
    if (request->count < 1 || request->count > MAX_ARGUMENTS)
        return failed(failure, "the request must have 1 to %d arguments", MAX_ARGUMENTS);
    request->service = command_string(&text, end);
    request->folder = request->service ? command_string(&text, end) : NULL;
    for (unsigned i = 0; request->folder && i < request->count; i++) {
        request->arguments[i] = command_string(&text, end);
        if (!request->arguments[i])
            return failed(failure, "the request ends within its arguments");
    }
    if (!request->folder || text != end)
        return failed(failure, "the request does not end with its arguments");
    if (strchr(request->service, '/') || *request->service == '-')
        return failed(failure, "%s: no such service", request->service);
    return 0;
}

/* The first process of a running service, from PID 1's own table of them; 0 without one. */
static pid_t command_service_process(const char *service)
{
    size_t length, name = strlen(service);
    char *text = file_read(STATUS_FILE, MAX_STATUS_FILE, &length);
    pid_t pid = 0;
    for (char *rest = text, *line; rest && (line = strsep(&rest, "\n")) != NULL;) {
        if (strncmp(line, service, name) != 0 || line[name] != '\t')
            continue;
        char *field = line + name + 1;
        strsep(&field, "\t"); /* state */
        if (field)
            strsep(&field, "\t"); /* health */
        pid = field ? (pid_t)strtol(field, NULL, 10) : 0;
    }
    free(text);
    return pid;
}

/* Sees the files that the service sees. */
static int command_enter(const char *service)
{
    char path[64];
    pid_t pid = command_service_process(service);
    if (pid <= 1) {
        errno = ESRCH;
        return -1;
    }
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)pid);
    int space = open(path, O_RDONLY | O_CLOEXEC);
    return space < 0 ? -1 : setns(space, CLONE_NEWNS);
}

static _Noreturn void command_fail(const char *what)
{
    dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

static _Noreturn void command_copy(const struct host_request *request)
{
    static char bytes[1 << 16];
    const char *path = request->arguments[0];
    if (*request->service && command_enter(request->service) < 0)
        command_fail(request->service);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        command_fail(path);
    ssize_t got;
    while ((got = read(file, bytes, sizeof bytes)) > 0)
        for (ssize_t done = 0, put; done < got; done += put)
            if ((put = write(STDOUT_FILENO, bytes + done, (size_t)(got - done))) < 0)
                _exit(1);
    if (got < 0)
        command_fail(path);
    _exit(0);
}

/* By the OCI runtime: confined as the service is. */
static _Noreturn void command_run_in_service(const struct host_request *request)
{
    const char *line[MAX_ARGUMENTS + RUNTIME_ARGUMENTS + 1];
    size_t count = 0;
    line[count++] = oci_program();
    if (access(SHIM_STATE, F_OK) == 0) {
        line[count++] = "--root";
        line[count++] = SHIM_STATE;
    }
    line[count++] = "exec";
    if (request->flags & COMMAND_TERMINAL)
        line[count++] = "--tty";
    if (*request->folder) {
        line[count++] = "--cwd";
        line[count++] = request->folder;
    }
    line[count++] = request->service;
    for (unsigned i = 0; i < request->count; i++)
        line[count++] = request->arguments[i];
    line[count] = NULL;
    execv(line[0], (char *const *)line);
    command_fail(line[0]);
}

static _Noreturn void command_run(const struct host_request *request)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (request->flags & COMMAND_READ)
        command_copy(request);
    if (*request->service)
        command_run_in_service(request);
    if (chdir(*request->folder ? request->folder : "/") < 0)
        command_fail(request->folder);
    execvp(request->arguments[0], (char *const *)request->arguments);
    command_fail(request->arguments[0]);
}

static void command_close(int descriptors[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
}

/* Standard streams: 0 to 2 are the command's ends, 3 to 5 this side's. */
static int command_open_pipes(int ends[6])
{
    int made[2];
    for (int i = 0; i < 3; i++) {
        if (pipe2(made, O_CLOEXEC) < 0)
            return -1;
        ends[i] = made[i == 0 ? 0 : 1];
        ends[i + 3] = made[i == 0 ? 1 : 0];
    }
    return 0;
}

static int command_open_terminal(int ends[6])
{
    int open_it = 0, number;
    char path[32];
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0)
        return -1;
    ends[3] = master;
    if (ioctl(master, (int)TIOCSPTLCK, &open_it) < 0 || ioctl(master, (int)TIOCGPTN, &number) < 0)
        return -1;
    snprintf(path, sizeof path, "/dev/pts/%d", number);
    ends[0] = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return ends[0];
}

static _Noreturn void command_become(const struct host_request *request, const int ends[6])
{
    const bool terminal = (request->flags & COMMAND_TERMINAL) != 0;
    setsid();
    if (terminal)
        ioctl(ends[0], (int)TIOCSCTTY, 0);
    for (int i = 0; i < 3; i++)
        dup2(ends[terminal ? 0 : i], i);
    command_run(request);
}

int command_start(struct command *command, const char *text, size_t length, struct failure *failure)
{
    struct host_request request;
    int ends[6] = {-1, -1, -1, -1, -1, -1};
    if (command_read_request(&request, text, length, failure) < 0)
        return -1;
    const bool terminal = (request.flags & COMMAND_TERMINAL) != 0;
    int opened = terminal ? command_open_terminal(ends) : command_open_pipes(ends);
    pid_t pid = -1;
    if (opened < 0)
        failed_errno(failure, terminal ? "a terminal" : "pipes");
    else if ((pid = fork()) < 0)
        failed_errno(failure, "fork");
    if (pid < 0) {
        command_close(ends, 6);
        return -1;
    }
    if (pid == 0)
        command_become(&request, ends);
    command_close(ends, 3);
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    if (process < 0) {
        command_close(ends + 3, 3);
        return failed_errno(failure, "pidfd_open");
    }
    *command =
        (struct command){pid, ends[3], terminal ? ends[3] : ends[4], ends[5], process, terminal};
    if (terminal)
        command_resize(command, request.rows, request.columns);
    fcntl(command->input, F_SETFL, fcntl(command->input, F_GETFL) | O_NONBLOCK);
    return 0;
}

void command_resize(const struct command *command, unsigned rows, unsigned columns)
{
    struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    if (command->terminal)
        ioctl(command->output, (int)TIOCSWINSZ, &size);
}

void command_signal(const struct command *command, int number)
{
    /* It leads a session, with what it has started in it. */
    kill(-command->pid, number);
}
