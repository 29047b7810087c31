/* stage.c: see stage.h. */
#include "boot/stage.h"

#include "base/console.h"
#include "base/failure.h"
#include "base/process.h"
#include "containerd/containerd_daemon.h"
#include "containers/namespace.h"
#include "containers/oci.h"
#include "machine/cgroup.h"
#include "machine/coldplug.h"
#include "machine/link.h"
#include "machine/machine.h"
#include "machine/mount.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A filesystem that exists once, such as proc, may be mounted already. */
static int stage_mount_once(const char *const argument[], struct failure *failure)
{
    int result = mount_line(argument, NULL, failure);
    return result < 0 && errno == EBUSY ? 0 : result;
}

static int stage_run_script(const char *const argument[], struct failure *failure)
{
    const char *const arguments[] = {argument[0], NULL};
    char status[64];
    struct child child;
    if (child_start(&child, arguments, STDOUT_FILENO, STDERR_FILENO, failure) < 0)
        return -1;
    if (child_wait(&child) < 0 || child.status == 0)
        return 0;
    describe_status(child.status, status, sizeof status);
    return failed(failure, "script %s: %s", argument[0], status);
}

static int stage_mount_volume(const char *name, bool readonly, struct failure *failure)
{
    enum { MAX_NAME = 255 };
    static const char volumes[] = "/containers/volumes";
    char from[512], merged[512], options[2048];
    if (strlen(name) > MAX_NAME)
        return failed(failure, "volume: name too long");
    snprintf(merged, sizeof merged, "%s/%s/merged", volumes, name);
    snprintf(from, sizeof from, "%s/%s/%s", volumes, name, readonly ? "lower" : "tmp");
    if (readonly)
        return mount_line((const char *const[]){from, merged, "", "bind,ro"}, NULL, failure);
    if (mount_line((const char *const[]){"tmpfs", from, "tmpfs", ""}, NULL, failure) < 0)
        return -1;
    snprintf(options, sizeof options,
             "relatime,lowerdir=%s/%s/lower,upperdir=%s/upper,workdir=%s/work", volumes, name, from,
             from);
    return mount_line((const char *const[]){"overlay", merged, "overlay", options}, NULL, failure);
}

static int stage_carry_out(const struct plan_line *line, struct failure *failure)
{
    const char *const *argument = line->argument;
    switch (line->word) {
    case WORD_MOUNT:
        return cgroup_is_v1(argument) ? cgroup_mount_v1(argument[1], failure)
                                      : stage_mount_once(argument, failure);
    case WORD_MOUNT_OPTIONAL:
        return mount_line_optional(argument, NULL, failure);
    case WORD_DIRECTORY:
        return machine_make_directory(argument, NULL, failure);
    case WORD_SYMLINK:
        return machine_make_symlink(argument, failure);
    case WORD_NODE:
        return machine_make_node(argument, failure);
    case WORD_COLDPLUG:
        return coldplug(failure);
    case WORD_COLDPLUG_EARLY:
        return coldplug_early(failure);
    case WORD_DISKS:
        coldplug_disks();
        return 0;
    case WORD_MODULE:
        return coldplug_load_module(argument[0], failure);
    case WORD_CLOCK:
        return machine_set_clock(failure);
    case WORD_LOOPBACK:
        return link_loopback(failure);
    case WORD_LIMIT:
        return machine_set_limit(argument, failure);
    case WORD_HOSTNAME:
        return machine_set_hostname(failure);
    case WORD_RESOLVCONF:
        return machine_make_resolvconf(failure);
    case WORD_ISSUE:
        return machine_show_issue(failure);
    case WORD_SCRIPT:
        return stage_run_script(argument, failure);
    case WORD_NAMESPACE:
        return namespace_make(argument, failure);
    case WORD_RUNTIME:
        oci_use(argument[0]);
        return 0;
    case WORD_CONTAINERD:
        containerd_daemon_start(argument);
        return 0;
    case WORD_CONTAINERD_OPTIONS:
        containerd_daemon_options(argument);
        return 0;
    case WORD_VOLUME:
        return stage_mount_volume(argument[0], false, failure);
    case WORD_VOLUME_READONLY:
        return stage_mount_volume(argument[0], true, failure);
    default:
        return 0;
    }
}

/* What a machine needs, and a container has (docs/linuxkit.md#run-15). */
static bool stage_is_of_machine(enum plan_word word)
{
    static const enum plan_word words[] = {WORD_CLOCK, WORD_COLDPLUG,       WORD_COLDPLUG_EARLY,
                                           WORD_ISSUE, WORD_LOOPBACK,       WORD_MODULE,
                                           WORD_MOUNT, WORD_MOUNT_OPTIONAL, WORD_NODE};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i] == word)
            return true;
    return false;
}

void stage_line(const struct plan_line *line)
{
    struct failure failure;
    if (stage_carry_out(line, &failure) < 0)
        say("plan line %u: %s", line->number, failure.text);
}

/* Modules that somebody will ask for are loaded beside the drivers; disks may be needed later. */
static void stage_look_ahead(const struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->lines[i].word == WORD_MODULES)
            coldplug_want(plan->lines[i].argument[0]);
        else if (plan->lines[i].word == WORD_DISKS)
            coldplug_await_disks();
}

void stage_boot(const struct plan *plan)
{
    stage_look_ahead(plan);
    for (size_t i = plan->begin[STAGE_BOOT];
         i < plan->end[STAGE_BOOT] && process_power() == POWER_NONE; i++)
        if (!machine_is_given() || !stage_is_of_machine(plan->lines[i].word))
            stage_line(&plan->lines[i]);
    say_time("boot done");
}
