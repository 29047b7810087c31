/*
 * main.c: one program, several names: init is PID 1; svc, slot, poweroff, reboot, halt and modprobe
 * are commands, and so are LinuxKit's service and rc.shutdown. Its kernels call
 * /sbin/usermode-helper with the name of what they want.
 */
#include "base/console.h"
#include "base/failure.h"
#include "base/files.h"
#include "base/process.h"
#include "boot/plan.h"
#include "boot/root.h"
#include "boot/stage.h"
#include "containers/oneshot.h"
#include "machine/coldplug.h"
#include "machine/extra.h"
#include "machine/finder.h"
#include "machine/hotplug.h"
#include "machine/machine.h"
#include "machine/measure.h"
#include "machine/monitor.h"
#include "machine/power.h"
#include "remote/channel.h"
#include "services/services.h"
#include "services/svc.h"
#include "slots/slot.h"
#include "slots/trial.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PLAN "/etc/compos/plan"
#define RUN "/run"

enum { MAX_PLAN = 16 << 20 };

/* Whether the kernel unpacked the root, before it was prepared. */
static bool main_root_in_memory;

static void main_plan_line_skipped(unsigned number, const char *what)
{
    say("plan line %u: %s", number, what);
}

static void main_set_environment(void)
{
    setenv("PATH", "/sbin:/usr/sbin:/bin:/usr/bin", 1);
    setenv("HOME", "/", 1);
    setenv("SHELL", "/bin/sh", 1);
    setenv("USER", "root", 1);
}

/*
 * How far the boot has come. With the root in memory the initrd is the system, and is left when
 * this begins; what unseals belongs to the initrd, wherever the root is.
 */
static void main_measure(void)
{
    if (machine_is_given())
        return;
    if (main_root_in_memory) {
        measure_phase("enter-initrd");
        measure_stay_in_initrd();
    } else if (finder_has_stayed())
        measure_stay_in_initrd();
}

static void main_system(void)
{
    if (machine_is_given())
        return;
    measure_leave_initrd();
    measure_phase("sysinit");
}

/* Nobody has prepared anything: the root, the console, ctrl-alt-del, random numbers. */
static void main_take_machine(void)
{
    struct failure failure;
    finder();
    main_root_in_memory = root_is_initial();
    extra_take(RUN);
    if (!main_root_in_memory)
        umount2(RUN, MNT_DETACH); /* the small initrd's */
    int root = root_prepare(&failure);
    if (console_open() < 0) {
        mount("dev", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, NULL);
        console_open();
    }
    if (root < 0)
        say("%s", failure.text);
    reboot(RB_DISABLE_CAD);
}

/*
 * A machine without a hardware generator has no random numbers until somebody waits for them: only
 * then the kernel makes some of the jitter of its timers, which takes a second. Who waits now has
 * them when the first container asks. The kernel spins meanwhile: it is to have only what nobody
 * else needs, because a driver may come with a generator first.
 */
static void main_wait_for_random(void)
{
    char byte;
    /* No session of its own: the scheduler's autogroup would give it as much as all of init. */
    if (fork() == 0) {
        /* musl's sched_setscheduler(2) does nothing. */
        struct sched_param none = {0};
        syscall(SYS_sched_setscheduler, 0, SCHED_IDLE, &none);
        _exit(getrandom(&byte, sizeof byte, 0) < 0);
    }
}

/* What every plan needs. */
static void main_prepare(void)
{
    struct failure failure;
    if (!machine_is_given())
        main_take_machine();
    if (process_start(&failure) < 0)
        say("%s", failure.text);
    if (!machine_is_given())
        main_wait_for_random();
    setsid();
    main_set_environment();
}

static void main_read_plan(struct plan *plan)
{
    size_t length = 0;
    char *text = file_read(PLAN, MAX_PLAN, &length);
    if (text && plan_read(plan, text, length, main_plan_line_skipped) == 0)
        return;
    const char *what = text ? "not a plan of version 1" : strerror(errno);
    /* It is among what the kernel unpacks last. */
    say(PLAN ": %s%s", what,
        !text && main_root_in_memory ? "; has the initrd too little memory?" : "");
    *plan = (struct plan){0};
    power_down(plan, POWER_OFF);
}

static _Noreturn void main_init(void)
{
    struct plan plan;
    main_prepare();
    main_read_plan(&plan);
    stage_boot(&plan);
    if (!machine_is_given())
        extra_provide(RUN);
    main_measure();
    if (!machine_is_given()) {
        monitor_start();
        hotplug_start();
        channel_start(&plan);
        trial_begin();
    }
    oneshot_unseal(&plan);
    main_system();
    oneshot_stage(&plan, STAGE_ONBOOT, "onboot");
    services_stage(&plan);
    if (!machine_is_given()) {
        coldplug_start_disks();
        measure_phase("ready");
    }
    while (process_power() == POWER_NONE)
        process_events(-1);
    power_down(&plan, process_power());
}

/* rc.shutdown [poweroff | reboot] */
static int main_shutdown_command(int count, char *const arguments[])
{
    const char *action = count > 1 ? arguments[1] : "poweroff";
    if (strcmp(action, "poweroff") != 0 && strcmp(action, "reboot") != 0) {
        fprintf(stderr, "%s: %s: neither poweroff nor reboot\n", arguments[0], action);
        return 2;
    }
    return power_command(*action == 'r' ? POWER_REBOOT : POWER_OFF, 1, arguments);
}

int main(int count, char *arguments[])
{
    const char *slash = count > 0 ? strrchr(arguments[0], '/') : NULL;
    const char *name = slash ? slash + 1 : count > 0 ? arguments[0] : "init";
    if (getpid() == 1)
        main_init();
    if (strcmp(name, "svc") == 0 || strcmp(name, "service") == 0)
        return svc_command(count, arguments);
    if (strcmp(name, "slot") == 0)
        return slot_command(count, arguments);
    if (strcmp(name, "modprobe") == 0)
        return modprobe_command(count, arguments);
    if (strcmp(name, "poweroff") == 0)
        return power_command(POWER_OFF, count, arguments);
    if (strcmp(name, "reboot") == 0)
        return power_command(POWER_REBOOT, count, arguments);
    if (strcmp(name, "halt") == 0)
        return power_command(POWER_HALT, count, arguments);
    if (strcmp(name, "rc.shutdown") == 0)
        return main_shutdown_command(count, arguments);
    fprintf(
        stderr,
        "%s: only PID 1 is init; the other names are svc, slot, poweroff, reboot, halt, modprobe\n",
        name);
    return 2;
}
