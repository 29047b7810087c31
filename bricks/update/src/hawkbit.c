/*
 * hawkbit.c: see hawkbit.h. The file has one line: the action's number, how often its bundle was
 * tried to be installed, and the slot and
 * the version, "-" until it is installed.
 */
#include "hawkbit.h"

#include "base/files.h"
#include "base/keep.h"
#include "ddi.h"
#include "slots.h"
#include "source.h"
#include "verdict.h"
#include "version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* In the container: a folder of the data partition, and the one with the token. */
#define HAWKBIT_FOLDER "/var/lib/hawkbit"
#define HAWKBIT_TOKENS "/etc/hawkbit"
#define HAWKBIT_NAME ".compos-hawkbit"
#define HAWKBIT_FILE HAWKBIT_FOLDER "/" HAWKBIT_NAME

enum {
    ATTEMPTS = 3, /* a network may be to blame, but not always */
    LEAST_SLEEP = 30,
    MOST_SLEEP = 86400
};

/* The order that is being followed; `id` is empty without one. */
struct hawkbit_order {
    char id[DDI_ID];
    unsigned attempts;
    char slot[2]; /* empty until it is installed */
    char version[65];
};

enum hawkbit_end { PENDING, SUCCEEDED, FAILED };

static uint32_t hawkbit_pause;

uint32_t hawkbit_sleep(void)
{
    return hawkbit_pause;
}

static int hawkbit_complain(const char *what, const struct failure *failure)
{
    fprintf(stderr, "update: hawkBit: %s: %s\n", what, failure->text);
    return -1;
}

/* What is damaged is as if nothing was kept: the server still has its order. */
static void hawkbit_load(struct hawkbit_order *order)
{
    char line[256], more[2];
    struct hawkbit_order found = {0};
    *order = found;
    if (file_line(HAWKBIT_FILE, line, sizeof line) < 0 ||
        sscanf(line, "%19[0-9] %2u %1[AB-] %64s %1s", found.id, &found.attempts, found.slot,
               found.version, more) != 4 ||
        found.attempts > ATTEMPTS || (*found.slot != '-' && !version_is(found.version)))
        return;
    *order = found;
    if (*found.slot == '-')
        *order->slot = *order->version = '\0';
}

static int hawkbit_save(const struct hawkbit_order *order)
{
    char line[256] = "";
    bool installed = *order->slot;
    if (*order->id)
        snprintf(line, sizeof line, "%s %u %s %s\n", order->id, order->attempts,
                 installed ? order->slot : "-", installed ? order->version : "-");
    if (keep_replace(HAWKBIT_FOLDER, HAWKBIT_NAME, line) == 0)
        return 0;
    fprintf(stderr, "update: " HAWKBIT_FILE ": %s\n", strerror(errno));
    return -1;
}

static bool hawkbit_says(const char *verb, const char *slot, const char *wanted)
{
    char line[SLOTS_LINE];
    return slots_ask(verb, slot, line, sizeof line) == 0 && strcmp(line, wanted) == 0;
}

/* Without slots: what runs after the next restart, unless the machine was switched off. */
static enum hawkbit_end hawkbit_memory_end(const struct terms *own,
                                           const struct hawkbit_order *order, char *detail)
{
    if (version_compare(own->version, order->version) == 0)
        return SUCCEEDED;
    if (hawkbit_says("get-primary", NULL, order->slot))
        return PENDING;
    snprintf(detail, DDI_DETAIL, "the machine has started with version %.64s", own->version);
    return FAILED;
}

/* What has become of an order that was installed; a failure's reason goes to `detail`. */
static enum hawkbit_end hawkbit_end(const struct terms *own, const struct hawkbit_order *order,
                                    char *detail)
{
    char current[SLOTS_NAME], reason[SLOTS_LINE] = "";
    if (own->kexec)
        return hawkbit_memory_end(own, order, detail);
    if (slots_current(current) < 0)
        return PENDING;
    bool runs = strcmp(current, order->slot) == 0;
    if (runs && hawkbit_says("get-state", order->slot, "bad"))
        return PENDING;
    if (runs && version_compare(own->version, order->version) == 0)
        return SUCCEEDED;
    if (!hawkbit_says("get-version", order->slot, order->version)) {
        snprintf(detail, DDI_DETAIL, "another version was installed in its place");
        return FAILED;
    }
    if (!runs && hawkbit_says("get-primary", NULL, order->slot))
        return PENDING;
    if (slots_ask("get-reason", order->slot, reason, sizeof reason) < 0 || !*reason)
        snprintf(reason, sizeof reason, "the machine went back");
    snprintf(detail, DDI_DETAIL, "version %s was tried and failed: %.400s", order->version, reason);
    return FAILED;
}

