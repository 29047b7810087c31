/* small_file.c: see small_file.h. */
#include "small_file.h"

#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* O_NONBLOCK: a FIFO would be waited for. */
static int small_file_open(int folder, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                           .resolve = RESOLVE_NO_MAGICLINKS};
    if (folder != AT_FDCWD)
        how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
    return (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
}

char *small_file_read(int folder, const char *path, size_t limit, size_t *length,
                      struct failure *failure)
{
    struct stat status;
    char *bytes = NULL;
    int file = small_file_open(folder, path);
    int reason = 0;
    ssize_t count = -1;
    if (file < 0 || fstat(file, &status) < 0)
        reason = errno;
    else if (!S_ISREG(status.st_mode))
        reason = EINVAL;
    else if (status.st_size > (off_t)limit)
        reason = EFBIG;
    else if (!(bytes = malloc(limit + 2)) || (count = file_fill(file, bytes, limit + 1)) < 0)
        reason = errno;
    else if ((size_t)count > limit)
        reason = EFBIG; /* one of /proc, or one that grows */
    if (file >= 0)
        close(file);
    errno = reason;
    if (reason == 0) {
        bytes[count] = '\0';
        *length = (size_t)count;
        return bytes;
    }
    free(bytes);
    errno = reason;
    failed_errno(failure, "%s", path);
    errno = reason;
    return NULL;
}
