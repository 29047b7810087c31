/* coldplug.c: see coldplug.h. */
#include "machine/coldplug.h"

#include "base/files.h"
#include "base/process.h"
#include "boot/plan.h"
#include "machine/modules.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A loaded bus driver brings devices which bring drivers: pci, virtio, scsi, disk. */
enum { PASSES = 8, WORKERS = 4 };

/* The device names that have been dealt with. */
struct seen {
    char **names;
    size_t count;
    size_t room;
};

/* Loads the drivers of disk controllers, while it runs. */
static struct child coldplug_disk_loader;

/* What has been dealt with before that; kept until it starts. */
static struct seen coldplug_before_disks;
static bool coldplug_disks_are_left;

/* Whether somebody waits for disks before services run. */
static bool coldplug_disks_are_awaited;

static void coldplug_forget(struct seen *seen)
{
    for (size_t i = 0; i < seen->count; i++)
        free(seen->names[i]);
    free(seen->names);
    *seen = (struct seen){0};
}

/* Remembers a name. */
static void coldplug_note(struct seen *seen, const char *name)
{
    for (size_t i = 0; i < seen->count; i++)
        if (strcmp(seen->names[i], name) == 0)
            return;
    if (seen->count == seen->room) {
        size_t room = seen->room ? seen->room * 2 : 64;
        char **names = realloc(seen->names, room * sizeof *names);
        if (!names)
            return;
        seen->names = names;
        seen->room = room;
    }
    char *copy = strdup(name);
    if (copy)
        seen->names[seen->count++] = copy;
}