/* Tells the server of an end, and forgets the order when it has heard it. */
static int hawkbit_close(const struct ddi *ddi, struct hawkbit_order *order, bool good,
                         const char *detail)
{
    struct failure failure;
    if (ddi_feedback(ddi, DDI_DEPLOYMENT, order->id, "closed", good ? "success" : "failure", detail,
                     &failure) < 0)
        return hawkbit_complain("it was not told how its action has ended", &failure);
    printf("update: hawkBit's action %s: %s: %s\n", order->id, good ? "success" : "failure",
           detail);
    fflush(stdout);
    *order = (struct hawkbit_order){0};
    return hawkbit_save(order);
}

static int hawkbit_finish(const struct ddi *ddi, const struct terms *own,
                          struct hawkbit_order *order)
{
    char detail[DDI_DETAIL];
    if (!*order->slot)
        return 0;
    snprintf(detail, sizeof detail, "version %s runs, and is good", order->version);
    enum hawkbit_end end = hawkbit_end(own, order, detail);
    return end == PENDING ? 0 : hawkbit_close(ddi, order, end == SUCCEEDED, detail);
}

/* Whether an order can still be stopped: what has started once is kept or taken back by itself. */
static bool hawkbit_stop(struct hawkbit_order *order, const char *id)
{
    char current[SLOTS_NAME];
    if (strcmp(order->id, id) != 0)
        return true;
    if (*order->slot) {
        if (slots_current(current) < 0 || strcmp(current, order->slot) == 0 ||
            !hawkbit_says("get-primary", NULL, order->slot) ||
            slots_tell("set-primary", current, NULL) != 0)
            return false;
    }
    *order = (struct hawkbit_order){0};
    return hawkbit_save(order) == 0;
}

static void hawkbit_cancel(const struct ddi *ddi, const char *id, struct hawkbit_order *order)
{
    char stop[DDI_ID];
    struct failure failure;
    if (ddi_cancellation(ddi, id, stop, &failure) < 0) {
        hawkbit_complain("cancelAction", &failure);
        return;
    }
    bool stopped = hawkbit_stop(order, stop);
    printf("update: hawkBit's action %s is %s\n", stop,
           stopped ? "cancelled" : "too far to be cancelled");
    fflush(stdout);
    if (ddi_feedback(ddi, DDI_CANCELLATION, id, stopped ? "closed" : "rejected",
                     stopped ? "success" : "none",
                     stopped ? "nothing of it starts" : "it has been started", &failure) < 0)
        hawkbit_complain("it was not told of the cancellation", &failure);
}

/* After an attempt that has failed. What was refused would be refused again. */
static void hawkbit_fail(const struct ddi *ddi, const struct terms *own,
                         struct hawkbit_order *order, const struct failure *reason)
{
    struct verdict verdict;
    struct failure failure;
    verdict_read(&verdict);
    if (version_is(verdict.version) && version_compare(verdict.version, own->version) == 0)
        hawkbit_close(ddi, order, true, "this version runs already");
    else if (*verdict.refusal)
        hawkbit_close(ddi, order, false, verdict.refusal);
    else if (order->attempts >= ATTEMPTS)
        hawkbit_close(ddi, order, false, reason->text);
    else if (ddi_feedback(ddi, DDI_DEPLOYMENT, order->id, "proceeding", "none", reason->text,
                          &failure) < 0)
        hawkbit_complain("feedback", &failure);
}

