/* monitor.c: see monitor.h. */
#include "machine/monitor.h"

#include "base/cmdline.h"
#include "base/console.h"
#include "base/files.h"
#include "base/process.h"

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

enum { LOOK = 10000, FULL = 95, LEAST_SECONDS = 5, PANIC_SECONDS = 10 };

/* Where containers and logs write into memory (reference 4.1). */
static const char *const places[] = {"/run", "/tmp", "/var"};
static bool told[sizeof places / sizeof *places];

static struct timer look, feed;
static int watchdog = -1;
static int64_t rhythm;

static void look_at_space(struct timer *timer)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct statvfs space;
        if (statvfs(places[i], &space) < 0 || space.f_blocks == 0)
            continue;
        unsigned used = (unsigned)(100 - space.f_bavail * 100 / space.f_blocks);
        if (used >= FULL && !told[i])
            say("%s is %u%% full", places[i], used);
        told[i] = used >= FULL;
    }
    timer->at = process_now() + LOOK;
}

static void feed_watchdog(struct timer *timer)
{
    (void)!write(watchdog, "\n", 1);
    timer->at = process_now() + rhythm;
}

/* A kernel that has panicked does not feed itself either, but says why first, and starts again sooner. */
static void set_panic(void)
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

static void arm(int seconds)
{
    if (seconds < LEAST_SECONDS)
        seconds = LEAST_SECONDS;
    watchdog = open("/dev/watchdog", O_WRONLY | O_CLOEXEC);
    if (watchdog < 0) {
        say("watchdog: /dev/watchdog: %s", strerror(errno));
        return;
    }
    if (ioctl(watchdog, (int)WDIOC_SETTIMEOUT, &seconds) < 0)
        ioctl(watchdog, (int)WDIOC_GETTIMEOUT, &seconds);
    rhythm = (int64_t)seconds * 1000 / 3;
    set_panic();
    say("watchdog: fed, %d s", seconds);
    feed.due = feed_watchdog;
    timer_add(&feed);
    feed_watchdog(&feed);
}

void monitor_start(void)
{
    int seconds = cmdline_number("compos.watchdog=");
    if (seconds > 0)
        arm(seconds);
    look = (struct timer){.at = process_now() + LOOK, .due = look_at_space};
    timer_add(&look);
}
