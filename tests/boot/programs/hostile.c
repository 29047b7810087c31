/*
 * hostile.c: NAME [host]: tries the known ways out of a container and prints one line: which of them a kernel carried out or
 * looked at (with the error that it gave), how many were refused, and what confines the process.
 *
 * Only for a guest. It tries to hurt nothing (files are opened and not written, clocks set to what they show), but a machine
 * that lets it loses a loaded kexec kernel, its process accounting and ctrl-alt-del, and keeps a mount and a control group. With
 * `host` it also reaches for the machine's processes, which a container sees that has the machine's PID namespace.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/quota.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* An attempt: 0 when it succeeded, else the reason. */
typedef int attempt(void);

static int result(long value)
{
    return value < 0 ? errno : 0;
}

/* What is not there cannot be written: as good as refused. */
static int writable(const char *path)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file >= 0) {
        close(file);
        return 0;
    }
    return errno == ENOENT || errno == ENXIO || errno == ENODEV ? EACCES : errno;
}

/* A masked file is /dev/null, a masked folder an empty one. */
static int readable(const char *path)
{
    char byte[16];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? EACCES : errno;
    ssize_t count = read(file, byte, sizeof byte);
    if (count < 0 && errno == EISDIR) {
        DIR *folder = fdopendir(file);
        for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
            if (entry->d_name[0] != '.')
                return 0;
        return EACCES;
    }
    return count > 0 ? 0 : EACCES;
}

#define WRITE(name, path) static int name(void) { return writable(path); }
#define READ(name, path) static int name(void) { return readable(path); }
#define CALL(name, ...) static int name(void) { return result(syscall(__VA_ARGS__)); }

WRITE(core_pattern, "/proc/sys/kernel/core_pattern")
WRITE(modprobe_path, "/proc/sys/kernel/modprobe")
WRITE(drop_caches, "/proc/sys/vm/drop_caches")
WRITE(ip_forward, "/proc/sys/net/ipv4/ip_forward")
WRITE(sysrq, "/proc/sysrq-trigger")
WRITE(sysrq_setting, "/proc/sys/kernel/sysrq")
WRITE(irq, "/proc/irq/default_smp_affinity")
WRITE(uevent_helper, "/sys/kernel/uevent_helper")
WRITE(sys_module, "/sys/module/printk/parameters/time")
WRITE(sys_memory, "/sys/kernel/mm/transparent_hugepage/enabled")
WRITE(kmsg, "/dev/kmsg")
WRITE(console, "/dev/console")
WRITE(disk, "/dev/sda")
READ(kcore, "/proc/kcore")
READ(keys, "/proc/keys")
READ(timer_list, "/proc/timer_list")
READ(acpi, "/proc/acpi")
READ(firmware, "/sys/firmware")
READ(debugfs, "/sys/kernel/debug")

/* The hierarchies of cgroup v1; without them, the only one. */
static const char *const hierarchies[] = {"memory/", "pids/", "devices/", "freezer/", "cpu,cpuacct/", "systemd/", ""};

static int in_hierarchies(const char *name, int (*one)(const char *))
{
    char path[128];
    for (size_t i = 0; i < sizeof hierarchies / sizeof *hierarchies; i++) {
        snprintf(path, sizeof path, "/sys/fs/cgroup/%scgroup.procs", hierarchies[i]);
        if (access(path, F_OK) < 0)
            continue;
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s%s", hierarchies[i], name);
        if (one(path) == 0)
            return 0;
    }
    return EACCES;
}

static int make_folder(const char *path)
{
    return result(mkdir(path, 0755));
}

static int release_agent(void)
{
    return in_hierarchies("release_agent", writable);
}

static int cgroup_procs(void)
{
    return in_hierarchies("cgroup.procs", writable);
}

static int cgroup_folder(void)
{
    return in_hierarchies("hostile", make_folder);
}

static int node(mode_t kind, unsigned major, unsigned minor, bool opened)
{
    char path[64];
    snprintf(path, sizeof path, "/hostile-node-%u-%u", major, minor);
    if (mknod(path, kind | 0600, makedev(major, minor)) < 0 && errno != EEXIST)
        return errno;
    int file = opened ? open(path, O_RDONLY | O_CLOEXEC) : 0;
    int reason = errno;
    unlink(path);
    return file < 0 ? reason : 0;
}