/* Installs, with the order on the disk before and after. */
static int hawkbit_install(const struct ddi *ddi, const struct terms *own,
                           struct hawkbit_order *order, const struct ddi_deployment *deployment,
                           hawkbit_installer *install)
{
    struct failure failure, reason = {""};
    struct verdict verdict;
    char other[SLOTS_NAME];
    order->attempts++;
    if (slots_other(other) < 0 || hawkbit_save(order) < 0)
        return -1;
    if (ddi_feedback(ddi, DDI_DEPLOYMENT, order->id, "proceeding", "none", "the bundle is fetched",
                     &failure) < 0)
        return hawkbit_complain("feedback", &failure);
    if (install(deployment->url, deployment->is_ours ? ddi->header : "", &reason) < 0) {
        hawkbit_fail(ddi, own, order, &reason);
        return -1;
    }
    verdict_read(&verdict);
    snprintf(order->slot, sizeof order->slot, "%.1s", other);
    snprintf(order->version, sizeof order->version, "%.64s", verdict.version);
    if (hawkbit_save(order) < 0)
        return -1;
    if (ddi_feedback(ddi, DDI_DEPLOYMENT, order->id, "proceeding", "none",
                     "installed; it is tried at the next start", &failure) < 0)
        hawkbit_complain("feedback", &failure);
    return 0;
}

static int hawkbit_deploy(const struct ddi *ddi, const struct terms *own, const char *id,
                          struct hawkbit_order *order, hawkbit_installer *install)
{
    struct ddi_deployment deployment;
    struct failure failure;
    char detail[DDI_DETAIL];
    if (strcmp(order->id, id) != 0) {
        *order = (struct hawkbit_order){0};
        snprintf(order->id, sizeof order->id, "%s", id);
    }
    if (*order->slot)
        return -1;
    if (ddi_deployment(ddi, id, &deployment, &failure) < 0)
        return hawkbit_complain("deploymentBase", &failure);
    if (!deployment.now || slots_on_trial())
        return -1;
    if (deployment.bundles != 1 || !*deployment.url) {
        snprintf(detail, sizeof detail, "it has %d files *.raucb, and 1 with an address is wanted",
                 deployment.bundles);
        hawkbit_close(ddi, order, false, detail);
        return -1;
    }
    return hawkbit_install(ddi, own, order, &deployment, install);
}

static int hawkbit_follow(const struct ddi *ddi, const struct terms *own,
                          hawkbit_installer *install)
{
    struct hawkbit_order order;
    struct ddi_tasks tasks;
    struct failure failure;
    hawkbit_load(&order);
    if (hawkbit_finish(ddi, own, &order) < 0)
        return -1;
    if (ddi_poll(ddi, &tasks, &failure) < 0)
        return hawkbit_complain("its server", &failure);
    if (tasks.sleep)
        hawkbit_pause = tasks.sleep < LEAST_SLEEP  ? LEAST_SLEEP
                        : tasks.sleep > MOST_SLEEP ? MOST_SLEEP
                                                   : tasks.sleep;
    if (tasks.wants_attributes && ddi_attributes(ddi, own, &failure) < 0)
        hawkbit_complain("configData", &failure);
    if (tasks.confirmation)
        fprintf(stderr, "update: hawkBit: an action waits for somebody's consent at the server\n");
    if (*tasks.cancellation)
        hawkbit_cancel(ddi, tasks.cancellation, &order);
    else if (*tasks.deployment)
        return hawkbit_deploy(ddi, own, tasks.deployment, &order, install);
    return -1;
}

int hawkbit_look(const struct terms *own, hawkbit_installer *install)
{
    char path[TERMS_LINE + sizeof HAWKBIT_TOKENS], token[DDI_HEADER];
    struct ddi ddi;
    struct failure failure;
    snprintf(path, sizeof path, HAWKBIT_TOKENS "/%s", own->hawkbit.token);
    if (file_line(path, token, sizeof token) < 0) {
        fprintf(stderr, "update: hawkBit: the file with the token: %s\n", strerror(errno));
        return -1;
    }
    if (ddi_open(&ddi, &own->hawkbit, token, &failure) < 0)
        return hawkbit_complain("this machine", &failure);
    /* Nobody else follows an order meanwhile. */
    int folder = open(HAWKBIT_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || flock(folder, LOCK_EX | LOCK_NB) < 0) {
        fprintf(stderr, "update: " HAWKBIT_FOLDER ": %s\n", strerror(errno));
        if (folder >= 0)
            close(folder);
        return -1;
    }
    /* A version that runs is no news, and one that has failed is not tried for ever. */
    bool asked = !getenv(SOURCE_NEWER);
    setenv(SOURCE_NEWER, "1", 1);
    int result = hawkbit_follow(&ddi, own, install);
    if (asked)
        unsetenv(SOURCE_NEWER);
    close(folder);
    explicit_bzero(token, sizeof token);
    return result;
}
