/* oci.c: see oci.h. */
#include "containers/oci.h"

#include "base/files.h"
#include "base/process.h"
#include "base/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *oci_path = "/usr/bin/runc";

const char *oci_program(void)
{
    return oci_path;
}

void oci_use(const char *path)
{
    oci_path = path;
}

/* crun is half a MiB, runc ten. */
enum { SMALL = 1 << 20 };

void oci_ready(void)
{
    sealed_make(oci_path);
}

void oci_settle(void)
{
    sealed_drop(SMALL);
}

/* Shims ask for it as long as there are containers. */
const char *oci_shared(void)
{
    return sealed_path(oci_path, SMALL);
}

int oci_run(const char *const arguments[], int output, int error, struct failure *failure)
{
    char text[64];
    int status;
    pid_t pid = fork();
    if (pid < 0)
        return failed_errno(failure, "fork");
    if (pid == 0)
        process_exec(arguments, output, error);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return failed_errno(failure, "%s", arguments[0]);
    if (status == 0)
        return 0;
    describe_status(status, text, sizeof text);
    return failed(failure, "%s %s: %s", arguments[0], arguments[1], text);
}

pid_t oci_pid(const char *path)
{
    char text[32];
    if (file_line(path, text, sizeof text) < 0)
        return 0;
    long pid = strtol(text, NULL, 10);
    return pid > 1 && pid <= 1 << 22 ? (pid_t)pid : 0;
}