/* The null device, so that nothing but the making of a node is asked for. */
static int make_node(void)
{
    return node(S_IFCHR, 1, 3, false);
}

static int open_memory(void)
{
    return node(S_IFCHR, 1, 1, true);
}

static int open_disk(void)
{
    return node(S_IFBLK, 8, 0, true);
}

CALL(keyctl, SYS_keyctl, 0, -3, 0)
CALL(add_key, SYS_add_key, "user", "hostile", "x", 1, -3)
CALL(request_key, SYS_request_key, "user", "hostile", NULL, 0)
CALL(unshare_user, SYS_unshare, CLONE_NEWUSER)
CALL(unshare_mount, SYS_unshare, CLONE_NEWNS)
CALL(pivot_root, SYS_pivot_root, "/", "/")
CALL(chroot_call, SYS_chroot, "/")
CALL(kexec_load, SYS_kexec_load, 0, 0, NULL, 0)
CALL(kexec_file_load, SYS_kexec_file_load, -1, -1, 0, "", 0)
CALL(init_module, SYS_init_module, NULL, 0, "")
CALL(finit_module, SYS_finit_module, -1, "", 0)
CALL(delete_module, SYS_delete_module, "hostile", 0)
CALL(fsopen_call, SYS_fsopen, "tmpfs", 0)
CALL(open_tree_call, SYS_open_tree, AT_FDCWD, "/", 1)
CALL(acct_call, SYS_acct, NULL)
CALL(swapon_call, SYS_swapon, "/proc/self/exe", 0)
CALL(quotactl_call, SYS_quotactl, QCMD(Q_SYNC, USRQUOTA), NULL, 0, NULL)
CALL(fanotify, SYS_fanotify_init, 4, 0)
CALL(personality_call, SYS_personality, 0x0040000)
CALL(userfault, SYS_userfaultfd, 1)
CALL(vhangup_call, SYS_vhangup)
CALL(kcmp_call, SYS_kcmp, getpid(), getpid(), 1, 0, 0)
CALL(move_pages, SYS_move_pages, 0, 0, NULL, NULL, NULL, 0)
CALL(syslog_call, SYS_syslog, 10, NULL, 0)
CALL(reboot_call, SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, NULL)
CALL(packet_socket, SYS_socket, AF_PACKET, SOCK_RAW, 0)
CALL(vsock, SYS_socket, 40, SOCK_STREAM, 0)
CALL(alg_socket, SYS_socket, 38, SOCK_SEQPACKET, 0)
/* The kernel takes the lower half of the family, a filter sees all of it. */
CALL(long_family, SYS_socket, 0x100000028L, SOCK_STREAM, 0)
CALL(io_uring, SYS_io_uring_setup, 0, NULL)

static int bpf_call(void)
{
    struct {
        uint32_t type, key, value, entries, flags, rest[27];
    } map = {.type = 2, .key = 4, .value = 4, .entries = 1};
    return result(syscall(SYS_bpf, 0, &map, sizeof map));
}

/* A flag that there is not: Debian's kernel refuses the rest to everybody but CAP_SYS_ADMIN. */
CALL(perf_event, SYS_perf_event_open, NULL, 0, -1, -1, 1L << 20)

/* Whatever it is given, the C library must learn that it is not there. */
static int clone3_call(void)
{
    uint64_t arguments[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
    long child = syscall(SYS_clone3, arguments, sizeof arguments);
    if (child == 0)
        _exit(0);
    return result(child);
}

static int clone_user(void)
{
    long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0)
        _exit(0);
    return result(child);
}

/* The calls of 32-bit programs, and of the x32 ABI, have numbers of their own. */
static int unshare_32bit(void)
{
#ifdef __x86_64__
    long value;
    __asm__ volatile("int $0x80" : "=a"(value) : "a"(310L), "b"((long)CLONE_NEWUSER) : "memory");
    return value < 0 ? (int)-value : 0;
#else
    return EPERM;
#endif
}

