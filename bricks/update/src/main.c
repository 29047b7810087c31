/*
 * main.c: update: brings this machine the next version of its system, and takes it back.
 *
 *     update now [SOURCE]     install a bundle from a URL or a path into the slot that does not run
 *     update status           which slot runs, what is known of both
 *     update back             start the other slot next time
 *     update serve OPTIONS    the service: look for an update now and then
 *     update check            RAUC's handler, before it writes: whether the version is one to take
 */
#include "engine.h"
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

#define MAIN_SLOT "/usr/bin/slot"
#define MAIN_TERMS "/etc/update/terms"
/* Set in the environment of all that is started, when nobody asked for this update. */
#define MAIN_NEWER "UPDATE_NEWER"

enum {
    LINE = 4096,
    NAME = 64,
    TRIALS = 3 /* a power cut may have been to blame, but not always */
};

/* What the system was built with: its version, and where updates come from, if that is said. */
struct main_terms {
    char version[LINE];
    char source[LINE];
    uint32_t every; /* seconds; 0: only when somebody asks */
    int restart;    /* whether to start an update at once */
    int downgrade;  /* of a bundle: whether it may replace a newer version */
};

static int main_terms_of(struct main_terms *terms, const char *path)
{
    char line[LINE];
    memset(terms, 0, sizeof *terms);
    FILE *file = fopen(path, "re");
    if (!file) {
        fprintf(stderr, "update: %s: %s\n", path, strerror(errno));
        return -1;
    }
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        char *value = strchr(line, '\t');
        if (!value)
            continue;
        *value++ = '\0';
        if (strcmp(line, "version") == 0)
            snprintf(terms->version, sizeof terms->version, "%s", value);
        else if (strcmp(line, "source") == 0)
            snprintf(terms->source, sizeof terms->source, "%s", value);
        else if (strcmp(line, "every") == 0)
            terms->every = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(line, "restart") == 0)
            terms->restart = 1;
        else if (strcmp(line, "downgrade") == 0)
            terms->downgrade = 1;
    }
    fclose(file);
    if (version_is(terms->version))
        return 0;
    fprintf(stderr, "update: %s has no version\n", path);
    return -1;
}

static int main_terms(struct main_terms *terms)
{
    return main_terms_of(terms, MAIN_TERMS);
}

static int main_refuse(const char *reason, const char *version)
{
    fprintf(stderr, "update: refused: %s %.64s\n", reason, version);
    return 1;
}

/* The slot that does not run, for the slots' program; -1. */
static int main_other(char *name)
{
    static const char *const current[] = {MAIN_SLOT, "get-current", NULL};
    if (engine_line(current, name, NAME) < 0 ||
        (strcmp(name, "A") != 0 && strcmp(name, "B") != 0)) {
        fprintf(stderr, "update: this system has no slots\n");
        return -1;
    }
    name[0] = name[0] == 'A' ? 'B' : 'A';
    return 0;
}

/* Why nobody who was not asked for this version takes it: NULL if somebody does. */
static const char *main_known(const char *slot, const char *version)
{
    char written[LINE], failures[NAME], next[NAME];
    const char *const get_version[] = {MAIN_SLOT, "get-version", slot, NULL};
    const char *const get_failures[] = {MAIN_SLOT, "get-failures", slot, NULL};
    const char *const get_primary[] = {MAIN_SLOT, "get-primary", NULL};
    if (engine_line(get_version, written, LINE) < 0 || strcmp(written, version) != 0)
        return NULL;
    if (engine_line(get_primary, next, NAME) == 0 && strcmp(next, slot) == 0)
        return "it is tried at the next start:";
    if (engine_line(get_failures, failures, NAME) == 0 && strtoul(failures, NULL, 10) >= TRIALS)
        return "its trials have failed:";
    return NULL;
}

/* RAUC goes on to write this version. */
static int main_accept(const char *slot, const char *version)
{
    const char *arguments[] = {MAIN_SLOT, "set-version", slot, version, NULL};
    return engine_run(arguments) == 0 ? 0 : 1;
}

