/* process.c: see process.h. */
#include "base/process.h"

#include "base/console.h"
#include "base/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct relay {
    int input;
    int log;
    size_t room; /* in the log */
    struct relay *next;
};

static int process_signals = -1;
static int process_poller = -1;

/* How long a log that is a pipe may take (milliseconds); a file never takes any time. */
enum { LOG_TIMEOUT = 500 };

/* What is ready in this round. */
enum { AT_ONCE = 64 };
static struct epoll_event process_ready[AT_ONCE];
static enum power process_requested;
static bool process_power_ignored;
static bool process_unreaped;
static struct child *process_children;
static struct relay *process_relays;
static struct watch *process_watches;
static struct timer *process_timers;
static void (*process_after_round)(void);

/* The last children that ended unwatched. */
enum { MAX_UNCLAIMED = 64 };
static struct {
    pid_t pid;
    int status;
} process_unclaimed[MAX_UNCLAIMED];
static size_t process_last_unclaimed;

/*
 * Has a descriptor looked at by process_events. epoll, not poll: a thousand services have thousands
 * of descriptors, and it reports those that are ready in turn, so that none starves.
 */
static int process_poller_add(int descriptor)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
    if (process_poller < 0)
        process_poller = epoll_create1(EPOLL_CLOEXEC);
    return epoll_ctl(process_poller, EPOLL_CTL_ADD, descriptor, &event);
}

/*
 * Before the descriptor is closed: a forked process that has it, too, would keep it in the set.
 * Whoever gets its number in the same round is not taken for it.
 */
static void process_poller_remove(int descriptor)
{
    epoll_ctl(process_poller, EPOLL_CTL_DEL, descriptor, NULL);
    for (size_t i = 0; i < AT_ONCE; i++)
        if (process_ready[i].data.fd == descriptor)
            process_ready[i].data.fd = -1;
}

/*
 * BusyBox init's meaning of the signals (docs/linuxkit.md#run-3); SIGPWR is what a power supply's
 * daemon sends.
 */
static enum power process_power_of_signal(unsigned signal)
{
    switch (signal) {
    case SIGUSR2:
    case SIGPWR:
        return POWER_OFF;
    case SIGUSR1:
        return POWER_HALT;
    case SIGTERM:
    case SIGINT:
        return POWER_REBOOT;
    default:
        return POWER_NONE;
    }
}

int process_start(struct failure *failure)
{
    sigset_t known;
    sigemptyset(&known);
    static const int numbers[] = {SIGCHLD, SIGHUP,  SIGINT,  SIGPIPE,
                                  SIGPWR,  SIGTERM, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        sigaddset(&known, numbers[i]);
    sigprocmask(SIG_SETMASK, &known, NULL);
    process_signals = signalfd(-1, &known, SFD_NONBLOCK | SFD_CLOEXEC);
    return process_signals < 0 || process_poller_add(process_signals) < 0
               ? failed_errno(failure, "signalfd")
               : 0;
}

enum power process_power(void)
{
    return process_requested;
}

void process_request(enum power power)
{
    if (process_requested == POWER_NONE)
        process_requested = power;
}

int64_t process_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void process_ignore_power(void)
{
    process_power_ignored = true;
}

static void process_add_child(struct child *child, pid_t pid)
{
    *child = (struct child){.pid = pid, .watched = true, .next = process_children};
    process_children = child;
}

/* Takes out what is known of the last unclaimed exit of this number; -1 when nothing is. */
static int process_take_unclaimed(pid_t pid, int *status)
{
    int result = -1;
    for (size_t i = 0; i < MAX_UNCLAIMED; i++)
        if (process_unclaimed[i].pid == pid) {
            *status = process_unclaimed[i].status;
            process_unclaimed[i].pid = 0;
            result = 0;
        }
    return result;
}

void child_watch(struct child *child, pid_t pid)
{
    int status;
    /*
     * Numbers come again: where there is such a process now, an earlier one's end is not its own.
     */
    bool gone = kill(pid, 0) < 0 && errno == ESRCH;
    process_add_child(child, pid);
    if (process_take_unclaimed(pid, &status) == 0 && gone) {
        child->status = status;
        child->ended = true;
    }
}

void child_forget(struct child *child)
{
    child->watched = false;
    for (struct child **link = &process_children; *link; link = &(*link)->next)
        if (*link == child) {
            *link = child->next;
            return;
        }
}

static struct child *process_watched_child(pid_t pid)
{
    for (struct child *child = process_children; child; child = child->next)
        if (child->pid == pid && !child->ended)
            return child;
    return NULL;
}

static void process_reap(void)
{
    int status;
    pid_t pid;
    process_unreaped = false;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child *child = process_watched_child(pid);
        if (!child) {
            process_last_unclaimed = (process_last_unclaimed + 1) % MAX_UNCLAIMED;
            process_unclaimed[process_last_unclaimed].pid = pid;
            process_unclaimed[process_last_unclaimed].status = status;
            continue;
        }
        child->status = status;
        child->ended = true;
        /*
         * Who waits for it may now want to watch an orphan of it: that one is reaped in the next
         * round.
         */
        process_unreaped = true;
        return;
    }
}

