/*
 * main.c: puts the system of the installer's medium on a disk: one that a rule or somebody at the
 * console chooses. No disk with data on it is taken unless it was named for that. Keys of Secure
 * Boot go into the firmware first: with them there, the installer starts again and goes on.
 *
 * Whatever interrupts it, the disk's first sector says that its installation is unfinished
 * (table.h), or the system is complete on it; in the first case the next start takes the same disk
 * again.
 */
#include "base/variables.h"
#include "candidate.h"
#include "disk/flags.h"
#include "disk/report.h"
#include "disk/terminal.h"
#include "firmware.h"
#include "menu.h"
#include "payload.h"
#include "rules.h"
#include "volumes.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

enum status { STATUS_DONE = 0, STATUS_REFUSED = 1, STATUS_USAGE = 2 };

#define main_say(...) report("installer", __VA_ARGS__)

static int main_install(const struct payload *payload, const struct candidate *candidate,
                        struct failure *failure)
{
    struct disk disk;
    main_say("installing %s on %s (%llu MiB are written)", payload->name, candidate->path,
             (unsigned long long)(payload->length + MIB - 1) / MIB);
    /* What encrypts takes the disk for itself. */
    int flags = payload->volume_count > 0 ? O_RDWR : O_RDWR | O_EXCL;
    if (disk_open(&disk, candidate->path, flags, failure) < 0)
        return -1;
    int status = payload_write(payload, &disk, candidate->path, failure);
    /* Whoever looks at the partitions finds the new ones; the next start does anyway. */
    if (status == 0)
        ioctl(disk.descriptor, BLKRRPART);
    close(disk.descriptor);
    if (status == 0)
        main_say("%s is installed on %s", payload->name, candidate->path);
    return status;
}

/* By the rule: 1 when it is to be taken, 0 when somebody has to choose, -1. */
static int main_by_rule(const struct candidates *list, const struct rules *rules,
                        const struct candidate **chosen, struct failure *failure)
{
    if (!*rules->disk)
        return 0;
    *chosen = candidate_choose(list, rules, failure);
    if (!*chosen) {
        main_say("%s", failure->text);
        return 0;
    }
    char text[2 * CANDIDATE_CONTENTS];
    candidate_describe(*chosen, text, sizeof text);
    main_say("%s is chosen (%s): %s; it holds %s", (*chosen)->path, rules->disk, text,
             (*chosen)->contents);
    return rules->unattended ? 1 : menu_confirm(*chosen, failure);
}

/* Until a disk is chosen. */
static int main_choose(struct candidates *list, const struct payload *payload,
                       const struct rules *rules, const struct candidate **chosen,
                       struct failure *failure)
{
    if (rules->unattended && !*rules->disk)
        main_say("nobody is to be asked, and no disk is named: say which one, with "
                 "compos.install.disk= or install.disk");
    for (;;) {
        if (candidate_list(list, payload, rules->least, failure) < 0)
            return -1;
        menu_show(list);
        int answer = main_by_rule(list, rules, chosen, failure);
        if (answer == 0)
            answer = menu_choose(list, chosen, failure);
        if (answer != 0)
            return answer;
    }
}

static void main_end(enum rules_then then)
{
    char answer[8];
    struct failure failure;
    sync();
    main_say("let the machine start from this disk next, not from the installer; it %s",
             then == RULES_POWER_OFF ? "powers off"
             : then == RULES_REBOOT  ? "starts again"
                                     : "starts again when you press Enter");
    if (then == RULES_WAIT && terminal_ask("", answer, sizeof answer, &failure) < 0)
        return;
    reboot(then == RULES_POWER_OFF ? RB_POWER_OFF : RB_AUTOBOOT);
}

