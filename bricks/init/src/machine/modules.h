/*
 * modules.h: kernel modules by name or alias, from the text indexes below /lib/modules/RELEASE
 * (modules.dep(5), kmod's modules.alias, modules.builtin, modules.softdep). In names, - and _ are
 * the same.
 */
#ifndef COMPOS_MODULES_H
#define COMPOS_MODULES_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

struct module {
    const char *path;         /* relative to the folder, "kernel/fs/overlayfs/overlay.ko" */
    const char *dependencies; /* the rest of the line: paths, nearest first */
    bool tried;
};

struct alias {
    const char *pattern; /* shell wildcards */
    size_t literal;      /* bytes before the first wildcard, - or _ */
    const char *module;
};

/* An index file in memory, its lines zero-terminated. */
struct index {
    char *begin;
    char *end;
};

/* The longest of an architecture, COMMAND_LINE_SIZE. */
enum { MAX_CMDLINE = 4096 };

struct modules {
    const char *folder;
    struct index index[4]; /* everything points into them */
    struct module *list;
    size_t count;
    struct alias *aliases;
    size_t alias_count;
    char cmdline[MAX_CMDLINE]; /* the kernel's */
    /* Brings one module's file into the kernel; modules_insert, or a test's. 0 or -1 with errno. */
    int (*insert)(const char *path, const char *parameters);
};

/* Reads the indexes. A missing modules.dep is -1 with errno; the others may be missing. */
int modules_open(struct modules *modules, const char *folder);
void modules_close(struct modules *modules);

/*
 * Loads a module by name, else every module with a matching alias; first what each needs. Their
 * parameters are on the kernel's command line (NAME.PARAMETER=VALUE; the kernel itself applies only
 * those of built-in modules). A built-in or loaded one is fine. The number of modules found (0:
 * unknown name), or -1 when none could be loaded.
 */
int modules_load(struct modules *modules, const char *name, struct failure *failure);

/* Whether `name` is a module's name: "vfat" of "kernel/fs/fat/vfat.ko.xz". */
bool module_named(const char *path, const char *name);

/* finit_module(2), with parameters as it takes them; EEXIST is success. */
int modules_insert(const char *path, const char *parameters);

/* Fills in "/lib/modules/RELEASE" of the running kernel. */
void modules_folder(char *folder, size_t size);

#endif