/* Notes the names of devices that have come since. */
static void coldplug_note_devices(struct seen *seen)
{
    glob_t found;
    if (glob("/sys/bus/*/devices/*/modalias", GLOB_NOSORT, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char name[PATH_SIZE];
        if (file_line(found.gl_pathv[i], name, sizeof name) == 0 && *name)
            coldplug_note(seen, name);
    }
    globfree(&found);
}

/* Every WORKERS-th of the names noted since `begin`. Whether any module was found. */
static bool coldplug_load_share(struct modules *modules, const struct seen *seen, size_t begin)
{
    bool any = false;
    for (size_t i = begin; i < seen->count; i += WORKERS) {
        struct failure ignored;
        any = modules_load(modules, seen->names[i], &ignored) > 0 || any;
    }
    return any;
}

/*
 * Loads modules for the names noted since `begin`, in several processes: the kernel checks a
 * signature and runs a driver's start in whoever loads it, and drivers wait for their devices.
 * Whether any module was found.
 */
static bool coldplug_load_new(struct modules *modules, const struct seen *seen, size_t begin)
{
    pid_t workers[WORKERS] = {0};
    bool any = false;
    for (size_t i = 1; i < WORKERS && begin + i < seen->count; i++) {
        workers[i] = fork();
        if (workers[i] == 0)
            _exit(!coldplug_load_share(modules, seen, begin + i));
        if (workers[i] < 0)
            any = coldplug_load_share(modules, seen, begin + i) || any;
    }
    any = coldplug_load_share(modules, seen, begin) || any;
    for (size_t i = 1; i < WORKERS; i++) {
        int status = 1;
        while (workers[i] > 0 && waitpid(workers[i], &status, 0) < 0 && errno == EINTR)
            continue;
        any = any || status == 0;
    }
    return any;
}

/*
 * Loads modules for the names from `begin` on and for all devices that are not noted, and for what
 * these bring.
 */
static void coldplug_load_all(struct modules *modules, struct seen *seen, size_t begin)
{
    for (int passes = 0; passes < PASSES; passes++) {
        coldplug_note_devices(seen);
        size_t from = begin;
        begin = seen->count;
        if (begin == from || !coldplug_load_new(modules, seen, from))
            return;
    }
}

/* A PCI function of the class "mass storage" (modalias pci:v…d…sv…sd…bc01sc…i…). */
static bool coldplug_is_disk_controller(const char *name)
{
    return strncmp(name, "pci:", 4) == 0 && strstr(name, "bc01sc") != NULL;
}

/* IDE and SATA (subclasses 01 and 06) look at their ports one after another, or all for a while. */
static bool coldplug_is_slow_controller(const char *name)
{
    return coldplug_is_disk_controller(name) &&
           (strstr(name, "bc01sc01") || strstr(name, "bc01sc06"));
}

/* Notes the devices that there are and of which `apart` holds. */
static void coldplug_set_apart(struct seen *noted, bool (*apart)(const char *name))
{
    struct seen all = {0};
    coldplug_note_devices(&all);
    for (size_t i = 0; i < all.count; i++)
        if (apart(all.names[i]))
            coldplug_note(noted, all.names[i]);
    coldplug_forget(&all);
}

/* Names, separated by blanks, of modules that are wanted beside the drivers. */
static char coldplug_wanted[PLAN_LINE_MAXIMUM];

void coldplug_want(const char *names)
{
    size_t length = strlen(coldplug_wanted);
    snprintf(coldplug_wanted + length, sizeof coldplug_wanted - length, "%s ", names);
}

static void coldplug_note_wanted(struct seen *seen)
{
    char *rest = coldplug_wanted;
    for (const char *name; (name = strsep(&rest, " ")) != NULL;)
        if (*name)
            coldplug_note(seen, name);
}

/*
 * Loads drivers, but not those of the first `apart` names in `seen`; those behind them are loaded
 * too.
 */
static int coldplug_load(struct seen *seen, size_t apart, struct failure *failure)
{
    char folder[128];
    struct modules modules;
    modules_folder(folder, sizeof folder);
    if (modules_open(&modules, folder) < 0)
        /* A kernel with everything built in has no modules. */
        return errno == ENOENT ? 0 : failed_errno(failure, "coldplug: %s", folder);
    coldplug_load_all(&modules, seen, apart);
    modules_close(&modules);
    return 0;
}

int coldplug(struct failure *failure)
{
    struct seen seen = {0};
    int result = coldplug_load(&seen, 0, failure);
    coldplug_forget(&seen);
    return result;
}

int coldplug_quick(struct failure *failure)
{
    struct seen seen = {0};
    coldplug_set_apart(&seen, coldplug_is_slow_controller);
    int result = coldplug_load(&seen, seen.count, failure);
    coldplug_forget(&seen);
    return result;
}

int coldplug_early(struct failure *failure)
{
    struct seen seen = {0};
    coldplug_set_apart(&seen, coldplug_is_disk_controller);
    size_t controllers = seen.count;
    coldplug_note_wanted(&seen);
    int result = coldplug_load(&seen, controllers, failure);
    if (result < 0 || controllers == 0) {
        coldplug_forget(&seen);
        return result;
    }
    for (size_t i = 0; i < controllers; i++)
        free(seen.names[i]);
    seen.count -= controllers;
    memmove(seen.names, seen.names + controllers, seen.count * sizeof *seen.names);
    coldplug_before_disks = seen;
    coldplug_disks_are_left = true;
    if (coldplug_disks_are_awaited)
        coldplug_start_disks();
    return 0;
}

void coldplug_await_disks(void)
{
    coldplug_disks_are_awaited = true;
}

void coldplug_start_disks(void)
{
    struct failure failure;
    if (!coldplug_disks_are_left)
        return;
    coldplug_disks_are_left = false;
    if (child_fork(&coldplug_disk_loader, &failure) == 0)
        _exit(coldplug_load(&coldplug_before_disks, coldplug_before_disks.count, &failure) < 0);
    coldplug_forget(&coldplug_before_disks);
}

void coldplug_disks(void)
{
    coldplug_start_disks();
    if (coldplug_disk_loader.pid > 0)
        child_wait(&coldplug_disk_loader);
    coldplug_disk_loader.pid = 0;
}

int coldplug_load_module(const char *name, struct failure *failure)
{
    char folder[128];
    struct modules modules;
    modules_folder(folder, sizeof folder);
    if (modules_open(&modules, folder) < 0)
        return failed_errno(failure, "module %s: %s", name, folder);
    int found = modules_load(&modules, name, failure);
    modules_close(&modules);
    return found == 0 ? failed(failure, "module %s: not found", name) : found < 0 ? -1 : 0;
}

int modprobe_command(int count, char *const arguments[])
{
    bool quiet = false;
    int first = 1;
    for (; first < count && *arguments[first] == '-'; first++) {
        if (strcmp(arguments[first], "--") == 0) {
            first++;
            break;
        }
        if (strspn(arguments[first] + 1, "abqsv") != strlen(arguments[first] + 1)) {
            fprintf(stderr, "modprobe: %s: unknown option; known are -a -b -q -s -v\n",
                    arguments[first]);
            return 2;
        }
        quiet = quiet || strchr(arguments[first], 'q');
    }
    int status = 0;
    for (; first < count; first++) {
        struct failure failure;
        if (coldplug_load_module(arguments[first], &failure) == 0)
            continue;
        if (!quiet)
            fprintf(stderr, "modprobe: %s\n", failure.text);
        status = 1;
    }
    return status;
}