static int unshare_x32(void)
{
#ifdef __x86_64__
    return result(syscall(0x40000000 | SYS_unshare, CLONE_NEWUSER));
#else
    return EPERM;
#endif
}

static int setns_call(void)
{
    int file = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    return file < 0 ? EACCES : result(syscall(SYS_setns, file, 0));
}

static int mount_call(void)
{
    mkdir("/hostile-mount", 0755);
    return result(mount("hostile", "/hostile-mount", "tmpfs", 0, NULL));
}

static int remount_sysctl(void)
{
    return result(mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL));
}

static int unmask_kcore(void)
{
    return result(umount2("/proc/kcore", MNT_DETACH));
}

static int handle(void)
{
    struct {
        unsigned bytes;
        int type;
        unsigned char value[8];
    } file = {.bytes = 8, .type = 1};
    return result(syscall(SYS_open_by_handle_at, AT_FDCWD, &file, O_RDONLY));
}

static int set_clock(void)
{
    struct timeval now;
    gettimeofday(&now, NULL);
    return result(settimeofday(&now, NULL));
}

static int tune_clock(void)
{
    struct timex clock = {.modes = 0};
    adjtimex(&clock);
    clock.modes = ADJ_TICK;
    return adjtimex(&clock) < 0 ? errno : 0;
}

static int host_name(void)
{
    char name[65];
    gethostname(name, sizeof name);
    return result(sethostname(name, strlen(name)));
}

static int ports(void)
{
#ifdef SYS_ioperm
    return result(syscall(SYS_ioperm, 0x80, 1, 1));
#else
    return EPERM;
#endif
}

static int priority(void)
{
    return result(setpriority(PRIO_PROCESS, 0, -5));
}

static int steal_descriptor(void)
{
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    return self < 0 ? EPERM : result(syscall(SYS_pidfd_getfd, self, 0, 0));
}

/* This program again, as a file of root with the setuid bit. */
static int setuid_program(void)
{
    if (getuid() == 0)
        return EACCES;
    execl("/hostile-setuid", "hostile", "--am-i-root", NULL);
    return EACCES;
}

