/* bundle.c: see bundle.h. */
#include "containers/bundle.h"

#include "base/files.h"
#include "machine/link.h"
#include "machine/machine.h"
#include "machine/mount.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

bool bundle_is_named(const struct bundle *bundle)
{
    return *bundle->id && *bundle->id != '.' && !strpbrk(bundle->id, "/\t\n");
}

int bundle_read(struct bundle *bundle, const struct plan *plan, size_t index, size_t end,
                struct failure *failure)
{
    const char *const *argument = plan->lines[index].argument;
    *bundle = (struct bundle){.id = argument[0],
                              .path = argument[1],
                              .namespace = argument[2],
                              .lines = &plan->lines[index + 1],
                              .count = plan_container_end(plan, index, end) - index - 1};
    if (plan->lines[index].broken)
        return failed(failure, "skipped: one of its lines cannot be used");
    if (!bundle_is_named(bundle))
        return failed(failure, "not an id");
    int length = snprintf(bundle->rootfs, sizeof bundle->rootfs, "%s/rootfs", bundle->path);
    if (*bundle->path != '/' || (size_t)length >= sizeof bundle->rootfs)
        return failed(failure, "the bundle's path must be absolute and shorter than %zu bytes",
                      sizeof bundle->rootfs);
    return 0;
}

static int bundle_make_cgroup(const char *name, struct failure *failure)
{
    char path[PATH_SIZE];
    if (snprintf(path, sizeof path, "/sys/fs/cgroup/%s", name) >= (int)sizeof path)
        return failed(failure, "cgroup %.64s...: its path is too long", name);
    return directory_make(path) < 0 ? failed_errno(failure, "cgroup %s", name) : 0;
}

static int bundle_prepare_line(const struct bundle *bundle, const struct plan_line *line,
                               struct failure *failure)
{
    switch (line->word) {
    case WORD_MOUNT:
        return mount_line(line->argument, bundle->rootfs, failure);
    case WORD_MOUNT_OPTIONAL:
        return mount_line_optional(line->argument, bundle->rootfs, failure);
    case WORD_DIRECTORY:
        return machine_make_directory(line->argument, bundle->rootfs, failure);
    case WORD_CGROUP:
        return bundle_make_cgroup(line->argument[0], failure);
    default:
        return 0;
    }
}

int bundle_prepare(const struct bundle *bundle, struct failure *failure)
{
    for (size_t i = 0; i < bundle->count; i++)
        if (bundle_prepare_line(bundle, &bundle->lines[i], failure) < 0)
            return -1;
    return 0;
}

static int bundle_bind_namespace(const char *const argument[], pid_t pid, struct failure *failure)
{
    char from[64];
    snprintf(from, sizeof from, "/proc/%d/ns/%s", (int)pid, argument[0]);
    int file = directory_make_parents(argument[1]) < 0
                   ? -1
                   : open(argument[1], O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
    if (file >= 0)
        close(file);
    /* A namespace of the process before this one. */
    umount2(argument[1], MNT_DETACH);
    if (file < 0 || mount(from, argument[1], NULL, MS_BIND, NULL) < 0)
        return failed_errno(failure, "bindns %s %s", argument[0], argument[1]);
    return 0;
}

bool bundle_attaches(const struct bundle *bundle)
{
    for (size_t i = 0; i < bundle->count; i++)
        if (bundle->lines[i].word == WORD_INTERFACE || bundle->lines[i].word == WORD_BINDNS)
            return true;
    return false;
}

int bundle_attach(const struct bundle *bundle, pid_t pid, struct failure *failure)
{
    for (size_t i = 0; i < bundle->count; i++) {
        const struct plan_line *line = &bundle->lines[i];
        if (line->word == WORD_INTERFACE && link_interface(line->argument, pid, failure) < 0)
            return -1;
        if (line->word == WORD_BINDNS && bundle_bind_namespace(line->argument, pid, failure) < 0)
            return -1;
    }
    return 0;
}

int bundle_log(const char *path, struct failure *failure)
{
    struct stat status;
    /*
     * A container that has the folder may put a link to a disk there, or a FIFO that nobody reads.
     */
    const int flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int log = directory_make_parents(path) < 0 ? -1 : open(path, flags, 0644);
    if (log < 0)
        return failed_errno(failure, "log %s", path);
    if (fstat(log, &status) == 0 && S_ISREG(status.st_mode))
        return log;
    close(log);
    return failed(failure, "log %s: not a regular file", path);
}
