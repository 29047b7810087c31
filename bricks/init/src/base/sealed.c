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

static const char *sealed_program;
static int sealed_copy = -1;
static size_t sealed_size;
static char sealed_copy_path[32];

extern char **environ;

static int sealed_new_file(void)
{
    int file = memfd_create("runtime", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    return file < 0 && errno == EINVAL ? memfd_create("runtime", MFD_CLOEXEC | MFD_ALLOW_SEALING)
                                       : file;
}

/* A sealed copy of all of `file`, or -1. */
static int sealed_copy_of(int file, size_t length)
{
    int made = sealed_new_file();
    while (made >= 0 && length > 0) {
        ssize_t sent = sendfile(made, file, NULL, length);
        if (sent <= 0)
            break;
        length -= (size_t)sent;
    }
    if (made >= 0 && length == 0 &&
        fcntl(made, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
        return made;
    if (made >= 0)
        close(made);
    return -1;
}

void sealed_make(const char *program)
{
    struct stat status;
    int file = sealed_copy < 0 ? open(program, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    /* Only a tmpfs has seals at all. */
    if (fcntl(file, F_GET_SEALS) >= 0 && fstat(file, &status) == 0 && status.st_size > 0)
        sealed_copy = sealed_copy_of(file, (size_t)status.st_size);
    close(file);
    if (sealed_copy < 0)
        return;
    sealed_program = program;
    sealed_size = (size_t)status.st_size;
    snprintf(sealed_copy_path, sizeof sealed_copy_path, "/proc/1/fd/%d", sealed_copy);
}

void sealed_drop(size_t most)
{
    if (sealed_copy < 0 || sealed_size <= most)
        return;
    close(sealed_copy);
    sealed_copy = -1;
}

void sealed_exec(const char *const arguments[])
{
    if (sealed_copy >= 0 && strcmp(arguments[0], sealed_program) == 0)
        syscall(SYS_execveat, sealed_copy, "", arguments, environ, AT_EMPTY_PATH);
}

const char *sealed_path(const char *program, size_t most)
{
    return sealed_copy >= 0 && sealed_size <= most && strcmp(program, sealed_program) == 0
               ? sealed_copy_path
               : program;
}
