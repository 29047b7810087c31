/* containerd_daemon.c: see containerd_daemon.h. */
#include "containerd/containerd_daemon.h"

#include "base/console.h"
#include "base/failure.h"
#include "base/files.h"
#include "base/process.h"
#include "containerd/containerd.h"
#include "containers/bundle.h"
#include "log/log.h"
#include "services/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LOG "/var/log/containerd.log"
#define STATE "/var/lib/containerd/io.containerd.metadata.v1.bolt"

/* It needs 1 s on a fast machine, and 10 s on a slow emulated one. */
enum { SOCKET_TIMEOUT = 120000, POLL = 20, STEADY = 60000, OOM_SCORE = -900, LOG_DELAY = 300 };
enum { OPTIONS_SIZE = 4096 };

enum phase { ABSENT, BEGUN, CLEARING, READY, DEAD };

static struct {
    const char *const *line, *const *options; /* the plan's, or NULL */
    enum phase phase;
    bool stale;  /* an earlier boot has left something in it */
    bool ending; /* its end is expected */
    bool timeout_reported, log_report_added;
    struct child process, clearing;
    unsigned failures;   /* in a row */
    int64_t begun, next; /* process_now */
} containerd_daemon;

static bool containerd_daemon_accepts(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    /* connect(2) itself waits while the server's backlog is full. */
    int channel = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int result = connect(channel, (struct sockaddr *)&address, sizeof address);
    close(channel);
    return result == 0;
}

/* The end of its log, where the reason of its death stands. */
static void containerd_daemon_show_log(void)
{
    enum { TAIL = 1024 };
    char text[TAIL];
    /* Whoever has the folder may put a FIFO there. */
    int file = open(LOG, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    off_t end = file < 0 ? -1 : lseek(file, 0, SEEK_END);
    ssize_t length = end < 0 ? -1 : pread(file, text, sizeof text, end > TAIL ? end - TAIL : 0);
    if (file >= 0)
        close(file);
    if (length <= 0)
        return;
    const char *tail = end > TAIL ? memchr(text, '\n', (size_t)length) : text;
    if (tail)
        console_write(tail, (size_t)(text + length - tail));
}

/* oom_score_adj (proc(5)) */
static void containerd_daemon_set_oom_score(pid_t pid, int score)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return;
    dprintf(file, "%d", score);
    close(file);
}

void containerd_daemon_reset_oom_score(pid_t pid)
{
    char path[64], text[16];
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
    /* The shim adds one to containerd's. */
    if (containerd_daemon.phase != ABSENT && file_line(path, text, sizeof text) == 0 &&
        atoi(text) == OOM_SCORE + 1)
        containerd_daemon_set_oom_score(pid, 0);
}

/* Its own log, or what its options say. -1: the console. */
static int containerd_daemon_open_output(const char *place)
{
    struct failure failure;
    if (strcmp(place, "stdout") == 0 || strcmp(place, "stderr") == 0)
        return -1;
    if (*place) {
        /* A FIFO without a reader is an error, and nothing to wait for. */
        const int flags = O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
        int file = directory_make_parents(place) < 0 ? -1 : open(place, flags, 0644);
        if (file < 0)
            say("containerd: %s: %s", place, strerror(errno));
        else
            fcntl(file, F_SETFL, O_APPEND);
        return file;
    }
    int log = log_daemon();
    return log < 0 ? bundle_log(LOG, &failure) : log;
}

/* Starts it with its options, which are cut at spaces. */
static int containerd_daemon_start_with(int out, int err, struct failure *failure)
{
    char text[OPTIONS_SIZE];
    const char *arguments[OPTIONS_SIZE / 2 + 2] = {containerd_daemon.line[0]};
    size_t count = 1;
    if (strlen(containerd_daemon.options ? containerd_daemon.options[0] : "") >= sizeof text)
        return failed(failure, "the options are too long");
    strcpy(text, containerd_daemon.options ? containerd_daemon.options[0] : "");
    for (char *rest = text, *word; (word = strsep(&rest, " ")) != NULL;)
        if (*word)
            arguments[count++] = word;
    return child_start(&containerd_daemon.process, arguments, out < 0 ? STDOUT_FILENO : out,
                       err < 0 ? STDERR_FILENO : err, failure);
}

static void containerd_daemon_launch(void)
{
    struct failure failure;
    unlink(containerd_daemon.line[1]);
    containerd_daemon.stale = access(STATE, F_OK) == 0 && containerd_daemon.phase == ABSENT;
    containerd_daemon.begun = process_now();
    containerd_daemon.next = containerd_daemon.begun + POLL;
    int out = containerd_daemon_open_output(containerd_daemon.options ? containerd_daemon.options[1]
                                                                      : "");
    int err = containerd_daemon_open_output(containerd_daemon.options ? containerd_daemon.options[2]
                                                                      : "");
    bool started = containerd_daemon_start_with(out, err, &failure) == 0;
    if (out >= 0)
        close(out);
    if (err >= 0)
        close(err);
    containerd_daemon.phase = started ? BEGUN : DEAD;
    if (started)
        containerd_daemon_set_oom_score(containerd_daemon.process.pid, OOM_SCORE);
    if (!started) {
        say("containerd: %s", failure.text);
        containerd_daemon.next =
            containerd_daemon.begun + service_pause(++containerd_daemon.failures);
    }
}