/*
 * RAUC has verified the bundle's signature and mounted it; whatever is read of it is verified, too.
 * Nothing is written yet.
 */
static int main_check(void)
{
    struct main_terms own, new;
    char path[LINE], slot[NAME];
    const char *folder = getenv("RAUC_BUNDLE_MOUNT_POINT");
    snprintf(path, sizeof path, "%s/terms", folder ? folder : "");
    if (main_terms(&own) < 0 || main_terms_of(&new, path) < 0)
        return 1;
    int order = version_compare(new.version, own.version);
    if (order == 0 && getenv(MAIN_NEWER))
        return main_refuse("it is this version already:", new.version);
    if (order < 0 && !new.downgrade) {
        fprintf(stderr, "update: this system has version %s\n", own.version);
        return main_refuse("the update is older:", new.version);
    }
    if (main_other(slot) < 0)
        return 1;
    const char *reason = getenv(MAIN_NEWER) ? main_known(slot, new.version) : NULL;
    if (reason)
        return main_refuse(reason, new.version);
    return main_accept(slot, new.version);
}

static int main_now(const char *source)
{
    struct main_terms terms;
    if (main_terms(&terms) < 0)
        return 1;
    if (!source)
        source = terms.source;
    if (!*source) {
        fprintf(stderr, "update: there is no source: update now URL|FILE\n");
        return 1;
    }
    if (engine_install(source) < 0)
        return 1;
    printf("update: installed; it is tried at the next start\n");
    fflush(stdout);
    return 0;
}

static int main_back(void)
{
    char name[NAME];
    if (main_other(name) < 0)
        return 1;
    const char *arguments[] = {MAIN_SLOT, "set-primary", name, NULL};
    if (engine_run(arguments) != 0)
        return 1;
    printf("update: slot %s is tried at the next start\n", name);
    return 0;
}

static int main_status(void)
{
    static const char *const arguments[] = {MAIN_SLOT, "status", NULL};
    struct main_terms terms;
    if (main_terms(&terms) < 0)
        return 1;
    printf("version %s\n", terms.version);
    fflush(stdout);
    return engine_run(arguments) == 0 ? 0 : 1;
}

static void main_end(int number)
{
    (void)number;
    _exit(0);
}

/* A moment in the time between two looks, another one on each machine: a fleet spreads out. */
static uint32_t main_jitter(uint32_t every)
{
    uint32_t number = 0;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        number = (uint32_t)getpid();
    return number % every;
}

static void main_sleep(uint32_t seconds)
{
    struct timespec rest = {seconds, 0};
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

static int main_serve(void)
{
    struct main_terms terms;
    struct sigaction action = {.sa_handler = main_end};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (main_terms(&terms) < 0)
        return 1;
    while (!terms.every || !*terms.source)
        pause();
    setenv(MAIN_NEWER, "1", 1);
    main_sleep(main_jitter(terms.every));
    for (;;) {
        if (main_now(NULL) == 0 && terms.restart)
            main_restart();
        main_sleep(terms.every);
    }
}

int main(int count, char *arguments[])
{
    const char *verb = count > 1 ? arguments[1] : "";
    const char *name = strrchr(arguments[0], '/');
    /* RAUC calls a handler without arguments. */
    if (strcmp(name ? name + 1 : arguments[0], "update-check") == 0)
        return main_check();
    if (strcmp(verb, "now") == 0 && count <= 3)
        return main_now(count == 3 ? arguments[2] : NULL);
    if (strcmp(verb, "status") == 0 && count == 2)
        return main_status();
    if (strcmp(verb, "back") == 0 && count == 2)
        return main_back();
    if (strcmp(verb, "serve") == 0 && count == 2)
        return main_serve();
    fprintf(stderr, "usage: update now [URL|FILE] | status | back | serve\n");
    return 2;
}
