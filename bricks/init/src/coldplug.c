/* coldplug.c: see coldplug.h. */
#include "coldplug.h"

#include "files.h"
#include "modules.h"
#include "process.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A loaded bus driver brings devices which bring drivers: pci, virtio, scsi, disk. */
enum { PASSES = 8, WORKERS = 4 };

/* Loads the drivers of disk controllers, while it runs. */
static struct child disks;

/* The device names that have been dealt with. */
struct seen {
    char **names;
    size_t count;
    size_t room;
};

static void forget(struct seen *seen)
{
    for (size_t i = 0; i < seen->count; i++)
        free(seen->names[i]);
    free(seen->names);
}

/* Whether the name is new; then it is remembered. */
static bool is_new(struct seen *seen, const char *name)
{
    for (size_t i = 0; i < seen->count; i++)
        if (strcmp(seen->names[i], name) == 0)
            return false;
    if (seen->count == seen->room) {
        size_t room = seen->room ? seen->room * 2 : 64;
        char **names = realloc(seen->names, room * sizeof *names);
        if (!names)
            return false;
        seen->names = names;
        seen->room = room;
    }
    char *copy = strdup(name);
    if (copy)
        seen->names[seen->count++] = copy;
    return copy != NULL;
}

/* Notes the names of devices that have come since; whether there are any. */
static bool look(struct seen *seen)
{
    glob_t found;
    bool any = false;
    if (glob("/sys/bus/*/devices/*/modalias", GLOB_NOSORT, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char name[PATH_SIZE];
        if (file_line(found.gl_pathv[i], name, sizeof name) == 0 && *name)
            any = is_new(seen, name) || any;
    }
    globfree(&found);
    return any;
}

/* Every WORKERS-th of the names noted since `begin`. Whether any module was found. */
static bool load_share(struct modules *modules, const struct seen *seen, size_t begin)
{
    bool any = false;
    for (size_t i = begin; i < seen->count; i += WORKERS) {
        struct failure ignored;
        any = modules_load(modules, seen->names[i], &ignored) > 0 || any;
    }
    return any;
}

/*
 * Loads modules for the names noted since `begin`, in several processes: the kernel checks a signature and runs a driver's
 * start in whoever loads it, and drivers wait for their devices. Whether any module was found.
 */
static bool load_new(struct modules *modules, const struct seen *seen, size_t begin)
{
    pid_t workers[WORKERS] = {0};
    bool any = false;
    for (size_t i = 1; i < WORKERS && begin + i < seen->count; i++) {
        workers[i] = fork();
        if (workers[i] == 0)
            _exit(!load_share(modules, seen, begin + i));
        if (workers[i] < 0)
            any = load_share(modules, seen, begin + i) || any;
    }
    any = load_share(modules, seen, begin) || any;
    for (size_t i = 1; i < WORKERS; i++) {
        int status = 1;
        while (workers[i] > 0 && waitpid(workers[i], &status, 0) < 0 && errno == EINTR)
            continue;
        any = any || status == 0;
    }
    return any;
}

static bool pass(struct modules *modules, struct seen *seen)
{
    size_t begin = seen->count;
    return look(seen) && load_new(modules, seen, begin);
}

static void load_all(struct modules *modules, struct seen *seen)
{
    for (int passes = 0; passes < PASSES && pass(modules, seen); passes++)
        continue;
}

/* A PCI function of the class "mass storage" (modalias pci:v…d…sv…sd…bc01sc…i…). */
static bool is_disk_controller(const char *name)
{
    return strncmp(name, "pci:", 4) == 0 && strstr(name, "bc01sc") != NULL;
}

/* Notes the devices that there are: disk controllers as dealt with in `others`, the rest in `controllers`. */
static bool divide(struct seen *controllers, struct seen *others)
{
    struct seen all = {0};
    look(&all);
    for (size_t i = 0; i < all.count; i++)
        is_new(is_disk_controller(all.names[i]) ? others : controllers, all.names[i]);
    forget(&all);
    return others->count > 0;
}

static int load(bool early, struct failure *failure)
{
    char folder[128];
    struct modules modules;
    struct seen controllers = {0}, others = {0};
    modules_folder(folder, sizeof folder);
    if (modules_open(&modules, folder) < 0)
        /* A kernel with everything built in has no modules. */
        return errno == ENOENT ? 0 : failed_errno(failure, "coldplug: %s", folder);
    if (early && divide(&controllers, &others) && child_fork(&disks, failure) == 0) {
        load_all(&modules, &controllers);
        _exit(0);
    }
    load_all(&modules, &others);
    forget(&controllers);
    forget(&others);
    modules_close(&modules);
    return 0;
}

int coldplug(struct failure *failure)
{
    return load(false, failure);
}

int coldplug_early(struct failure *failure)
{
    return load(true, failure);
}

void coldplug_disks(void)
{
    if (disks.pid > 0)
        child_wait(&disks);
    disks.pid = 0;
}

int load_module(const char *name, struct failure *failure)
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
            fprintf(stderr, "modprobe: %s: unknown option; known are -a -b -q -s -v\n", arguments[first]);
            return 2;
        }
        quiet = quiet || strchr(arguments[first], 'q');
    }
    int status = 0;
    for (; first < count; first++) {
        struct failure failure;
        if (load_module(arguments[first], &failure) == 0)
            continue;
        if (!quiet)
            fprintf(stderr, "modprobe: %s\n", failure.text);
        status = 1;
    }
    return status;
}