void containerd_daemon_options(const char *const argument[])
{
    if (containerd_daemon.phase == ABSENT)
        containerd_daemon.options = argument;
}

void containerd_daemon_start(const char *const argument[])
{
    if (containerd_daemon.phase != ABSENT)
        return;
    containerd_daemon.line = argument;
    containerd_daemon_launch();
}

bool containerd_daemon_is_present(void)
{
    return containerd_daemon.phase != ABSENT;
}

const char *containerd_daemon_socket(void)
{
    return containerd_daemon.line ? containerd_daemon.line[1] : NULL;
}

int64_t containerd_daemon_next_step(void)
{
    return containerd_daemon.ending ? 0 : containerd_daemon.next;
}

void containerd_daemon_expect_end(void)
{
    containerd_daemon.ending = true;
}

/* What a persistent /var/lib/containerd remembers of the last boot. In a process of its own. */
static int containerd_daemon_remove_stale(const struct plan *plan, struct failure *failure)
{
    struct containerd *connection = containerd_connect(containerd_daemon.line[1], failure);
    int result = connection ? 0 : -1;
    const char *last = NULL;
    for (size_t i = plan->begin[STAGE_SERVICES]; i < plan->end[STAGE_SERVICES] && result == 0;
         i++) {
        const char *ns = plan->lines[i].argument[2];
        if (plan->lines[i].word != WORD_CONTAINER || (last && strcmp(last, ns) == 0))
            continue;
        result = containerd_remove_all(connection, ns, failure);
        last = ns;
    }
    containerd_close(connection);
    return result;
}

static void containerd_daemon_begin_clearing(const struct plan *plan)
{
    struct failure failure;
    pid_t pid = child_fork(&containerd_daemon.clearing, &failure);
    if (pid == 0) {
        int result = containerd_daemon_remove_stale(plan, &failure);
        if (result < 0)
            say("containerd: %s", failure.text);
        _exit(result < 0);
    }
    containerd_daemon.phase = pid < 0 ? READY : CLEARING;
    containerd_daemon.next = 0;
}

static void containerd_daemon_report_log(struct timer *timer)
{
    (void)timer;
    say("containerd: the end of " LOG ":");
    containerd_daemon_show_log();
}

static void containerd_daemon_report_end(int64_t now)
{
    static struct timer log_report = {.due = containerd_daemon_report_log};
    char status[64];
    describe_status(containerd_daemon.process.status, status, sizeof status);
    say("containerd: %s", status);
    if (containerd_daemon.options && *containerd_daemon.options[2])
        return;
    /* They pass through another process, which is not waited for in here. */
    if (!containerd_daemon.log_report_added)
        timer_add(&log_report);
    containerd_daemon.log_report_added = true;
    log_report.at = now + LOG_DELAY;
}

/* It has died: in what time it starts again, which is longer each time. */
static void containerd_daemon_ended(int64_t now)
{
    child_forget(&containerd_daemon.process);
    if (now - containerd_daemon.begun > STEADY)
        containerd_daemon.failures = 0;
    containerd_daemon.failures++;
    if (!containerd_daemon.ending)
        containerd_daemon_report_end(now);
    containerd_daemon.phase = DEAD;
    containerd_daemon.next = now + service_pause(containerd_daemon.failures);
}

static void containerd_daemon_wait_for_socket(const struct plan *plan, int64_t now)
{
    if (containerd_daemon_accepts(containerd_daemon.line[1])) {
        say_time("containerd ready");
        containerd_daemon.next = 0;
        containerd_daemon.phase = READY;
        if (containerd_daemon.stale)
            containerd_daemon_begin_clearing(plan);
        return;
    }
    containerd_daemon.next = now + POLL;
    if (!containerd_daemon.timeout_reported && now - containerd_daemon.begun > SOCKET_TIMEOUT) {
        containerd_daemon.timeout_reported = true;
        say("containerd: no response on its socket %s", containerd_daemon.line[1]);
    }
}

bool containerd_daemon_step(const struct plan *plan)
{
    int64_t now = process_now();
    if ((containerd_daemon.phase == BEGUN || containerd_daemon.phase == CLEARING ||
         containerd_daemon.phase == READY) &&
        containerd_daemon.process.ended)
        containerd_daemon_ended(now);
    else if (containerd_daemon.phase == BEGUN && now >= containerd_daemon.next)
        containerd_daemon_wait_for_socket(plan, now);
    else if (containerd_daemon.phase == CLEARING && containerd_daemon.clearing.ended) {
        child_forget(&containerd_daemon.clearing);
        containerd_daemon.phase = READY;
    } else if (containerd_daemon.phase == DEAD && now >= containerd_daemon.next &&
               !containerd_daemon.ending)
        containerd_daemon_launch();
    return containerd_daemon.phase == READY;
}
