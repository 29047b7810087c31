/* groups.c: see groups.h. */
#include "groups.h"

#include "base/files.h"
#include "metrics.h"
#include "names.h"
#include "processes.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_DEPTH = 16, MAX_GROUPS = 4096, MAX_FILE = 65536, MAX_PROCESSES = 1 << 20 };

/* Files with a number behind each key. */
static const struct {
    const char *file;
    const char *key;
    enum metric metric;
    double unit;
} groups_keyed[] = {
    /* clang-format off */
    {"cpu.stat", "usage_usec", CPU_USAGE, 1e6},
    {"cpu.stat", "user_usec", CPU_USER, 1e6},
    {"cpu.stat", "system_usec", CPU_SYSTEM, 1e6},
    {"cpu.stat", "nr_periods", CPU_PERIODS, 1},
    {"cpu.stat", "nr_throttled", CPU_THROTTLED_PERIODS, 1},
    {"cpu.stat", "throttled_usec", CPU_THROTTLED, 1e6},
    {"memory.stat", "anon", MEMORY_RSS, 1},
    {"memory.stat", "file", MEMORY_CACHE, 1},
    {"memory.stat", "file_mapped", MEMORY_MAPPED, 1},
    {"memory.events", "max", MEMORY_LIMIT_HITS, 1},
    {"memory.events", "oom_kill", OOM_EVENTS, 1},
    /* clang-format on */
};

/* Files with one number; "max" is no limit, for which cAdvisor has 0. */
static const struct {
    const char *file;
    enum metric metric;
} groups_single[] = {
    {"memory.peak", MEMORY_MOST},
    {"memory.swap.current", MEMORY_SWAP},
    {"memory.max", SPEC_MEMORY_LIMIT},
    {"memory.low", SPEC_MEMORY_RESERVATION},
    {"memory.swap.max", SPEC_MEMORY_SWAP_LIMIT},
    {"pids.current", THREADS},
    {"pids.max", THREADS_MOST},
};

static const struct {
    const char *file;
    enum metric some;
    enum metric all;
} groups_pressure[] = {
    {"cpu.pressure", PRESSURE_CPU_WAITING, PRESSURE_CPU_STALLED},
    {"io.pressure", PRESSURE_IO_WAITING, PRESSURE_IO_STALLED},
    {"memory.pressure", PRESSURE_MEMORY_WAITING, PRESSURE_MEMORY_STALLED},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* A file of the group, to be freed; NULL. */
static char *groups_read(const char *group, const char *name, size_t limit)
{
    char path[PATH_SIZE];
    size_t length;
    if (snprintf(path, sizeof path, "%s/%s", group, name) >= PATH_SIZE)
        return NULL;
    return file_read(path, limit, &length);
}

/* The number behind `key` at the beginning of a line. */
static bool groups_value(const char *text, const char *key, double *value)
{
    size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) != 0 || line[length] != ' ')
            continue;
        *value = strtod(line + length, NULL);
        return true;
    }
    return false;
}

static bool groups_number(const char *group, const char *file, double *value)
{
    char *text = groups_read(group, file, MAX_FILE);
    if (!text)
        return false;
    *value = strncmp(text, "max", 3) == 0 ? 0 : strtod(text, NULL);
    free(text);
    return true;
}

static void groups_add_keyed(const char *group, const char *labels)
{
    char *text = NULL;
    for (size_t i = 0; i < COUNT(groups_keyed); i++) {
        double value;
        if (i == 0 || strcmp(groups_keyed[i].file, groups_keyed[i - 1].file) != 0) {
            free(text);
            text = groups_read(group, groups_keyed[i].file, MAX_FILE);
        }
        if (text && groups_value(text, groups_keyed[i].key, &value))
            metrics_add(groups_keyed[i].metric, labels, value / groups_keyed[i].unit);
    }
    free(text);
}

static void groups_add_single(const char *group, const char *labels)
{
    for (size_t i = 0; i < COUNT(groups_single); i++) {
        double value;
        if (groups_number(group, groups_single[i].file, &value))
            metrics_add(groups_single[i].metric, labels, value);
    }
}

/* The root group has no memory.current: in use is what is not free. */
static void groups_add_usage(const struct places *places, const char *group, const char *labels)
{
    double usage, inactive = 0, available;
    if (!groups_number(group, "memory.current", &usage)) {
        if (strcmp(group, places->groups) != 0 ||
            !processes_memory(places->processes, "MemTotal:", &usage) ||
            !processes_memory(places->processes, "MemFree:", &available))
            return;
        usage -= available;
    }
    char *text = groups_read(group, "memory.stat", MAX_FILE);
    if (text)
        groups_value(text, "inactive_file", &inactive);
    metrics_add(MEMORY_USAGE, labels, usage);
    metrics_add(MEMORY_WORKING_SET, labels, usage > inactive ? usage - inactive : 0);
    free(text);
}

