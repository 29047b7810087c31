/* machine.c: see machine.h. */
#include "machine/machine.h"

#include "base/console.h"
#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <unistd.h>

bool machine_is_given(void)
{
    static enum { UNKNOWN, OWN, GIVEN } state;
    if (state == UNKNOWN)
        state = access("/proc/self", F_OK) == 0 ? GIVEN : OWN;
    return state == GIVEN;
}

int machine_set_clock(struct failure *failure)
{
    char done[8];
    if (file_line("/sys/class/rtc/rtc0/hctosys", done, sizeof done) == 0 && strcmp(done, "1") == 0)
        return 0;
    char seconds[32];
    if (file_line("/sys/class/rtc/rtc0/since_epoch", seconds, sizeof seconds) < 0)
        return failed_errno(failure, "clock: rtc0");
    struct timeval now = {.tv_sec = strtoll(seconds, NULL, 10)};
    return settimeofday(&now, NULL) < 0 ? failed_errno(failure, "clock") : 0;
}

int machine_set_hostname(struct failure *failure)
{
    char name[65];
    if (file_line("/etc/hostname", name, sizeof name) < 0 || !*name) {
        char current[65] = "";
        char address[32];
        gethostname(current, sizeof current - 1);
        if (*current && strcmp(current, "(none)") != 0)
            return 0;
        if (file_line("/sys/class/net/eth0/address", address, sizeof address) < 0)
            return 0;
        size_t length = (size_t)snprintf(name, sizeof name, "linuxkit-");
        for (const char *digit = address; *digit; digit++)
            if (*digit != ':')
                name[length++] = *digit;
        name[length] = '\0';
    }
    return sethostname(name, strlen(name)) < 0 ? failed_errno(failure, "hostname %s", name) : 0;
}

static int machine_read_limit(const char *text, rlim_t *value)
{
    char *end;
    if (strcmp(text, "unlimited") == 0) {
        *value = RLIM_INFINITY;
        return 0;
    }
    errno = 0;
    *value = strtoull(text, &end, 10);
    return *text < '0' || *text > '9' || *end || errno ? -1 : 0;
}

int machine_set_limit(const char *const argument[], struct failure *failure)
{
    static const struct {
        const char *name;
        int resource;
    } known[] = {
        {"as", RLIMIT_AS},
        {"core", RLIMIT_CORE},
        {"cpu", RLIMIT_CPU},
        {"data", RLIMIT_DATA},
        {"fsize", RLIMIT_FSIZE},
        {"locks", RLIMIT_LOCKS},
        {"memlock", RLIMIT_MEMLOCK},
        {"msgqueue", RLIMIT_MSGQUEUE},
        {"nice", RLIMIT_NICE},
        {"nofile", RLIMIT_NOFILE},
        {"nproc", RLIMIT_NPROC},
        {"rss", RLIMIT_RSS},
        {"rtprio", RLIMIT_RTPRIO},
        {"rttime", RLIMIT_RTTIME},
        {"sigpending", RLIMIT_SIGPENDING},
        {"stack", RLIMIT_STACK},
    };
    struct rlimit limit;
    if (machine_read_limit(argument[1], &limit.rlim_cur) < 0 ||
        machine_read_limit(argument[2], &limit.rlim_max) < 0)
        return failed(failure, "limit %s: not a number and not `unlimited`", argument[0]);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, argument[0]) == 0)
            return setrlimit(known[i].resource, &limit) < 0
                       ? failed_errno(failure, "limit %s", argument[0])
                       : 0;
    return failed(failure, "limit %s: unknown resource", argument[0]);
}

int machine_make_resolvconf(struct failure *failure)
{
    char target[PATH_SIZE] = "/etc/";
    ssize_t length = readlink("/etc/resolv.conf", target + 5, sizeof target - 6);
    if (length < 0)
        return 0;
    target[5 + length] = '\0';
    const char *path = target[5] == '/' ? target + 5 : target;
    int file =
        directory_make_parents(path) < 0 ? -1 : open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0)
        return failed_errno(failure, "resolvconf: %s", path);
    close(file);
    return 0;
}

static void machine_write_issue(const char *device, const char *text, size_t length)
{
    struct stat status;
    int terminal = open(device, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (terminal < 0)
        return;
    if (fstat(terminal, &status) == 0 && S_ISCHR(status.st_mode))
        write_within(terminal, text, length, 500);
    close(terminal);
}

int machine_show_issue(struct failure *failure)
{
    char command_line[4096];
    size_t length;
    char *text = file_read("/etc/issue", 65536, &length);
    if (!text)
        return 0;
    int result = file_line("/proc/cmdline", command_line, sizeof command_line);
    if (result < 0)
        failed_errno(failure, "issue: /proc/cmdline");
    for (char *word = result < 0 ? NULL : strtok(command_line, " "); word;
         word = strtok(NULL, " ")) {
        char device[64];
        if (strncmp(word, "console=", 8) != 0)
            continue;
        snprintf(device, sizeof device, "/dev/%.*s", (int)strcspn(word + 8, ","), word + 8);
        machine_write_issue(device, text, length);
    }
    free(text);
    return result;
}

static int machine_read_number(const char *text, int base, unsigned long maximum, unsigned *value)
{
    char *end;
    unsigned long number = strtoul(text, &end, base);
    *value = (unsigned)number;
    return *text < '0' || *text > '9' || *end || number > maximum ? -1 : 0;
}

int machine_make_node(const char *const argument[], struct failure *failure)
{
    unsigned mode, major, minor;
    const char *path = argument[4];
    bool block = strcmp(argument[1], "b") == 0;
    if (machine_read_number(argument[0], 8, 07777, &mode) < 0 ||
        (!block && strcmp(argument[1], "c") != 0) ||
        machine_read_number(argument[2], 10, 4095, &major) < 0 ||
        machine_read_number(argument[3], 10, 1048575, &minor) < 0)
        return failed(failure, "node %s: bad mode, kind or number", path);
    if (mknod(path, mode | (unsigned)(block ? S_IFBLK : S_IFCHR), makedev(major, minor)) == 0)
        return chmod(path, mode) < 0 ? failed_errno(failure, "node %s", path) : 0;
    return errno == EEXIST ? 0 : failed_errno(failure, "node %s", path);
}

int machine_make_directory(const char *const argument[], const char *root, struct failure *failure)
{
    unsigned mode;
    const char *path = argument[1];
    if (machine_read_number(argument[0], 8, 07777, &mode) < 0)
        return failed(failure, "directory %s: bad mode", path);
    if (*path == '/' || !root) {
        if (directory_make(path) < 0 || chmod(path, mode) < 0)
            return failed_errno(failure, "directory %s", path);
        return 0;
    }
    int directory = directory_make_below(root, path);
    char opened[64];
    snprintf(opened, sizeof opened, "/proc/self/fd/%d", directory);
    int result =
        directory < 0 || chmod(opened, mode) < 0 ? failed_errno(failure, "directory %s", path) : 0;
    if (directory >= 0)
        close(directory);
    return result;
}

int machine_make_symlink(const char *const argument[], struct failure *failure)
{
    if (symlink(argument[0], argument[1]) == 0 || errno == EEXIST)
        return 0;
    return failed_errno(failure, "symlink %s", argument[1]);
}