/* Typing into a terminal that somebody reads. */
static int terminal(void)
{
    static const char *const paths[] = {"/dev/tty", "/dev/console", "/dev/tty1", "/dev/ttyS0", "/dev/stdin"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        int file = open(paths[i], O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (file >= 0 && ioctl(file, TIOCSTI, "\n") == 0)
            return 0;
    }
    return EACCES;
}

static int talk(int kind, const struct sockaddr_un *address, socklen_t length)
{
    int end = socket(AF_UNIX, kind | SOCK_CLOEXEC, 0);
    int reason = end < 0 || connect(end, (const struct sockaddr *)address, length) < 0 ? errno : 0;
    if (end >= 0)
        close(end);
    return reason;
}

static int talk_path(int kind, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int reason = talk(kind, &address, sizeof address);
    return reason == ENOENT ? EACCES : reason;
}

static int control_socket(void)
{
    return talk_path(SOCK_SEQPACKET, "/run/compos/control");
}

static int containerd_socket(void)
{
    return talk_path(SOCK_STREAM, "/run/containerd/containerd.sock");
}

/* Names without a file belong to the network namespace, which is the machine's. */
static int abstract_sockets(void)
{
    static const int kinds[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
    char line[512];
    FILE *list = fopen("/proc/net/unix", "re");
    while (list && fgets(line, sizeof line, list)) {
        char *name = strchr(line, '@');
        if (!name)
            continue;
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        size_t length = strcspn(name, "\n");
        length = length < sizeof address.sun_path ? length : sizeof address.sun_path;
        memcpy(address.sun_path + 1, name + 1, length - 1);
        for (size_t i = 0; i < 3; i++)
            if (talk(kinds[i], &address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) == 0)
                return 0;
    }
    return EACCES;
}

static int trace_init(void)
{
    return result(ptrace(PTRACE_SEIZE, 1, NULL, NULL));
}

static int read_init(void)
{
    char byte;
    struct iovec own = {&byte, 1}, theirs = {(void *)0x400000, 1};
    return result(process_vm_readv(1, &own, 1, &theirs, 1, 0));
}

static int root_of_init(void)
{
    return result(open("/proc/1/root/etc", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

static int memory_of_init(void)
{
    return result(open("/proc/1/mem", O_RDWR | O_CLOEXEC));
}

static int descriptor_of_init(void)
{
    return result(open("/proc/1/fd/1", O_WRONLY | O_CLOEXEC));
}

#define NAMED(name) {#name, name, false}
#define HOST(name) {#name, name, true}

static const struct {
    const char *name;
    attempt *function;
    bool host;
} attempts[] = {
    NAMED(core_pattern), NAMED(modprobe_path), NAMED(drop_caches), NAMED(ip_forward), NAMED(sysrq), NAMED(sysrq_setting),
    NAMED(irq), NAMED(uevent_helper), NAMED(sys_module), NAMED(sys_memory), NAMED(cgroup_procs), NAMED(kmsg),
    NAMED(console), NAMED(disk), NAMED(kcore), NAMED(keys), NAMED(timer_list), NAMED(acpi), NAMED(firmware),
    NAMED(debugfs), NAMED(release_agent), NAMED(cgroup_folder), NAMED(make_node), NAMED(open_memory), NAMED(open_disk),
    NAMED(keyctl), NAMED(add_key), NAMED(request_key), NAMED(unshare_user), NAMED(unshare_32bit), NAMED(unshare_x32), NAMED(unshare_mount), NAMED(clone_user),
    NAMED(clone3_call), NAMED(setns_call), NAMED(pivot_root), NAMED(chroot_call), NAMED(mount_call),
    NAMED(remount_sysctl), NAMED(unmask_kcore), NAMED(fsopen_call), NAMED(open_tree_call), NAMED(handle),
    NAMED(kexec_load), NAMED(kexec_file_load), NAMED(init_module), NAMED(finit_module), NAMED(delete_module),
    NAMED(bpf_call), NAMED(perf_event), NAMED(acct_call), NAMED(swapon_call), NAMED(quotactl_call), NAMED(fanotify),
    NAMED(personality_call), NAMED(userfault), NAMED(vhangup_call), NAMED(kcmp_call), NAMED(steal_descriptor),
    NAMED(move_pages), NAMED(syslog_call), NAMED(reboot_call), NAMED(set_clock), NAMED(tune_clock), NAMED(host_name),
    NAMED(ports), NAMED(priority), NAMED(packet_socket), NAMED(vsock), NAMED(alg_socket), NAMED(long_family),
    NAMED(io_uring), NAMED(setuid_program), NAMED(terminal), NAMED(control_socket), NAMED(containerd_socket), NAMED(abstract_sockets),
    HOST(trace_init), HOST(read_init), HOST(root_of_init), HOST(memory_of_init), HOST(descriptor_of_init),
};

/* In a process of its own, for what one changes is there for the next. */
static int tried(attempt *function)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(function());
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : EFAULT;
}

static void print_status(void)
{
    char line[256];
    FILE *status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, "NoNewPrivs", 10) == 0 || strncmp(line, "Seccomp:", 8) == 0 || strncmp(line, "CapEff", 6) == 0) {
            line[strcspn(line, "\n")] = '\0';
            *strchr(line, '\t') = ' ';
            printf(" %s", line);
        }
}

int main(int count, char *arguments[])
{
    int refused = 0;
    char passed[4096] = "";
    if (count == 2 && strcmp(arguments[1], "--am-i-root") == 0)
        return geteuid() == 0 ? 0 : EPERM;
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        if (attempts[i].host && count < 3)
            continue;
        int reason = tried(attempts[i].function);
        const bool told = attempts[i].function != clone3_call || reason == ENOSYS;
        if (told && (reason == EPERM || reason == EACCES || reason == EROFS || reason == ENOSYS))
            refused++;
        else
            snprintf(passed + strlen(passed), sizeof passed - strlen(passed), " %s=%s", attempts[i].name,
                     reason ? strerrorname_np(reason) : "done");
    }
    printf("attempts of %s: passed%s; refused %d;", count > 1 ? arguments[1] : "", passed, refused);
    print_status();
    puts(" end");
    return 0;
}
