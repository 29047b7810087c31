/* root.c: see root.h. */
#include "boot/root.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/*
 * Where mounts of every system go; a read-only root cannot get them later. The first serves as the
 * way out.
 */
static const char *const root_places[] = {"/run", "/dev", "/proc", "/sys", "/tmp", "/var"};

static int root_leave_initial_root(struct failure *failure)
{
    if (mount("/", root_places[0], NULL, MS_BIND, NULL) < 0)
        return failed_errno(failure, "root: bind");
    if (chdir(root_places[0]) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0)
        return failed_errno(failure, "root: move");
    if (chroot(".") < 0 || chdir("/") < 0)
        return failed_errno(failure, "root: chroot");
    return 0;
}

bool root_is_initial(void)
{
    struct statfs status;
    return statfs("/", &status) == 0 &&
           (status.f_type == RAMFS_MAGIC || status.f_type == TMPFS_MAGIC);
}

int root_prepare(struct failure *failure)
{
    int result = 0;
    for (size_t i = 0; i < sizeof root_places / sizeof *root_places; i++)
        mkdir(root_places[i], 0755);
    bool initial = root_is_initial();
    if (initial)
        result = root_leave_initial_root(failure);
    /* A disk's filesystem is read-only as a whole; the initial root only where it is seen. */
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | (initial ? MS_BIND : 0), NULL) < 0)
        result = failed_errno(failure, "root: read-only");
    if (mount(NULL, "/", NULL, MS_SHARED | MS_REC, NULL) < 0)
        result = failed_errno(failure, "root: shared");
    return result;
}