/* Keys are sealed to a machine that has its own keys of Secure Boot. */
static int main_enrol(const struct payload *payload, struct firmware *firmware,
                      struct failure *failure)
{
    bool enrols = firmware->plan == FIRMWARE_ENROL;
    if (firmware_enrol(firmware, failure) < 0)
        return -1;
    if (payload->volume_count == 0 || !enrols)
        return 0;
    main_say("the installer starts again with Secure Boot on, and encrypts then");
    sync();
    reboot(RB_AUTOBOOT);
    return failed_errno(failure, "reboot");
}

static enum status main_machine(const struct payload *payload, const struct rules *rules,
                                const char *folder)
{
    static struct firmware firmware;
    static struct candidates list;
    const struct candidate *chosen = NULL;
    struct failure failure;
    struct rules again = *rules;
    main_say("this installs %s (%llu MiB) on a disk of this machine", payload->name,
             (unsigned long long)(payload->size + MIB - 1) / MIB);
    variables_folder = "/firmware/efi/efivars";
    if (firmware_look(&firmware, folder, &failure) < 0) {
        main_say("%s; nothing is changed", failure.text);
        return STATUS_REFUSED;
    }
    if (firmware.plan == FIRMWARE_LEAVE && volumes_check(payload, &failure) < 0) {
        main_say("%s; nothing is changed", failure.text);
        return STATUS_REFUSED;
    }
    for (;;) {
        if (main_choose(&list, payload, &again, &chosen, &failure) < 0)
            break;
        if (main_enrol(payload, &firmware, &failure) < 0) {
            main_say("%s; nothing is written to %s", failure.text, chosen->path);
            return STATUS_REFUSED;
        }
        if (main_install(payload, chosen, &failure) == 0) {
            main_end(rules->then);
            return STATUS_DONE;
        }
        main_say("%s: %s", chosen->path, failure.text);
        main_say("the disk is marked as unfinished; choose it again, or another one");
        /* What has failed once is not tried by itself again. */
        again.unattended = false;
        *again.disk = 0;
    }
    main_say("%s", failure.text);
    return STATUS_REFUSED;
}

/* A disk or a file that the command line names. */
static enum status main_path(const struct payload *payload, const struct rules *rules,
                             const char *path)
{
    static struct candidate candidate;
    struct failure failure;
    if (candidate_look(&candidate, path, payload, rules->least, &failure) < 0) {
        main_say("%s; nothing is changed", failure.text);
        return STATUS_REFUSED;
    }
    const char *objection = *candidate.obstacle ? candidate.obstacle : NULL;
    if (payload->volume_count > 0)
        objection = "roots are encrypted only on the machine that the installer has started";
    if (objection || (!candidate.blank && strcmp(rules->erase, path) != 0)) {
        main_say("%s: %s%s; nothing is changed", path, objection ? "" : "it holds ",
                 objection ? objection : candidate.contents);
        return STATUS_REFUSED;
    }
    if (main_install(payload, &candidate, &failure) == 0)
        return STATUS_DONE;
    main_say("%s: %s", path, failure.text);
    return STATUS_REFUSED;
}

int main(int count, char *arguments[])
{
    const char *folder = "/payload", *file = "/etc/install/rules", *cmdline = "/proc/cmdline";
    static struct payload payload;
    struct rules rules;
    struct failure failure;
    const struct flag flags[] = {
        {"payload", &folder, NULL},
        {"rules", &file, NULL},
        {"cmdline", &cmdline, NULL},
        {NULL, NULL, NULL},
    };
    int rest = flags_read(count, arguments, flags, &failure);
    if (rest < 0 || count - rest > 1) {
        main_say("%s", rest < 0 ? failure.text : "more than one disk");
        return STATUS_USAGE;
    }
    if (rules_read(&rules, file, cmdline, &failure) < 0 ||
        payload_open(&payload, folder, &failure) < 0) {
        main_say("%s", failure.text);
        return STATUS_REFUSED;
    }
    /* Whoever names a disk, or a file, may do so on another machine than the one it is for. */
    return (int)(rest < count ? main_path(&payload, &rules, arguments[rest])
                              : main_machine(&payload, &rules, folder));
}
