/* opener.c: see opener.h. */
#include "machine/opener.h"

#include "base/console.h"
#include "base/failure.h"
#include "machine/coldplug.h"
#include "slots/table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "/sbin/open-roots"

enum { DEVICE = TABLE_DEVICE + 8, MOST_ARGUMENTS = 8 };

/* Those of the processor first: what the kernel's own code does takes many times as long. */
static void opener_load_drivers(void)
{
    static const char *const names[] = {"aesni_intel", "aes_ce_blk", "xts", "dm_crypt"};
    struct failure failure;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        coldplug_load_module(names[i], &failure);
}

static int opener_run(const char *const arguments[])
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        execv(PROGRAM, (char *const *)arguments);
        say("root: " PROGRAM ": %s", strerror(errno));
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

enum opened opener_open(bool ask, bool move)
{
    static const char *const names[SLOT_COUNT] = {"system-a", "system-b"};
    char devices[SLOT_COUNT][DEVICE];
    const char *arguments[MOST_ARGUMENTS] = {PROGRAM, "open-roots"};
    struct table table;
    struct failure failure;
    size_t count = 2;
    if (table_find(&table, &failure) < 0)
        return OPENER_MISSING;
    if (ask)
        arguments[count++] = "-ask";
    if (move)
        arguments[count++] = "-move";
    /* That of the slot that was started comes first. */
    for (int i = 0; i < SLOT_COUNT; i++) {
        int slot = table.current == SLOT_B ? SLOT_COUNT - 1 - i : i;
        snprintf(devices[slot], sizeof *devices, "/dev/%s", table.system[slot].device);
        if (access(devices[slot], F_OK) < 0)
            return OPENER_MISSING;
        arguments[count++] = names[slot];
        arguments[count++] = devices[slot];
    }
    opener_load_drivers();
    return opener_run(arguments) == 0 ? OPENER_OPENED : OPENER_REFUSED;
}
