/* containerd_daemon.c: see containerd_daemon.h. */
#include "containerd/containerd_daemon.h"

#include "containers/bundle.h"
#include "base/console.h"
#include "base/failure.h"
#include "containerd/containerd.h"
#include "base/files.h"
#include "log/log.h"
#include "base/process.h"
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
enum { PATIENCE = 120000, POLL = 20, STEADY = 60000, SHARE = -900, LAST_WORDS = 300 };
enum { OPTIONS_SIZE = 4096 };

enum phase { ABSENT, BEGUN, CLEARING, READY, DEAD };

static const char *const *line, *const *options;
static enum phase phase;
static bool stale, ending, told, words_added;
static struct child process, clearing;
static unsigned failures;
static int64_t begun, next;

static bool accepts(const char *path)
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
static void show_log(void)
{
    enum { TAIL = 1024 };
    char text[TAIL];
    int file = open(LOG, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* whoever has the folder may put a FIFO there */
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
static void set_share(pid_t pid, int share)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return;
    dprintf(file, "%d", share);
    close(file);
}

void daemon_spare(pid_t pid)
{
    char path[64], text[16];
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)pid);
    /* The shim adds one to containerd's. */
    if (phase != ABSENT && file_line(path, text, sizeof text) == 0 && atoi(text) == SHARE + 1)
        set_share(pid, 0);
}

/* Its own log, or what its options say. -1: the console. */
static int open_output(const char *place)
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
static int start_with(int out, int err, struct failure *failure)
{
    char text[OPTIONS_SIZE];
    const char *arguments[OPTIONS_SIZE / 2 + 2] = {line[0]};
    size_t count = 1;
    if (strlen(options ? options[0] : "") >= sizeof text)
        return failed(failure, "the options are too long");
    strcpy(text, options ? options[0] : "");
    for (char *rest = text, *word; (word = strsep(&rest, " ")) != NULL;)
        if (*word)
            arguments[count++] = word;
    return child_start(&process, arguments, out < 0 ? STDOUT_FILENO : out, err < 0 ? STDERR_FILENO : err, failure);
}

static void begin(void)
{
    struct failure failure;
    unlink(line[1]);
    stale = access(STATE, F_OK) == 0 && phase == ABSENT;
    begun = process_now();
    next = begun + POLL;
    int out = open_output(options ? options[1] : "");
    int err = open_output(options ? options[2] : "");
    bool started = start_with(out, err, &failure) == 0;
    if (out >= 0)
        close(out);
    if (err >= 0)
        close(err);
    phase = started ? BEGUN : DEAD;
    if (started)
        set_share(process.pid, SHARE);
    if (!started) {
        say("containerd: %s", failure.text);
        next = begun + service_pause(++failures);
    }
}

void daemon_options(const char *const argument[])
{
    if (phase == ABSENT)
        options = argument;
}

void daemon_start(const char *const argument[])
{
    if (phase != ABSENT)
        return;
    line = argument;
    begin();
}

bool daemon_present(void)
{
    return phase != ABSENT;
}

const char *daemon_socket(void)
{
    return line ? line[1] : NULL;
}

int64_t daemon_next(void)
{
    return ending ? 0 : next;
}

void daemon_end(void)
{
    ending = true;
}

/* What a persistent /var/lib/containerd remembers of the last boot. In a process of its own. */
static int remove_stale(const struct plan *plan, struct failure *failure)
{
    struct containerd *connection = containerd_connect(line[1], failure);
    int result = connection ? 0 : -1;
    const char *last = NULL;
    for (size_t i = plan->begin[STAGE_SERVICES]; i < plan->end[STAGE_SERVICES] && result == 0; i++) {
        const char *ns = plan->lines[i].argument[2];
        if (plan->lines[i].word != WORD_CONTAINER || (last && strcmp(last, ns) == 0))
            continue;
        result = containerd_remove_all(connection, ns, failure);
        last = ns;
    }
    containerd_close(connection);
    return result;
}

static void begin_clearing(const struct plan *plan)
{
    struct failure failure;
    pid_t pid = child_fork(&clearing, &failure);
    if (pid == 0) {
        int result = remove_stale(plan, &failure);
        if (result < 0)
            say("containerd: %s", failure.text);
        _exit(result < 0);
    }
    phase = pid < 0 ? READY : CLEARING;
    next = 0;
}

static void tell_last_words(struct timer *timer)
{
    (void)timer;
    say("containerd: its last words in " LOG ":");
    show_log();
}

static void tell_end(int64_t now)
{
    static struct timer last_words = {.due = tell_last_words};
    char status[64];
    describe_status(process.status, status, sizeof status);
    say("containerd: %s", status);
    if (options && *options[2])
        return;
    /* They pass through another process, which is not waited for in here. */
    if (!words_added)
        timer_add(&last_words);
    words_added = true;
    last_words.at = now + LAST_WORDS;
}

/* It has died: in what time it starts again, which is longer each time. */
static void end(int64_t now)
{
    child_forget(&process);
    if (now - begun > STEADY)
        failures = 0;
    failures++;
    if (!ending)
        tell_end(now);
    phase = DEAD;
    next = now + service_pause(failures);
}

static void wait_for_socket(const struct plan *plan, int64_t now)
{
    if (accepts(line[1])) {
        say_time("containerd ready");
        next = 0;
        phase = READY;
        if (stale)
            begin_clearing(plan);
        return;
    }
    next = now + POLL;
    if (!told && now - begun > PATIENCE) {
        told = true;
        say("containerd: its socket %s does not answer", line[1]);
    }
}

bool daemon_ready(const struct plan *plan)
{
    int64_t now = process_now();
    if ((phase == BEGUN || phase == CLEARING || phase == READY) && process.ended)
        end(now);
    else if (phase == BEGUN && now >= next)
        wait_for_socket(plan, now);
    else if (phase == CLEARING && clearing.ended) {
        child_forget(&clearing);
        phase = READY;
    } else if (phase == DEAD && now >= next && !ending)
        begin();
    return phase == READY;
}
