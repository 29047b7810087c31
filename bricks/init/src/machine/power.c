/* power.c: see power.h. */
#include "machine/power.h"

#include "base/console.h"
#include "base/files.h"
#include "containers/oneshot.h"
#include "log/log.h"
#include "machine/machine.h"
#include "machine/measure.h"
#include "services/services.h"
#include "slots/trial.h"

#include <errno.h>
#include <linux/reboot.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * Filesystems with a disk or a server behind them, and overlays, which may lie on those
 * (docs/linuxkit.md#run-13).
 */
static const struct {
    const char *type;
    int flags;
} power_real_filesystems[] = {
    {"btrfs", 0},   {"cifs", MNT_DETACH}, {"exfat", 0}, {"ext2", 0},         {"ext3", 0},
    {"ext4", 0},    {"f2fs", 0},          {"msdos", 0}, {"nfs", MNT_DETACH}, {"nfs4", MNT_DETACH},
    {"overlay", 0}, {"vfat", 0},          {"xfs", 0},
};

static void power_end_processes(int signal, int milliseconds)
{
    const struct timespec pause = {.tv_nsec = 20 * 1000000};
    kill(-1, signal);
    for (int waited = 0; waited < milliseconds; waited += 20) {
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            continue;
        /* Every process descends from PID 1: without children there is none. */
        if (pid < 0 && errno == ECHILD)
            return;
        relay_drain();
        nanosleep(&pause, NULL);
    }
}

/* Unmounts a mount of /proc/mounts when it is a real one. */
static void power_unmount(const char *place, const char *type)
{
    for (size_t i = 0; i < sizeof power_real_filesystems / sizeof *power_real_filesystems; i++) {
        if (strcmp(power_real_filesystems[i].type, type) != 0 || strcmp(place, "/") == 0)
            continue;
        if (umount2(place, power_real_filesystems[i].flags) == 0)
            return;
        int reason = errno;
        /* Busy: at least nothing more is written. */
        if (mount(NULL, place, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
            say("unmount %s: %s", place, strerror(reason));
        return;
    }
}

static void power_unmount_all(void)
{
    struct mntent *entry;
    size_t count = 0, room = 0;
    struct {
        char *place;
        char *type;
    } *mounts = NULL;
    FILE *table = setmntent("/proc/mounts", "re");
    while (table && (entry = getmntent(table)) != NULL) {
        if (count == room) {
            room = room ? room * 2 : 64;
            void *larger = realloc(mounts, room * sizeof *mounts);
            if (!larger)
                break;
            mounts = larger;
        }
        mounts[count].place = strdup(entry->mnt_dir);
        mounts[count].type = strdup(entry->mnt_type);
        if (!mounts[count].place || !mounts[count].type)
            break;
        count++;
    }
    while (count-- > 0)
        power_unmount(mounts[count].place, mounts[count].type);
}

/* Whether somebody has loaded a kernel to go on with (kexec(8)). */
static bool power_kexec_loaded(void)
{
    char text[8];
    return file_line("/sys/kernel/kexec_loaded", text, sizeof text) == 0 && strcmp(text, "1") == 0;
}

static int power_kernel_command(enum power power)
{
    if (power == POWER_OFF)
        return RB_POWER_OFF;
    if (power == POWER_HALT)
        return (int)RB_HALT_SYSTEM;
    return power_kexec_loaded() ? RB_KEXEC : RB_AUTOBOOT;
}

static void power_measure(const char *phase)
{
    if (!machine_is_given())
        measure_phase(phase);
}

_Noreturn void power_down(const struct plan *plan, enum power power)
{
    static const char *const names[] = {
        [POWER_OFF] = "power off", [POWER_HALT] = "halt", [POWER_REBOOT] = "reboot"};
    process_ignore_power();
    say("%s: shutting down", names[power]);
    trial_end();
    power_measure("shutdown");
    services_stop();
    oneshot_stage(plan, STAGE_SHUTDOWN, "shutdown");
    log_stop();
    say("ending all processes");
    power_end_processes(SIGTERM, 5000);
    power_end_processes(SIGKILL, 2000);
    sync();
    power_measure("final");
    if (!machine_is_given()) {
        say("unmounting");
        power_unmount_all();
        sync();
    }
    say_time(names[power]);
    if (machine_is_given())
        exit(0); /* the container ends with it */
    for (;;) {
        reboot(power_kernel_command(power));
        /* The kernel cannot: stay, for PID 1 must not end. */
        say("%s: %s", names[power], strerror(errno));
        pause();
    }
}

int power_command(enum power power, int count, char *const arguments[])
{
    bool force = false, synchronise = true;
    int option;
    while ((option = getopt(count, arguments, "fnd:")) != -1)
        switch (option) {
        case 'f':
            force = true;
            break;
        case 'n':
            synchronise = false;
            break;
        case 'd':
            sleep((unsigned)strtoul(optarg, NULL, 10));
            break;
        default:
            return 2;
        }
    if (!force) {
        int signal = power == POWER_OFF ? SIGUSR2 : power == POWER_HALT ? SIGUSR1 : SIGTERM;
        if (kill(1, signal) == 0)
            return 0;
    } else {
        if (synchronise)
            sync();
        reboot(power_kernel_command(power));
    }
    fprintf(stderr, "%s: %s\n", arguments[0], strerror(errno));
    return 1;
}
