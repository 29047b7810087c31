/*
 * main.c: update: brings this machine the next version of its system, and takes it back.
 *
 *     update now [SOURCE]     install a bundle into the slot that does not run: a URL, a path, a
 *                             registry's name, or what is on a stick
 *     update status           which slot runs, what is known of both
 *     update back             start the other slot next time
 *     update serve            the service: look for an update now and then
 *     update data             before the services start: whether this version can read the data
 *     update check            RAUC's handler, before it writes: whether the version is one to take
 *     update-kexec COMMAND    the program for slots of a system without them (memory.h)
 */
#include "data.h"
#include "hawkbit.h"
#include "memory.h"
#include "slots.h"
#include "source.h"
#include "stick.h"
#include "terms.h"
#include "verdict.h"
#include "version.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define MAIN_TERMS "/etc/update/terms"

enum {
    TRIALS = 3,       /* a power cut may have been to blame, but not always */
    GLANCE = 5,       /* seconds between two looks for sticks */
    USUAL_SLEEP = 300 /* between two looks at a hawkBit server that does not say how often */
};

static int main_terms(struct terms *terms)
{
    int result = terms_read(terms, MAIN_TERMS);
    if (result == 0)
        slots_use(terms);
    return result;
}

static int main_refuse(const char *reason, const char *version)
{
    verdict_refuse("%s %.64s", reason, version);
    return 1;
}

/* Why nobody who was not asked for this version takes it: NULL if somebody does. */
static const char *main_known(const char *slot, const char *version)
{
    char written[SLOTS_LINE], failures[SLOTS_NAME], next[SLOTS_NAME];
    if (slots_ask("get-version", slot, written, SLOTS_LINE) < 0 || strcmp(written, version) != 0)
        return NULL;
    if (slots_ask("get-primary", NULL, next, SLOTS_NAME) == 0 && strcmp(next, slot) == 0)
        return "it is tried at the next start:";
    if (slots_ask("get-failures", slot, failures, SLOTS_NAME) == 0 &&
        strtoul(failures, NULL, 10) >= TRIALS)
        return "its trials have failed:";
    return NULL;
}

/*
 * RAUC has verified the bundle's signature and mounted it; whatever is read of it is verified, too.
 * Nothing is written yet.
 */
static int main_check(void)
{
    struct terms own, new;
    char path[SLOTS_LINE], slot[SLOTS_NAME];
    const char *folder = getenv("RAUC_BUNDLE_MOUNT_POINT"), *only = getenv(SOURCE_ONLY);
    snprintf(path, sizeof path, "%s/terms", folder ? folder : "");
    if (main_terms(&own) < 0 || terms_read(&new, path) < 0)
        return 1;
    verdict_note(new.version);
    if (only && strcmp(only, new.version) != 0)
        return main_refuse("another version is being rolled out:", only);
    int order = version_compare(new.version, own.version);
    if (order == 0 && getenv(SOURCE_NEWER))
        return main_refuse("it is this version already:", new.version);
    if (order < 0 && !new.downgrade) {
        fprintf(stderr, "update: this system has version %s\n", own.version);
        return main_refuse("the update is older:", new.version);
    }
    if (slots_other(slot) < 0)
        return 1;
    if (slots_on_trial())
        return main_refuse("it would take the place of what this one on trial may go back to:",
                           new.version);
    const char *reason = getenv(SOURCE_NEWER) ? main_known(slot, new.version) : NULL;
    if (reason)
        return main_refuse(reason, new.version);
    if (own.data && (data_readable(&own, &new) < 0 || data_remember(&new) < 0))
        return 1;
    if (own.kexec && memory_fit(folder ? folder : "") < 0)
        return 1;
    /* RAUC goes on to write it. */
    return slots_tell("set-version", slot, new.version) == 0 ? 0 : 1;
}

static int main_now(const char *source)
{
    struct terms terms;
    if (main_terms(&terms) < 0)
        return 1;
    if (source)
        return source_install(&terms, source) < 0 ? 1 : 0;
    if (!terms.count)
        fprintf(stderr, "update: there is no source: update now SOURCE\n");
    for (int i = 0; i < terms.count; i++)
        if (source_install(&terms, terms.sources[i]) == 0)
            return 0;
    return 1;
}

static int main_back(void)
{
    struct terms terms;
    char name[SLOTS_NAME], version[SLOTS_LINE];
    if (main_terms(&terms) < 0 || slots_other(name) < 0)
        return 1;
    if (terms.kexec) {
        fprintf(stderr, "update: the version before is not kept\n");
        return 1;
    }
    if (terms.data && slots_ask("get-version", name, version, SLOTS_LINE) == 0 &&
        data_known(version) < 0)
        return 1;
    if (slots_tell("set-primary", name, NULL) != 0)
        return 1;
    printf("update: slot %s is tried at the next start\n", name);
    return 0;
}

