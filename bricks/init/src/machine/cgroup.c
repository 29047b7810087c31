/*
 * cgroup.c: see cgroup.h. Sources: cgroups(7), "Mounting v1 controllers";
 * docs/linuxkit.md#run-4.2.
 */
#include "machine/cgroup.h"

#include "base/cmdline.h"
#include "base/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define CONTROLLERS "/proc/cgroups"

enum { MAX_TABLE = 65536, MAX_NAME = 64 };
static const unsigned long cgroup_mount_flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

bool cgroup_is_v1(const char *const argument[])
{
    return strcmp(argument[2], "cgroup2") == 0 &&
           cmdline_has("linuxkit.unified_cgroup_hierarchy=0");
}

static int cgroup_mount_hierarchy(const char *target, const char *name, const char *options,
                                  struct failure *failure)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", target, name);
    if (directory_make(path) < 0 ||
        mount("cgroup", path, "cgroup", cgroup_mount_flags, options) < 0)
        return failed_errno(failure, "cgroup %s", name);
    return 0;
}

/*
 * Limits of a group hold for the groups below it; newer kernels have no other way, and no file to
 * say so in.
 */
static void cgroup_count_below(const char *target)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/memory/memory.use_hierarchy", target);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return;
    (void)!write(file, "1", 1);
    close(file);
}

int cgroup_mount_v1(const char *target, struct failure *failure)
{
    size_t length;
    if (directory_make(target) < 0 ||
        mount("cgroup_root", target, "tmpfs", cgroup_mount_flags, "mode=755,size=10m") < 0)
        return failed_errno(failure, "cgroup");
    char *text = file_read(CONTROLLERS, MAX_TABLE, &length);
    if (!text)
        return failed_errno(failure, CONTROLLERS);
    int result = 0;
    /* name, hierarchy, number of groups, enabled */
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
        char name[MAX_NAME];
        unsigned enabled;
        if (sscanf(line, "%63[^#\t ] %*u %*u %u", name, &enabled) != 2 || !enabled)
            continue;
        if (cgroup_mount_hierarchy(target, name, name, failure) < 0)
            result = -1;
    }
    free(text);
    cgroup_count_below(target);
    if (cgroup_mount_hierarchy(target, "systemd", "none,name=systemd", failure) < 0)
        result = -1;
    return result;
}
