/* plan_words.h: the words of the boot plan, how many arguments each has, and where it may stand.
 * Made by docs/plan_format.py from the build's table (compos.compose.plan_words). */
#ifndef COMPOS_PLAN_WORDS_H
#define COMPOS_PLAN_WORDS_H

#define PLAN_WORDS(WORD)                                       \
    WORD(AFTER, "after", 3, INSIDE)                            \
    WORD(BINDNS, "bindns", 2, INSIDE)                          \
    WORD(CGROUP, "cgroup", 1, INSIDE)                          \
    WORD(CLOCK, "clock", 0, OUTSIDE)                           \
    WORD(COLDPLUG, "coldplug", 0, OUTSIDE)                     \
    WORD(COLDPLUG_EARLY, "coldplug-early", 0, OUTSIDE)         \
    WORD(CONTAINER, "container", 3, OUTSIDE)                   \
    WORD(CONTAINERD, "containerd", 2, OUTSIDE)                 \
    WORD(CONTAINERD_OPTIONS, "containerd-options", 3, OUTSIDE) \
    WORD(DIRECTORY, "directory", 2, OUTSIDE | INSIDE)          \
    WORD(DISKS, "disks", 0, OUTSIDE)                           \
    WORD(FAILURE, "failure", 1, INSIDE)                        \
    WORD(HEALTH, "health", 5, INSIDE)                          \
    WORD(HOSTNAME, "hostname", 0, OUTSIDE)                     \
    WORD(INTERFACE, "interface", 4, INSIDE)                    \
    WORD(ISSUE, "issue", 0, OUTSIDE)                           \
    WORD(LIMIT, "limit", 3, OUTSIDE)                           \
    WORD(LOG, "log", 5, INSIDE)                                \
    WORD(LOOPBACK, "loopback", 0, OUTSIDE)                     \
    WORD(MODULE, "module", 1, OUTSIDE)                         \
    WORD(MODULES, "modules", 1, OUTSIDE | INSIDE)              \
    WORD(MOUNT, "mount", 4, OUTSIDE | INSIDE)                  \
    WORD(MOUNT_OPTIONAL, "mount?", 4, OUTSIDE | INSIDE)        \
    WORD(NAMESPACE, "namespace", 2, OUTSIDE)                   \
    WORD(NODE, "node", 5, OUTSIDE)                             \
    WORD(NO_NEW_PRIVILEGES, "no-new-privileges", 0, INSIDE)    \
    WORD(RESOLVCONF, "resolvconf", 0, OUTSIDE)                 \
    WORD(RESTART, "restart", 2, INSIDE)                        \
    WORD(ROOTPATH, "rootpath", 2, INSIDE)                      \
    WORD(RUNTIME, "runtime", 1, OUTSIDE)                       \
    WORD(SCRIPT, "script", 1, OUTSIDE)                         \
    WORD(SECCOMP, "seccomp", 2, INSIDE)                        \
    WORD(STAGE, "stage", 1, OUTSIDE)                           \
    WORD(STOP, "stop", 2, INSIDE)                              \
    WORD(SYMLINK, "symlink", 2, OUTSIDE)                       \
    WORD(TEST, "test", 1, INSIDE)                              \
    WORD(TIMEOUT, "timeout", 1, INSIDE)                        \
    WORD(UNSEAL, "unseal", 0, INSIDE)                          \
    WORD(VOLUME, "volume", 1, OUTSIDE)                         \
    WORD(VOLUME_READONLY, "volume-readonly", 1, OUTSIDE)

#endif