static int main_status(void)
{
    struct terms terms;
    if (main_terms(&terms) < 0)
        return 1;
    printf("version %s\n", terms.version);
    fflush(stdout);
    return slots_tell("status", NULL, NULL) == 0 ? 0 : 1;
}

static void main_end(int number)
{
    (void)number;
    _exit(0);
}

static uint32_t main_chance(void)
{
    uint32_t number = 0;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        number = (uint32_t)getpid();
    return number;
}

static uint64_t main_clock(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec;
}

static void main_sleep(uint64_t seconds)
{
    struct timespec rest = {(time_t)seconds, 0};
    while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
        continue;
}

/* init takes this signal as the wish to restart (docs/services.md). */
static void main_restart(void)
{
    printf("update: restarting\n");
    fflush(stdout);
    kill(1, SIGTERM);
}

/* Whoever has put a stick in waits for what it does: no window counts. */
static void main_look_at_sticks(const struct terms *terms, uint64_t *seen)
{
    uint64_t present = stick_present();
    if (present == *seen)
        return;
    *seen = present;
    if (present && source_sticks(terms) == 0 && terms->restart)
        main_restart();
}

/* Until the time has come, or for good if that is 0; sticks are seen meanwhile. */
static void main_rest(const struct terms *terms, uint64_t seconds, bool forever)
{
    static uint64_t seen;
    bool sticks = false;
    for (int i = 0; i < terms->count; i++)
        sticks = sticks || strcmp(terms->sources[i], STICK_WORD) == 0;
    uint64_t end = main_clock(CLOCK_BOOTTIME) + seconds;
    for (uint64_t now; forever || (now = main_clock(CLOCK_BOOTTIME)) < end;) {
        if (sticks)
            main_look_at_sticks(terms, &seen);
        main_sleep(sticks && (forever || end - now > GLANCE) ? GLANCE
                   : forever                                 ? UINT32_MAX
                                                             : end - now);
    }
}

/* Seconds between two looks: a hawkBit server says how often it wants to be asked. */
static uint32_t main_period(const struct terms *terms)
{
    if (!*terms->hawkbit.server)
        return terms->every;
    if (hawkbit_sleep())
        return hawkbit_sleep();
    return terms->every ? terms->every : USUAL_SLEEP;
}

static int main_serve(void)
{
    struct terms terms;
    struct sigaction action = {.sa_handler = main_end};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (main_terms(&terms) < 0)
        return 1;
    setenv(SOURCE_NEWER, "1", 1);
    uint32_t every = main_period(&terms);
    if (!every || !terms.count)
        main_rest(&terms, 0, true);
    /* Another moment on each machine: a fleet spreads out. */
    uint64_t wait = main_chance() % every;
    for (;;) {
        uint64_t now = main_clock(CLOCK_REALTIME);
        main_rest(&terms, schedule_wait(terms.window, now, wait, main_chance()), false);
        wait = 0;
        /* The clock may have been set meanwhile. */
        if (!schedule_open(terms.window, main_clock(CLOCK_REALTIME)))
            continue;
        if (main_now(NULL) == 0 && terms.restart) {
            main_rest(&terms, schedule_until(terms.window, main_clock(CLOCK_REALTIME)), false);
            main_restart();
        }
        wait = main_period(&terms);
    }
}

/* Before the services start: whether this version can read the data. */
static int main_data(void)
{
    struct terms terms;
    return main_terms(&terms) < 0 || data_start(&terms) < 0;
}

int main(int count, char *arguments[])
{
    const char *verb = count > 1 ? arguments[1] : "";
    const char *name = strrchr(arguments[0], '/');
    /* RAUC calls a handler without arguments. */
    name = name ? name + 1 : arguments[0];
    if (strcmp(name, "update-check") == 0)
        return main_check();
    if (strcmp(name, "update-kexec") == 0)
        return memory_slot(count, arguments);
    if (strcmp(verb, "now") == 0 && count <= 3)
        return main_now(count == 3 ? arguments[2] : NULL);
    if (strcmp(verb, "status") == 0 && count == 2)
        return main_status();
    if (strcmp(verb, "back") == 0 && count == 2)
        return main_back();
    if (strcmp(verb, "serve") == 0 && count == 2)
        return main_serve();
    if (strcmp(verb, "data") == 0 && count == 2)
        return main_data();
    fprintf(stderr, "usage: update now [URL|FILE|stick] | status | back | serve | data\n");
    return 2;
}
