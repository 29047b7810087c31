/* namespace.c: see namespace.h. */
#include "containers/namespace.h"

#include "base/console.h"
#include "base/files.h"
#include "base/process.h"
#include "machine/link.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static int namespace_flag_of(const char *kind)
{
    if (strcmp(kind, "net") == 0)
        return CLONE_NEWNET;
    if (strcmp(kind, "ipc") == 0)
        return CLONE_NEWIPC;
    return strcmp(kind, "uts") == 0 ? CLONE_NEWUTS : 0;
}

/* In a process of its own, which is in the namespace alone. */
static int namespace_make_inside(const char *kind, const char *path, struct failure *failure)
{
    char own[64];
    snprintf(own, sizeof own, "/proc/self/ns/%s", kind);
    int file =
        directory_make_parents(path) < 0 ? -1 : open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0)
        return failed_errno(failure, "namespace %s", path);
    close(file);
    if (unshare(namespace_flag_of(kind)) < 0)
        return failed_errno(failure, "namespace %s", kind);
    if (strcmp(kind, "net") == 0 && link_loopback(failure) < 0)
        return -1;
    return mount(own, path, NULL, MS_BIND, NULL) < 0 ? failed_errno(failure, "namespace %s", path)
                                                     : 0;
}

int namespace_make(const char *const argument[], struct failure *failure)
{
    struct child child;
    if (namespace_flag_of(argument[0]) == 0)
        return failed(failure, "namespace: the kind %s cannot be shared", argument[0]);
    pid_t pid = child_fork(&child, failure);
    if (pid == 0) {
        int result = namespace_make_inside(argument[0], argument[1], failure);
        if (result < 0)
            say("%s", failure->text);
        _exit(result < 0);
    }
    if (pid < 0)
        return -1;
    return child_wait(&child) == 0 && child.status == 0
               ? 0
               : failed(failure, "namespace %s: not created", argument[1]);
}
