/* source.c: see source.h. */
#include "source.h"

#include "engine.h"
#include "hawkbit.h"
#include "machine.h"
#include "memory.h"
#include "registry.h"
#include "schedule.h"
#include "stick.h"
#include "version.h"
#include "web/fetch.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MACHINE = 256 };

static int source_order(const char *source, const char *header, struct failure *reason)
{
    if (engine_install(source, header, reason) < 0) {
        fprintf(stderr, "update: not installed; this version stays\n");
        return -1;
    }
    printf("update: installed; it is tried at the next start\n");
    fflush(stdout);
    return 0;
}

static int source_bundle(const char *source, const char *header)
{
    struct failure reason;
    return source_order(source, header, &reason);
}

static int source_file(const char *path)
{
    return source_bundle(path, "");
}

/*
 * Whether a rollout has come to this machine: that many machines take the version. What it says is
 * not signed: whoever can change it can also hold the update back.
 */
static bool source_turn(const struct terms *own, const char *text)
{
    struct schedule_rollout rollout;
    char machine[MACHINE];
    if (schedule_rollout(&rollout, text) < 0) {
        fprintf(stderr, "update: the rollout is not a version and a percentage\n");
        return false;
    }
    if (version_compare(rollout.version, own->version) == 0)
        return false;
    machine_name(machine, sizeof machine);
    if (!schedule_takes(&rollout, machine)) {
        printf("update: version %s is not yet for this machine\n", rollout.version);
        fflush(stdout);
        return false;
    }
    setenv(SOURCE_ONLY, rollout.version, 1);
    return true;
}

/* As `source_turn`, by the file beside a bundle at a server; without one it is for all machines. */
static bool source_turn_beside(const struct terms *own, const char *source)
{
    static const char *const none[] = {NULL};
    struct fetch_answer answer;
    struct failure failure;
    char url[TERMS_LINE + 16];
    if (strchr(source, '?'))
        return true;
    snprintf(url, sizeof url, "%s.rollout", source);
    if (fetch_document(url, none, &answer, &failure) < 0) {
        fprintf(stderr, "update: %s: %s\n", url, failure.text);
        return false;
    }
    bool turn = answer.status == 200 && source_turn(own, answer.text);
    free(answer.text);
    /* Stores of objects do not tell strangers whether there is one. */
    if (answer.status == 403 || answer.status == 404 || answer.status == 410)
        return true;
    if (answer.status != 200)
        fprintf(stderr, "update: %s: status %d\n", url, answer.status);
    return turn;
}

static int source_registry(const struct terms *own, const char *source)
{
    struct registry_bundle bundle;
    struct failure failure;
    if (registry_find(source, &bundle, &failure) < 0) {
        fprintf(stderr, "update: %s: %s\n", source, failure.text);
        return -1;
    }
    if (getenv(SOURCE_NEWER) && *bundle.rollout && !source_turn(own, bundle.rollout))
        return -1;
    return source_bundle(bundle.url, bundle.header);
}

static int source_any(const struct terms *own, const char *source)
{
    bool newer = getenv(SOURCE_NEWER);
    if (strcmp(source, STICK_WORD) == 0)
        return stick_install(own, newer, source_file);
    if (strcmp(source, HAWKBIT_WORD) == 0)
        return hawkbit_look(own, source_order);
    if (registry_is(source))
        return source_registry(own, source);
    if (newer && *source != '/' && !source_turn_beside(own, source))
        return -1;
    return source_bundle(source, "");
}

int source_install(const struct terms *own, const char *source)
{
    int room = own->kexec ? memory_open() : -1;
    if (own->kexec && room < 0)
        return -1;
    unsetenv(SOURCE_ONLY);
    int result = source_any(own, source);
    if (room >= 0)
        close(room);
    return result;
}

int source_sticks(const struct terms *own)
{
    return source_install(own, STICK_WORD);
}
