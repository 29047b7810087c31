/* monitor.c: see monitor.h. */
#include "machine/monitor.h"

#include "base/cmdline.h"
#include "base/console.h"
#include "base/files.h"
#include "base/process.h"
#include "machine/coldplug.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { LOOK = 10000, FULL = 95, MIN_SECONDS = 5, PANIC_SECONDS = 10 };

/* Where containers and logs write into memory (docs/linuxkit.md#run-4.1). */
static const char *const monitor_places[] = {"/run", "/tmp", "/var"};
static bool monitor_reported[sizeof monitor_places / sizeof *monitor_places];

static struct timer monitor_space, monitor_watchdog_timer;
static int monitor_watchdog = -1;
static int64_t monitor_feed_interval;

static void monitor_look_at_space(struct timer *timer)
{
    for (size_t i = 0; i < sizeof monitor_places / sizeof *monitor_places; i++) {
        struct statvfs space;
        if (statvfs(monitor_places[i], &space) < 0 || space.f_blocks == 0)
            continue;
        unsigned used = (unsigned)(100 - space.f_bavail * 100 / space.f_blocks);
        if (used >= FULL && !monitor_reported[i])
            say("%s is %u%% full", monitor_places[i], used);
        monitor_reported[i] = used >= FULL;
    }
    timer->at = process_now() + LOOK;
}

static void monitor_feed_watchdog(struct timer *timer)
{
    (void)!write(monitor_watchdog, "\n", 1);
    timer->at = process_now() + monitor_feed_interval;
}

/*
 * A kernel that has panicked does not feed itself either, but says why first, and starts again
 * sooner.
 */
static void monitor_set_panic(void)
{
    char text[16];
    if (file_line("/proc/sys/kernel/panic", text, sizeof text) < 0 || strcmp(text, "0") != 0)
        return;
    int file = open("/proc/sys/kernel/panic", O_WRONLY | O_CLOEXEC);
    if (file >= 0) {
        dprintf(file, "%d", PANIC_SECONDS);
        close(file);
    }
}

static void monitor_arm(int seconds)
{
    if (seconds < MIN_SECONDS)
        seconds = MIN_SECONDS;
    struct failure failure;
    monitor_watchdog = open("/dev/watchdog", O_WRONLY | O_CLOEXEC);
    /* Without the machine's own, the kernel's timer notices at least that this process hangs. */
    if (monitor_watchdog < 0 && coldplug_load_module("softdog", &failure) == 0)
        monitor_watchdog = open("/dev/watchdog", O_WRONLY | O_CLOEXEC);
    if (monitor_watchdog < 0) {
        say("watchdog: /dev/watchdog: %s", strerror(errno));
        return;
    }
    if (ioctl(monitor_watchdog, (int)WDIOC_SETTIMEOUT, &seconds) < 0)
        ioctl(monitor_watchdog, (int)WDIOC_GETTIMEOUT, &seconds);
    monitor_feed_interval = (int64_t)seconds * 1000 / 3;
    monitor_set_panic();
    say("watchdog: fed, %d s", seconds);
    monitor_watchdog_timer.due = monitor_feed_watchdog;
    timer_add(&monitor_watchdog_timer);
    monitor_feed_watchdog(&monitor_watchdog_timer);
}

void monitor_start(void)
{
    int seconds = cmdline_number("compos.watchdog=");
    if (seconds > 0)
        monitor_arm(seconds);
    monitor_space = (struct timer){.at = process_now() + LOOK, .due = monitor_look_at_space};
    timer_add(&monitor_space);
}