/* Version 2 counts groups below with those above; cAdvisor then says the same for both scopes. */
static void groups_add_faults(const char *group, const char *labels)
{
    static const char *const scopes[] = {"container", "hierarchy"};
    static const char *const kinds[] = {"pgfault", "pgmajfault"};
    char *text = groups_read(group, "memory.stat", MAX_FILE);
    for (int i = 0; text && i < 4; i++) {
        double value;
        struct text all = {0};
        text_add(&all, "failure_type=\"%s\",%s,scope=\"%s\"", kinds[i % 2], labels, scopes[i / 2]);
        if (groups_value(text, kinds[i % 2], &value))
            metrics_add(MEMORY_FAILURES, all.bytes, value);
        free(all.bytes);
    }
    free(text);
}

static void groups_add_cpu_limits(const char *group, const char *labels)
{
    double weight, quota, period;
    char *text = groups_read(group, "cpu.max", MAX_FILE);
    if (text && sscanf(text, "%lf %lf", &quota, &period) == 2) {
        metrics_add(SPEC_CPU_QUOTA, labels, quota);
        metrics_add(SPEC_CPU_PERIOD, labels, period);
    }
    free(text);
    /* The runtimes' conversion of shares, 2 to 262144, to weights, 1 to 10000, in reverse. */
    if (groups_number(group, "cpu.weight", &weight) && weight >= 1)
        metrics_add(SPEC_CPU_SHARES, labels, (double)(2 + (long)((weight - 1) * 262142 / 9999)));
}

static void groups_add_pressure(const char *group, const char *labels)
{
    for (size_t i = 0; i < COUNT(groups_pressure); i++) {
        char *text = groups_read(group, groups_pressure[i].file, MAX_FILE);
        for (char *rest = text, *line; rest && (line = strsep(&rest, "\n")) != NULL;) {
            const char *total = strstr(line, "total=");
            if (total)
                metrics_add(*line == 's' ? groups_pressure[i].some : groups_pressure[i].all, labels,
                            strtod(total + 6, NULL) / 1e6);
        }
        free(text);
    }
}

/* "8:0 rbytes=1 wbytes=2 rios=3 wios=4 ..." */
static void groups_add_devices(const char *group, const char *labels)
{
    static const struct {
        const char *key;
        enum metric metric;
    } counts[] = {{" rbytes=", FS_READ_BYTES},
                  {" wbytes=", FS_WRITTEN_BYTES},
                  {" rios=", FS_READS},
                  {" wios=", FS_WRITES}};
    char *text = groups_read(group, "io.stat", MAX_FILE);
    for (char *rest = text, *line; rest && (line = strsep(&rest, "\n")) != NULL;) {
        unsigned major, minor;
        char name[NAME_SIZE];
        struct text all = {0};
        if (sscanf(line, "%u:%u ", &major, &minor) != 2)
            continue;
        names_device(major, minor, name);
        text_add_label(&all, "device", name);
        text_add(&all, ",%s", labels);
        for (size_t i = 0; i < COUNT(counts); i++) {
            const char *found = strstr(line, counts[i].key);
            if (found)
                metrics_add(counts[i].metric, all.bytes,
                            strtod(found + strlen(counts[i].key), NULL));
        }
        free(all.bytes);
    }
    free(text);
}

/* How many processes the group itself has; `first` is one of them, 0 if there is none. */
static size_t groups_count(const char *group, long *first)
{
    size_t count = 0;
    char *text = groups_read(group, "cgroup.procs", MAX_PROCESSES);
    *first = text ? strtol(text, NULL, 10) : 0;
    for (const char *byte = text; byte && *byte; byte++)
        count += *byte == '\n';
    free(text);
    return count;
}

static void groups_measure_one(const struct places *places, const char *group)
{
    long first;
    struct text labels = {0};
    const char *id = group + strlen(places->groups);
    size_t count = groups_count(group, &first);
    names_label(&labels, *id ? id : "/", *id && count > 0, places->docker);
    groups_add_keyed(group, labels.bytes);
    groups_add_single(group, labels.bytes);
    groups_add_usage(places, group, labels.bytes);
    groups_add_faults(group, labels.bytes);
    groups_add_cpu_limits(group, labels.bytes);
    groups_add_pressure(group, labels.bytes);
    groups_add_devices(group, labels.bytes);
    metrics_add(PROCESSES, labels.bytes, (double)count);
    metrics_add(LAST_SEEN, labels.bytes, (double)time(NULL));
    processes_measure(places->processes, *id ? first : 1, !*id, labels.bytes);
    free(labels.bytes);
}

static void groups_walk(const struct places *places, const char *group, int depth, int *count)
{
    struct dirent *entry;
    if (++*count > MAX_GROUPS || depth > MAX_DEPTH)
        return;
    groups_measure_one(places, group);
    DIR *directory = opendir(group);
    while (directory && (entry = readdir(directory)) != NULL) {
        char path[PATH_SIZE];
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            snprintf(path, sizeof path, "%s/%s", group, entry->d_name) < PATH_SIZE)
            groups_walk(places, path, depth + 1, count);
    }
    if (directory)
        closedir(directory);
}

void groups_measure(const struct places *places)
{
    int count = 0;
    groups_walk(places, places->groups, 0, &count);
    if (count > MAX_GROUPS)
        fprintf(stderr, "cadvisor: more than %d control groups; the others are left out\n",
                MAX_GROUPS);
}
