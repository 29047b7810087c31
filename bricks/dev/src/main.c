/*
 * main.c: what `compos dev` asks for in a guest, through init's channel for commands. An archive is
 * on standard input.
 *
 *   dev replace NAME PLACE LOWER  the new root and plan of a service: unpacked into memory, tried
 *                                 over the root LOWER, and handed to init
 *   dev add NAME PLACE LOWER      the same for a service that the system has not had
 *   dev drop NAME                 init stops a service that the system has no more
 *   dev files [SERVICE...]        files of the system's root; services that see them are restarted
 *   dev remove PLACE              what has been unpacked for a service, and is not used any more
 */
#include "archive.h"
#include "base/failure.h"
#include "base/files.h"
#include "base/request.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

enum { MAX_MOUNTS = 1 << 20 };

/* The mount point on a line of mountinfo(5), if it is `place` or below it; NULL otherwise. */
static char *main_point_below(char *line, const char *place)
{
    for (int field = 0; line && field < 4; field++) {
        line = strchr(line, ' ');
        line += line != NULL;
    }
    char *end = line ? strchr(line, ' ') : NULL;
    const size_t size = strlen(place);
    if (!end || strncmp(line, place, size) != 0 || (line[size] != '/' && line[size] != ' '))
        return NULL;
    *end = '\0';
    return line;
}

/* Later mounts stand behind those that they lie on. */
static int main_remove(const char *place, struct failure *failure)
{
    size_t length;
    char *text = file_read("/proc/self/mountinfo", MAX_MOUNTS, &length);
    if (!text)
        return failed_errno(failure, "/proc/self/mountinfo");
    char *end = text + length;
    while (end > text) {
        char *line = end - 1;
        *line = '\0';
        while (line > text && line[-1] != '\n')
            line--;
        end = line;
        const char *point = main_point_below(line, place);
        if (point && umount2(point, MNT_DETACH) < 0 && errno != EINVAL) {
            failed_errno(failure, "%s", point);
            free(text);
            return -1;
        }
    }
    free(text);
    return rmdir(place) < 0 ? failed_errno(failure, "%s", place) : 0;
}

/* Whether the kernel lays one root over the other, before the service is stopped for it. */
static int main_try(const char *place, const char *lower, struct failure *failure)
{
    char options[2 * PATH_SIZE], point[PATH_SIZE];
    snprintf(point, sizeof point, "%s/rootfs", place);
    snprintf(options, sizeof options, "lowerdir=%s/root:%s", place, lower);
    if (directory_make(point) < 0 || mount("overlay", point, "overlay", MS_RDONLY, options) < 0)
        return failed_errno(failure, "the new root cannot be mounted");
    return umount2(point, MNT_DETACH) < 0 ? failed_errno(failure, "%s", point) : 0;
}

static int main_unpack_service(const char *place, const char *lower, struct failure *failure)
{
    char plan[PATH_SIZE];
    if (directory_make(place) < 0 ||
        mount("tmpfs", place, "tmpfs", MS_NOATIME, "mode=0755,size=75%") < 0)
        return failed_errno(failure, "%s", place);
    if (archive_unpack(stdin, place, false, failure) < 0 || main_try(place, lower, failure) < 0)
        return -1;
    snprintf(plan, sizeof plan, "%s/plan", place);
    unlink(REQUEST_REPLACEMENT);
    return symlink(plan, REQUEST_REPLACEMENT) < 0 ? failed_errno(failure, REQUEST_REPLACEMENT) : 0;
}

static int main_service(const char *action, const char *name, const char *place, const char *lower,
                        struct failure *failure)
{
    struct failure ignored;
    if (main_unpack_service(place, lower, failure) == 0 && request_send(action, name, failure) == 0)
        return 0;
    main_remove(place, &ignored);
    return -1;
}

/* The root is read-only for all others, and stays so. */
static int main_files(char *services[], struct failure *failure)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL) < 0)
        return failed_errno(failure, "/");
    if (archive_unpack(stdin, "", true, failure) < 0)
        return -1;
    for (; *services; services++)
        if (request_send("restart", *services, failure) < 0)
            return -1;
    return 0;
}

int main(int count, char *arguments[])
{
    const char *action = count > 1 ? arguments[1] : "";
    struct failure failure;
    int result;
    if ((strcmp(action, "replace") == 0 || strcmp(action, "add") == 0) && count == 5)
        result = main_service(action, arguments[2], arguments[3], arguments[4], &failure);
    else if (strcmp(action, "drop") == 0 && count == 3)
        result = request_send("drop", arguments[2], &failure);
    else if (strcmp(action, "files") == 0)
        result = main_files(arguments + 2, &failure);
    else if (strcmp(action, "remove") == 0 && count == 3)
        result = main_remove(arguments[2], &failure);
    else {
        fputs("usage: dev replace|add NAME PLACE LOWER | drop NAME | files [SERVICE...] |\n"
              "       remove PLACE\n",
              stderr);
        return 2;
    }
    if (result < 0)
        fprintf(stderr, "%s\n", failure.text);
    return result < 0;
}
