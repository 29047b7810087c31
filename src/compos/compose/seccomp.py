"""The system calls that a confined container may make: one table, and the profile for a set of
capabilities.

Pure. The table follows the default profile of Docker and containerd (github.com/moby/profiles,
seccomp), with two differences: a call that nobody knows yet answers ENOSYS, as under Podman, so
that a C library newer than the table falls back to what the kernel has; and capabilities also open
calls that those profiles refuse to everybody (`BY_CAPABILITY`). The form is `linux.seccomp` of the
OCI runtime specification (config-linux.md, Seccomp).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from functools import cache
from typing import Any

from compos.errors import ConfigError

__all__ = ["ALLOWED", "BY_CAPABILITY", "REFUSED", "checked_profile", "profile"]

_FILES = """
    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat
    faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2
    fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr
    fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd
    getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
    inotify_rm_watch ioctl ioprio_get ioprio_set lchown lchown32 lgetxattr link linkat listmount
    listxattr listxattrat llistxattr lremovexattr lseek _llseek lsetxattr lstat lstat64 mkdir
    mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2
    pwrite64 pwritev pwritev2 read readahead readdir readlink readlinkat readv removexattr
    removexattrat rename renameat renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice
    stat stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range
    sync_file_range2 syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat
    utimensat_time64 utimes vmsplice write writev
"""
_WAITING = """
    epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
    epoll_wait_old eventfd eventfd2 io_cancel io_destroy io_getevents io_pgetevents
    io_pgetevents_time64 io_setup io_submit _newselect pipe pipe2 poll ppoll ppoll_time64 pselect6
    pselect6_time64 select signalfd signalfd4 timerfd_create timerfd_gettime timerfd_gettime64
    timerfd_settime timerfd_settime64
"""
_MEMORY = """
    brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2
    mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free
    pkey_mprotect process_mrelease remap_file_pages
"""
_PROCESSES = """
    arch_prctl arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush capget capset execve
    execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake
    get_robust_list get_thread_area getcpu getegid getegid32 geteuid geteuid32 getgid getgid32
    getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32
    getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 kill landlock_add_rule
    landlock_create_ruleset landlock_restrict_self modify_ldt pause pidfd_open pidfd_send_signal
    prctl prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall riscv_flush_icache
    riscv_hwprobe rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
    sched_setparam sched_setscheduler sched_yield seccomp set_robust_list set_thread_area
    set_tid_address set_tls setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups
    setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32
    setreuid setreuid32 setrlimit setsid setuid setuid32 sigaction sigaltstack signal sigpending
    sigprocmask sigreturn sigsuspend sysinfo tgkill tkill ugetrlimit uname uretprobe vfork wait4
    waitid waitpid
"""
_TIME = """
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep
    setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
    timer_settime timer_settime64 times
"""
_TALKING = """
    accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr
    mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
    mq_unlink msgctl msgget msgrcv msgsnd recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl
    semget semop semtimedop semtimedop_time64 send sendmmsg sendmsg sendto setsockopt shmat shmctl
    shmdt shmget shutdown socketcall socketpair
"""
ALLOWED = frozenset(" ".join((_FILES, _WAITING, _MEMORY, _PROCESSES, _TIME, _TALKING)).split())
"""What everybody may call, whatever the arguments. A call that an architecture lacks means nothing
there."""

_ADMINISTRATION = """
    add_key bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick keyctl lookup_dcookie
    lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree
    open_tree_attr perf_event_open pivot_root quotactl quotactl_fd request_key setdomainname
    sethostname setns socket swapoff swapon syslog umount umount2 unshare
"""
BY_CAPABILITY = {
    "CAP_BPF": frozenset(("bpf",)),
    "CAP_DAC_READ_SEARCH": frozenset(("open_by_handle_at",)),
    "CAP_PERFMON": frozenset(("perf_event_open",)),
    "CAP_SYSLOG": frozenset(("syslog",)),
    "CAP_SYS_ADMIN": frozenset(_ADMINISTRATION.split()),
    "CAP_SYS_BOOT": frozenset(("kexec_file_load", "kexec_load", "reboot")),
    "CAP_SYS_CHROOT": frozenset(("chroot",)),
    "CAP_SYS_MODULE": frozenset(("delete_module", "finit_module", "init_module")),
    "CAP_SYS_NICE": frozenset(
        (
            "get_mempolicy",
            "mbind",
            "migrate_pages",
            "move_pages",
            "set_mempolicy",
            "set_mempolicy_home_node",
        )
    ),
    "CAP_SYS_PACCT": frozenset(("acct",)),
    "CAP_SYS_PTRACE": frozenset(("kcmp", "pidfd_getfd", "process_madvise", "userfaultfd")),
    "CAP_SYS_RAWIO": frozenset(("ioperm", "iopl")),
    "CAP_SYS_TIME": frozenset(("clock_settime", "clock_settime64", "settimeofday", "stime")),
    "CAP_SYS_TTY_CONFIG": frozenset(("vhangup",)),
}
"""What a capability opens beside that: calls that need it, and those that go with what it is for
(keys, swap)."""

_PAST = """
    _sysctl afs_syscall bdflush create_module get_kernel_syms getpmsg io_uring_enter
    io_uring_register io_uring_setup nfsservctl nice oldfstat oldlstat oldolduname oldstat olduname
    personality putpmsg query_module security sgetmask ssetmask swapcontext sysfs tuxcall uselib
    ustat vm86 vm86old vserver
