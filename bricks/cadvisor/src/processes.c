/* processes.c: see processes.h. Source: proc(5). */
#include "processes.h"

#include "base/files.h"
#include "metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILE = 1 << 20 };

static char *processes_read(const char *root, const char *name)
{
    char path[PATH_SIZE];
    size_t length;
    snprintf(path, sizeof path, "%s/%s", root, name);
    return file_read(path, MAX_FILE, &length);
}

bool processes_memory(const char *root, const char *key, double *bytes)
{
    char *text = processes_read(root, "meminfo");
    const char *line = text ? strstr(text, key) : NULL;
    if (line)
        *bytes = strtod(line + strlen(key), NULL) * 1024;
    free(text);
    return line != NULL;
}

/* Seconds since 1970; -1. */
static double processes_boot_time(const char *root)
{
    char *text = processes_read(root, "stat");
    const char *line = text ? strstr(text, "\nbtime ") : NULL;
    double seconds = line ? strtod(line + 7, NULL) : -1;
    free(text);
    return seconds;
}

static void processes_add_start(const char *root, long pid, const char *labels)
{
    enum { START = 22 - 2 }; /* field 22 of the line, counted from the name's bracket, field 2 */
    char name[32];
    double boot = processes_boot_time(root);
    snprintf(name, sizeof name, "%ld/stat", pid);
    char *text = processes_read(root, name);
    char *at = text ? strrchr(text, ')') : NULL;
    for (int field = 0; at && field < START; field++)
        at = strchr(at + 1, ' ');
    if (at && boot >= 0)
        metrics_add(START_TIME, labels, boot + strtod(at, NULL) / (double)sysconf(_SC_CLK_TCK));
    free(text);
}

/* The file's number tells network namespaces apart, without the right to look into a process. */
static bool processes_has_own_network(const char *root, long pid)
{
    char own[PATH_SIZE], machine[PATH_SIZE];
    struct stat first, second;
    snprintf(own, sizeof own, "%s/%ld/net/dev", root, pid);
    snprintf(machine, sizeof machine, "%s/1/net/dev", root);
    return stat(own, &first) == 0 && stat(machine, &second) == 0 && first.st_ino != second.st_ino;
}

/* Interfaces that cAdvisor leaves out: what they carry is counted elsewhere. */
static bool processes_is_inner(const char *interface)
{
    return strcmp(interface, "lo") == 0 || strncmp(interface, "veth", 4) == 0 ||
           strncmp(interface, "docker", 6) == 0;
}

static void processes_add_network(const char *root, long pid, const char *labels)
{
    static const enum metric metrics[] = {
        /* received; fifo, frame, compressed and multicast are passed over; sent */
        NETWORK_RECEIVED_BYTES,
        NETWORK_RECEIVED,
        NETWORK_RECEIVE_ERRORS,
        NETWORK_RECEIVE_DROPPED,
        METRICS,
        METRICS,
        METRICS,
        METRICS,
        NETWORK_SENT_BYTES,
        NETWORK_SENT,
        NETWORK_SEND_ERRORS,
        NETWORK_SEND_DROPPED,
    };
    char name[32];
    snprintf(name, sizeof name, "%ld/net/dev", pid);
    char *text = processes_read(root, name);
    for (char *rest = text, *line; rest && (line = strsep(&rest, "\n")) != NULL;) {
        struct text all = {0};
        char *numbers = strchr(line, ':');
        if (!numbers || strchr(line, '|'))
            continue;
        *numbers++ = 0;
        line += strspn(line, " ");
        if (processes_is_inner(line))
            continue;
        text_add(&all, "%s", labels);
        text_add_label(&all, "interface", line);
        for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++) {
            double value = strtod(numbers, &numbers);
            if (metrics[i] != METRICS)
                metrics_add(metrics[i], all.bytes, value);
        }
        free(all.bytes);
    }
    free(text);
}

void processes_measure(const char *root, long pid, bool machine, const char *labels)
{
    if (pid <= 0)
        return;
    processes_add_start(root, pid, labels);
    if (machine || processes_has_own_network(root, pid))
        processes_add_network(root, pid, labels);
}