static void process_take_signals(void)
{
    struct signalfd_siginfo info;
    while (read(process_signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            continue;
        process_request(process_power_of_signal(info.ssi_signo));
    }
    process_reap();
}

/*
 * Passes on at most what a pipe holds, so that an endless writer starves nobody. False at the end
 * of input.
 */
static bool process_pass_on(struct relay *relay)
{
    char bytes[4096];
    for (unsigned rounds = 0; rounds <= 65536 / sizeof bytes; rounds++) {
        ssize_t count = read(relay->input, bytes, sizeof bytes);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count < 0 && errno == EAGAIN;
        /*
         * A log on a full disk, or one that nobody reads, must not stop the container: the console
         * still has it.
         */
        if (relay->log >= 0 && ((size_t)count > relay->room ||
                                write_within(relay->log, bytes, (size_t)count, LOG_TIMEOUT) < 0)) {
            close(relay->log);
            relay->log = -1;
        }
        relay->room -= relay->log < 0 ? 0 : (size_t)count;
        console_write(bytes, (size_t)count);
    }
    return true;
}

int relay_add(int input, int log, size_t room, struct failure *failure)
{
    struct relay *relay = malloc(sizeof *relay);
    if (!relay)
        return failed_errno(failure, "relay");
    fcntl(input, F_SETFL, O_NONBLOCK);
    if (process_poller_add(input) < 0) {
        free(relay);
        return failed_errno(failure, "relay");
    }
    *relay = (struct relay){.input = input, .log = log, .room = room, .next = process_relays};
    process_relays = relay;
    return 0;
}

void relay_drain(void)
{
    for (struct relay **link = &process_relays; *link;) {
        struct relay *relay = *link;
        if (process_pass_on(relay)) {
            link = &relay->next;
            continue;
        }
        *link = relay->next;
        process_poller_remove(relay->input);
        close(relay->input);
        if (relay->log >= 0)
            close(relay->log);
        free(relay);
    }
}

void watch_add(struct watch *watch)
{
    watch->next = process_watches;
    process_watches = watch;
    if (process_poller_add(watch->descriptor) < 0)
        say("descriptor %d: %s", watch->descriptor, strerror(errno));
}

void watch_remove(struct watch *watch)
{
    for (struct watch **link = &process_watches; *link; link = &(*link)->next)
        if (*link == watch) {
            *link = watch->next;
            process_poller_remove(watch->descriptor);
            return;
        }
}

void process_after(void (*hook)(void))
{
    process_after_round = hook;
    process_unreaped = true;
}

void timer_add(struct timer *timer)
{
    timer->next = process_timers;
    process_timers = timer;
}

/* `milliseconds`, or fewer when a timer is due earlier. */
static int process_poll_timeout(int milliseconds)
{
    int64_t now = process_timers ? process_now() : 0;
    for (const struct timer *timer = process_timers; timer; timer = timer->next) {
        if (timer->at == 0)
            continue;
        int64_t left = timer->at <= now ? 0 : timer->at - now;
        if (milliseconds < 0 || left < milliseconds)
            milliseconds = left > INT_MAX ? INT_MAX : (int)left;
    }
    return process_unreaped ? 0 : milliseconds;
}

static void process_run_timers(void)
{
    int64_t now = process_now();
    for (struct timer *timer = process_timers; timer; timer = timer->next)
        if (timer->at != 0 && timer->at <= now) {
            timer->at = 0;
            timer->due(timer);
        }
}

/* A watch that is called may remove itself and others: each is looked up again. */
static void process_call_watch(int descriptor)
{
    for (struct watch *watch = process_watches; watch; watch = watch->next)
        if (watch->descriptor == descriptor) {
            watch->ready(watch);
            return;
        }
}

void process_events(int milliseconds)
{
    int ready =
        epoll_wait(process_poller, process_ready, AT_ONCE, process_poll_timeout(milliseconds));
    if (ready > 0 || process_unreaped) {
        relay_drain();
        process_take_signals();
    }
    for (int i = 0; i < ready; i++)
        if (process_ready[i].data.fd >= 0)
            process_call_watch(process_ready[i].data.fd);
    process_run_timers();
    if (process_after_round)
        process_after_round();
}

int child_wait_until(struct child *child, int64_t deadline)
{
    while (!child->ended && (process_power_ignored || process_requested == POWER_NONE)) {
        int64_t left = deadline == INT64_MAX ? -1 : deadline - process_now();
        if (deadline != INT64_MAX && left <= 0)
            break;
        process_events(left > INT_MAX ? INT_MAX : (int)left);
    }
    child_forget(child);
    return child->ended ? 0 : -1;
}

int child_wait(struct child *child)
{
    return child_wait_until(child, INT64_MAX);
}

pid_t child_fork(struct child *child, struct failure *failure)
{
    pid_t pid = fork();
    if (pid < 0)
        return failed_errno(failure, "fork");
    if (pid > 0) {
        int stale;
        process_take_unclaimed(pid, &stale);
        process_add_child(child, pid);
        return pid;
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    return 0;
}

int child_start(struct child *child, const char *const arguments[], int output, int error,
                struct failure *failure)
{
    pid_t pid = child_fork(child, failure);
    if (pid != 0)
        return pid < 0 ? -1 : 0;
    process_exec(arguments, output, error);
}

_Noreturn void process_exec(const char *const arguments[], int output, int error)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    /* Out of the way of 0 to 2, which may be closed when the kernel found no console. */
    int to = fcntl(output, F_DUPFD_CLOEXEC, 3);
    int to_error = fcntl(error, F_DUPFD_CLOEXEC, 3);
    dup2(null, STDIN_FILENO);
    dup2(to, STDOUT_FILENO);
    dup2(to_error, STDERR_FILENO);
    sealed_exec(arguments);
    execv(arguments[0], (char *const *)arguments);
    dprintf(STDERR_FILENO, "%s: %s\n", arguments[0], strerror(errno));
    _exit(127);
}

void describe_status(int status, char *text, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(text, size, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(text, size, "exit status %d", WEXITSTATUS(status));
}