"""
REFUSED = frozenset(_PAST.split())
"""What nobody may call: calls of the past, and io_uring, which passes by a filter of calls."""

ENOSYS, EPERM = 38, 1

CLONE_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET
(include/uapi/linux/sched.h)."""

CLONE_FLAGS = {"s390x": 1}
"""The argument of clone(2) that has the flags, where it is not the first."""

PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""PER_LINUX, PER_LINUX32, UNAME26 with either, and the question which it is
(include/uapi/linux/personality.h)."""

FAMILIES = (("LT", 38), *(("EQ", family) for family in (39, 41, 42, 43, 44, 45)))
"""Socket families without AF_ALG (38), the kernel's cryptography, and AF_VSOCK (40), which reaches
the hypervisor. None above them by comparison: a filter sees 64 bits of an argument of which the
kernel takes 32."""

ARCHITECTURES = {
    "386": ("X86_64", "X86", "X32"),
    "amd64": ("X86_64", "X86", "X32"),
    "arm": ("AARCH64", "ARM"),
    "arm64": ("AARCH64", "ARM"),
    "riscv64": ("RISCV64",),
}
"""In Go's names: what programs of this machine may be made for. Others: only the kernel's own."""


def profile(capabilities: Collection[str], architecture: str) -> bytes:
    """The profile for containers with these capabilities (`CAP_…`) on `architecture` (Go's name):
    compact JSON."""
    return _profile(frozenset(BY_CAPABILITY).intersection(capabilities), architecture)


@cache
def _profile(capabilities: frozenset[str], architecture: str) -> bytes:
    opened = ALLOWED.union(*(BY_CAPABILITY[name] for name in capabilities))
    document: dict[str, Any] = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": ENOSYS}
    if architecture in ARCHITECTURES:
        document["architectures"] = [f"SCMP_ARCH_{name}" for name in ARCHITECTURES[architecture]]
    document["syscalls"] = [
        _rule("ALLOW", opened),
        *_rules_with_arguments(opened, architecture),
        {**_rule("ERRNO", _refused(opened)), "errnoRet": EPERM},
    ]
    return json.dumps(document, separators=(",", ":")).encode()


def checked_profile(text: bytes, place: str) -> bytes:
    """A user's profile, on one line. Raises `ConfigError` when it is none in the runtime
    specification's form."""
    try:
        document = json.loads(text.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _problem("it is not JSON in UTF-8", place) from error
    if not isinstance(document, dict) or not str(document.get("defaultAction", "")).startswith(
        "SCMP_ACT_"
    ):
        raise _problem("it has no `defaultAction`", place)
    rules = document.get("syscalls") or []
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise _problem("`syscalls` is not a list of rules", place)
    if "archMap" in document or any("includes" in rule or "excludes" in rule for rule in rules):
        raise _problem(
            "it uses Docker's own format, with `archMap`, `includes` or `excludes`", place
        )
    return json.dumps(document, separators=(",", ":")).encode()


def _refuse_constant(name: str) -> None:
    """JSON has no NaN and no Infinity, whatever Python reads."""
    raise ValueError(name)


def _problem(what: str, place: str) -> ConfigError:
    return ConfigError(
        "config-seccomp",
        f"this seccomp profile cannot be used: {what}",
        place=place,
        hint="Write it as `linux.seccomp` of the OCI runtime specification.",
    )


def _refused(opened: Collection[str]) -> frozenset[str]:
    """Known calls that are not `opened`; those with arguments are refused by what their rules leave
    out."""
    known = REFUSED.union(*BY_CAPABILITY.values())
    return known.difference(opened, ("clone", "clone3", "personality", "socket"))


def _rules_with_arguments(opened: Collection[str], architecture: str) -> Iterator[dict[str, Any]]:
    for value in PERSONALITIES:
        yield {**_rule("ALLOW", ("personality",)), "args": [_argument(0, "EQ", value)]}
    if "socket" not in opened:
        for operation, value in FAMILIES:
            yield {**_rule("ALLOW", ("socket",)), "args": [_argument(0, operation, value)]}
    if "clone" not in opened:
        flags = _argument(CLONE_FLAGS.get(architecture, 0), "MASKED_EQ", CLONE_NAMESPACES)
        yield {**_rule("ALLOW", ("clone",)), "args": [{**flags, "valueTwo": 0}]}


def _rule(action: str, names: Collection[str]) -> dict[str, Any]:
    return {"names": sorted(names), "action": f"SCMP_ACT_{action}"}


def _argument(index: int, operation: str, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "op": f"SCMP_CMP_{operation}"}
