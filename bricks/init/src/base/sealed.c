/* sealed.c: see sealed.h. */
#include "base/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* linux/memfd.h, since Linux 6.3 */
#endif

static const char *copied;
static int copy = -1;
static size_t size;
static char path[32];

extern char **environ;

static int new_file(void)
{
    int file = memfd_create("runtime", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    return file < 0 && errno == EINVAL ? memfd_create("runtime", MFD_CLOEXEC | MFD_ALLOW_SEALING) : file;
}

/* A sealed copy of all of `file`, or -1. */
static int copy_of(int file, size_t length)
{
    int made = new_file();
    while (made >= 0 && length > 0) {
        ssize_t sent = sendfile(made, file, NULL, length);
        if (sent <= 0)
            break;
        length -= (size_t)sent;
    }
    if (made >= 0 && length == 0 && fcntl(made, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
        return made;
    if (made >= 0)
        close(made);
    return -1;
}

void sealed_make(const char *program)
{
    struct stat status;
    int file = copy < 0 ? open(program, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    /* Only a tmpfs has seals at all. */
    if (fcntl(file, F_GET_SEALS) >= 0 && fstat(file, &status) == 0 && status.st_size > 0)
        copy = copy_of(file, (size_t)status.st_size);
    close(file);
    if (copy < 0)
        return;
    copied = program;
    size = (size_t)status.st_size;
    snprintf(path, sizeof path, "/proc/1/fd/%d", copy);
}

void sealed_drop(size_t most)
{
    if (copy < 0 || size <= most)
        return;
    close(copy);
    copy = -1;
}

void sealed_exec(const char *const arguments[])
{
    if (copy >= 0 && strcmp(arguments[0], copied) == 0)
        syscall(SYS_execveat, copy, "", arguments, environ, AT_EMPTY_PATH);
}

const char *sealed_path(const char *program, size_t most)
{
    return copy >= 0 && size <= most && strcmp(program, copied) == 0 ? path : program;
}
