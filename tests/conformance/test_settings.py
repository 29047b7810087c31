"""What single settings become in `config.json`: ids, capabilities, mounts, devices, namespaces,
resources, limits (1.7 to 1.13)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.cases import ABSENT, Case, build_cases, found
from tests.conformance.lab import Built, Lab

# All cases are one build: on one worker, it is made once.
pytestmark = pytest.mark.xdist_group("conformance-settings")

CAPABILITIES = [f"CAP_{name}" for name in ["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"]]  # fmt: skip


def everything(*extra: str) -> dict[str, list[str]]:
    return {
        name: sorted(CAPABILITIES) if name != "effective" else CAPABILITIES
        for name in ("bounding", "effective", "inheritable", "permitted", *extra)
    }


def sets(
    effective: list[str], others: list[str], ambient: list[str] | None = None
) -> dict[str, list[str]]:
    found = {
        "bounding": others,
        "effective": effective,
        "inheritable": others,
        "permitted": others,
        "ambient": ambient or [],
    }
    return {name: values for name, values in found.items() if values}


IDS = [
    Case("1.7 missing", "", "process.user", {"uid": 0, "gid": 0}),
    Case("1.7 integer", "uid: 7, gid: 4294967295", "process.user", {"uid": 7, "gid": 2**32 - 1}),
    Case("1.7 octal integer", "uid: 0644", "process.user.uid", 420),
    Case("1.7 empty string", "uid: '', gid: ''", "process.user", {"uid": 0, "gid": 0}),
    Case("1.7 root", "uid: root, gid: root", "process.user", {"uid": 0, "gid": 0}),
    Case(
        "1.7 a container's name", "uid: boot, gid: down", "process.user", {"uid": 100, "gid": 101}
    ),
    Case(
        "1.7 further groups",
        "additionalGids: [1, root, boot]",
        "process.user.additionalGids",
        [1, 0, 100],
    ),
    Case("1.7 no further groups", "additionalGids: []", "process.user.additionalGids", ABSENT),
    Case("1.7 a container's name in the label", "", "process.user.uid", 101, "{uid: down}"),
]

CAPABILITY_SETS = [
    Case("1.8.1 all", "capabilities: [all]", "process.capabilities", everything()),
    Case("1.8.1 ALL in any case", "capabilities: [ALL]", "process.capabilities", everything()),
    Case("1.8.1 none", "capabilities: [None]", "process.capabilities", {}),
    Case("1.8.2 ambient all", "ambient: [all]", "process.capabilities.ambient", CAPABILITIES),
    Case("1.8.2 ambient is not effective", "ambient: [CAP_KILL]", "process.capabilities", sets([], ["CAP_KILL"], ["CAP_KILL"])),
    Case("1.8.3 union, sorted", "capabilities: [CAP_SYS_ADMIN, CAP_CHOWN], ambient: [CAP_KILL, CAP_CHOWN]", "process.capabilities",
         sets(["CAP_SYS_ADMIN", "CAP_CHOWN"], ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN"], ["CAP_KILL", "CAP_CHOWN"])),
    Case("M3 always present", "", "process.capabilities", {}),
]  # fmt: skip


def mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {
        "destination": destination,
        "type": kind,
        "source": source,
        **({"options": list(options)} if options else {}),
    }


DEV = mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k")
PTS = mount(
    "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"
)
PROC = mount("/proc", "proc", "proc", "nosuid", "nodev", "noexec", "relatime")
SYS = mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev")
CGROUP = mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro")
DEFAULTS = [DEV, PTS, PROC, SYS, CGROUP]


def read_only(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "options": [*entry["options"], "ro"]}


def bind(destination: str, source: str, *options: str) -> dict[str, Any]:
    return mount(destination, "bind", source, *options)


def one(rule: str, yaml: str, destination: str, expected: Any) -> Case:
    return Case(rule, yaml, f"mounts[{destination}]", expected)


MOUNTS = [
    Case("1.9 defaults", "", "mounts", DEFAULTS),
    Case("1.9 defaults of a read-only container", "readonly: true", "mounts", [read_only(DEV), PTS, PROC, read_only(SYS), CGROUP]),
    Case("1.9 sorted by bytes of the destination", "tmpfs: [/z, /Z, /dev0], binds: ['/a:/dev/shm']", "mounts",
         [mount("/Z", "tmpfs", "tmpfs"), DEV, PTS, bind("/dev/shm", "/a", "rw", "rbind", "rshared"), mount("/dev0", "tmpfs", "tmpfs"), PROC, SYS, CGROUP,
          mount("/z", "tmpfs", "tmpfs")]),
    Case("1.9 binds win over tmpfs, mounts over binds", "tmpfs: [/a, /b], binds: ['/s:/a', '/s:/c'], mounts: [{type: t, source: u, destination: /c}]", "mounts",
         [bind("/a", "/s", "rw", "rbind", "rshared"), mount("/b", "tmpfs", "tmpfs"), mount("/c", "t", "u"), *DEFAULTS]),
    one("1.9 a default is replaced, options included", "mounts: [{type: cgroup}]", "/sys/fs/cgroup", mount("/sys/fs/cgroup", "cgroup", "cgroup")),
    one("1.9 a bind replaces a default", "binds: ['/dev:/dev']", "/dev", bind("/dev", "/dev", "rw", "rbind", "rshared")),
    one("1.9 a tmpfs replaces a default", "tmpfs: ['/proc:ro']", "/proc", mount("/proc", "tmpfs", "tmpfs", "ro")),
    one("1.9 destinations are verbatim", "binds: ['/a:/b/../c/']", "/b/../c/", bind("/b/../c/", "/a", "rw", "rbind", "rshared")),
    one("1.9 tmpfs without options", "tmpfs: [/t]", "/t", mount("/t", "tmpfs", "tmpfs")),
    one("1.9 tmpfs with options", "tmpfs: ['/t:size=1k,mode=1777']", "/t", mount("/t", "tmpfs", "tmpfs", "size=1k", "mode=1777")),
    one("1.9 tmpfs with an empty option", "tmpfs: ['/t:']", "/t", mount("/t", "tmpfs", "tmpfs", "")),
    one("M2 binds without options", "binds: ['/a:/b']", "/b", bind("/b", "/a", "rw", "rbind", "rshared")),
    one("M2 binds with options", "binds: ['/a:/b:ro,noexec']", "/b", bind("/b", "/a", "ro", "noexec", "rbind")),
    one("1.9 rbind is doubled", "binds: ['/a:/b:rbind']", "/b", bind("/b", "/a", "rbind", "rbind")),
    one("1.9 the last bind of a destination", "binds: ['/a:/b', '/c:/b:ro']", "/b", bind("/b", "/c", "ro", "rbind")),
    *(one(f"1.9 (a) source {kind} is the type", f"mounts: [{{source: {kind}}}]", where, mount(where, kind, kind))
      for kind, where in (("mqueue", "/dev/mqueue"), ("devpts", "/dev/pts"), ("proc", "/proc"), ("sysfs", "/sys"), ("cgroup", "/sys/fs/cgroup"))),
    one("1.9 (b) /dev is a tmpfs", "mounts: [{destination: /dev, source: s}]", "/dev", mount("/dev", "tmpfs", "s")),
    one("1.9 (d) the source is the type", "mounts: [{type: xfs, destination: /x}]", "/x", mount("/x", "xfs", "xfs")),
    one("1.9 (e) destination by type", "mounts: [{type: mqueue}]", "/dev/mqueue", mount("/dev/mqueue", "mqueue", "mqueue")),
    one("1.9 options as given", "mounts: [{type: bind, source: /a, destination: /b, options: [x, bind, x, '']}]", "/b", bind("/b", "/a", "x", "bind", "x", "")),
    one("1.9 a bind binds", "mounts: [{type: bind, source: /a, destination: /b, options: [ro]}]", "/b", bind("/b", "/a", "ro", "rbind")),
    one("1.9 one place, written twice", "binds: ['/a:/b/'], mounts: [{type: bind, source: /c, destination: /x/../b}]", "/x/../b", bind("/x/../b", "/c", "rbind")),
    one("1.9 the first of them is gone", "binds: ['/a:/b/'], mounts: [{type: bind, source: /c, destination: /x/../b}]", "/b/", ABSENT),
    one("1.9 a default is replaced however its place is written", "binds: ['/sys:/proc/../sys/']", "/sys", ABSENT),
    one("1.9 mappings of mounts are ignored", "mounts: [{type: t, destination: /b, uidmappings: [], gidmappings: []}]", "/b", mount("/b", "t", "t")),
    one("1.9.2 a volume in binds", "binds: ['data:/d']", "/d", bind("/d", "/containers/volumes/data/merged", "rw", "rbind", "rshared")),
    one("1.9.2 a volume in binds.add", "binds.add: ['data:/d:nosuid']", "/d", bind("/d", "/containers/volumes/data/merged", "nosuid", "rbind")),
    one("1.9.2 a read-only volume", "binds: ['fixed:/d:ro']", "/d", bind("/d", "/containers/volumes/fixed/merged", "ro", "rbind")),
    one("N5 a volume in mounts", "mounts: [{type: bind, source: data, destination: /d}]", "/d", bind("/d", "/containers/volumes/data/merged", "rbind")),
    one("1.9.3 a read-only volume in mounts", "mounts: [{type: bind, source: fixed, destination: /d, options: [ro, rw]}]", "/d",
        bind("/d", "/containers/volumes/fixed/merged", "ro", "rbind")),
]  # fmt: skip

DEVICES = [
    Case("1.10 a node", "devices: [{path: /dev/x, type: c, major: 10, minor: 20, mode: '4660'}]", "linux.devices",
         [{"path": "/dev/x", "type": "c", "major": 10, "minor": 20, "fileMode": 0o4660}]),
    Case("1.10 its rule", "devices: [{path: /dev/x, type: c, major: 10, minor: 20, mode: '660'}]", "linux.resources.devices",
         [{"allow": True, "type": "c", "major": 10, "minor": 20, "access": "rwm"}]),
    Case("1.10 numbers are 0", "devices: [{path: /dev/x, type: b, mode: '0600'}]", "linux.devices", [{"path": "/dev/x", "type": "b", "major": 0, "minor": 0, "fileMode": 0o600}]),
    Case("1.10 all is a rule only", "devices: [{path: all, type: b}]", "linux.resources.devices", [{"allow": True, "type": "b", "access": "rwm"}]),
    Case("1.10 all makes no node", "devices: [{path: all, type: b}]", "linux.devices", ABSENT),
    Case("1.10 rules follow those of resources", "devices: [{path: all, type: a}, {path: all, type: c}], resources: {devices: [{allow: false, type: a, access: rw}]}",
         "linux.resources.devices", [{"allow": False, "type": "a", "access": "rw"}, {"allow": True, "type": "a", "access": "rwm"}, {"allow": True, "type": "c", "access": "rwm"}]),
]  # fmt: skip

SPACES = {"net": "network", "ipc": "ipc", "uts": "uts", "pid": "pid", "userns": "user"}


def spaces(key: str, entry: dict[str, str] | None) -> list[dict[str, str]]:
    """The namespaces of a container that says `key`, in order: network, ipc, uts, pid, user,
    mount."""
    own = {"pid": {"type": "pid"}} | ({SPACES[key]: entry} if entry else {})
    if key == "pid" and entry is None:
        own.pop("pid")
    return [own[kind] for kind in ("network", "ipc", "uts", "pid", "user") if kind in own] + [
        {"type": "mount"}
    ]


NAMESPACES = [
    *(Case(f"1.11 {key}: {value}", f"{key}: {value}", "linux.namespaces", spaces(key, None)) for key in SPACES for value in ("host", "root")),
    *(Case(f"1.11 {key}: new", f"{key}: new", "linux.namespaces", spaces(key, {"type": kind})) for key, kind in SPACES.items()),
    *(Case(f"1.11 {key}: a path", f"{key}: /run/x", "linux.namespaces", spaces(key, {"type": kind, "path": "/run/x"})) for key, kind in SPACES.items()),
    Case("1.11 net: none", "net: none", "linux.namespaces", spaces("net", {"type": "network"})),
    *(Case(f"1.11 {key}: none is a path", f"{key}: none", "linux.namespaces", spaces(key, {"type": kind, "path": "none"}))
      for key, kind in SPACES.items() if key != "net"),
    Case("1.11 all at once", "net: new, ipc: new, uts: new, pid: new, userns: new", "linux.namespaces",
         [{"type": kind} for kind in ("network", "ipc", "uts", "pid", "user", "mount")]),
]  # fmt: skip


def resource(rule: str, yaml: str, key: str, expected: Any) -> Case:
    return Case(f"1.12 {rule}", f"resources: {{{yaml}}}", f"linux.resources.{key}", expected)


DEVICE = "[{major: 1, minor: 2, rate: 3}]"
RATE = [{"major": 1, "minor": 2, "rate": 3}]
RESOURCES = [
    resource("devices", "devices: [{allow: true, type: c, major: 1, minor: -1, access: rwm}, {allow: false}]", "devices",
             [{"allow": True, "type": "c", "major": 1, "minor": -1, "access": "rwm"}, {"allow": False}]),
    resource("memory", "memory: {limit: 1, reservation: 2, swap: -1, kernel: 4, swappiness: 5}", "memory",
             {"limit": 1, "reservation": 2, "swap": -1, "kernel": 4, "swappiness": 5}),
    resource("memory, lost by LinuxKit (N7)", "memory: {kernelTCP: 1, disableOOMKiller: true}", "memory", {"kernelTCP": 1, "disableOOMKiller": True}),
    resource("cpu", "cpu: {shares: 1, period: 2, quota: -1, cpus: 0-1, mems: '0'}", "cpu", {"shares": 1, "quota": -1, "period": 2, "cpus": "0-1", "mems": "0"}),
    resource("cpu, lost by LinuxKit (N7)", "cpu: {realtimeRuntime: 1, realtimePeriod: 2}", "cpu", {"realtimeRuntime": 1, "realtimePeriod": 2}),
    resource("pids", "pids: {limit: 5}", "pids", {"limit": 5}),
    resource("pids without a limit", "pids: {}", "pids", {"limit": 0}),
    resource("blockio", "blockio: {weight: 10}", "blockIO", {"weight": 10}),
    resource("blockio, lost by LinuxKit (N7)",
             f"blockio: {{leafWeight: 1, weightDevice: [{{major: 1, minor: 2, weight: 3, leafWeight: 4}}], throttleReadBpsDevice: {DEVICE},"
             f" throttleWriteBpsDevice: {DEVICE}, throttleReadIOPSDevice: {DEVICE}, throttleWriteIOPSDevice: {DEVICE}}}", "blockIO",
             {"leafWeight": 1, "weightDevice": [{"major": 1, "minor": 2, "weight": 3, "leafWeight": 4}], "throttleReadBpsDevice": RATE,
              "throttleWriteBpsDevice": RATE, "throttleReadIOPSDevice": RATE, "throttleWriteIOPSDevice": RATE}),
    resource("hugepageLimits, lost by LinuxKit (N7)", "hugepageLimits: [{pageSize: 2MB, limit: 3}]", "hugepageLimits", [{"pageSize": "2MB", "limit": 3}]),
    resource("network", "network: {priorities: [{name: eth0, priority: 1}]}", "network", {"priorities": [{"name": "eth0", "priority": 1}]}),
    resource("network, lost by LinuxKit (N7)", "network: {classID: 5}", "network", {"classID": 5}),
    Case("1.12 always there", "", "linux.resources", {}),
]  # fmt: skip


def limit(text: str, name: str, soft: int, hard: int) -> Case:
    return Case(
        f"1.13 {text}",
        f"rlimits: ['{text}']",
        "process.rlimits",
        [{"type": f"RLIMIT_{name}", "hard": hard, "soft": soft}],
    )


RLIMITS = [
    *(limit(f"{name.lower()},1,2", name, 1, 2)
      for name in ["CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"]),
    limit("RLIMIT_nofile, 1 , Unlimited ", "NOFILE", 1, 2**64 - 1),
    limit("NoFile,18446744073709551615,0", "NOFILE", 2**64 - 1, 0),
    Case("1.13 order is kept, nothing dropped", "rlimits: ['core,1,2', 'as,3,4', 'core,5,6']", "process.rlimits",
         [{"type": "RLIMIT_CORE", "hard": 2, "soft": 1}, {"type": "RLIMIT_AS", "hard": 4, "soft": 3}, {"type": "RLIMIT_CORE", "hard": 6, "soft": 5}]),
    Case("1.13 an empty list", "rlimits: []", "process.rlimits", ABSENT),
]  # fmt: skip

SCALARS = [
    Case("1.0 dates and times are strings", "hostname: 2001-01-01, cgroupsPath: 1:30", "hostname", "2001-01-01"),
    Case("1.0 sexagesimals are strings", "cgroupsPath: 1:30", "linux.cgroupsPath", "1:30"),
    Case("1.0 yes is a string", "hostname: yes", "hostname", "yes"),
    Case("1.0 numbers in every base", "additionalGids: [+5, 1_000, 0b11, 0x1F, 0o17, 0644]", "process.user.additionalGids", [5, 1000, 3, 31, 15, 420]),
    Case("1.0 1e3 in a plain number", "oomScoreAdj: 1e2", "process.oomScoreAdj", 100),
    Case("1.0 08 is 8", "oomScoreAdj: 08", "process.oomScoreAdj", 8),
    Case("1.0 True and TRUE", "readonly: True, noNewPrivileges: TRUE", "process.noNewPrivileges", True),
    Case("1.15 oomScoreAdj 0 is written", "oomScoreAdj: 0", "process.oomScoreAdj", 0),
    Case("1.15 noNewPrivileges false is not written", "noNewPrivileges: false", "process.noNewPrivileges", ABSENT),
]  # fmt: skip

CASES = [*IDS, *CAPABILITY_SETS, *MOUNTS, *DEVICES, *NAMESPACES, *RESOURCES, *RLIMITS, *SCALARS]
REST = """
volumes: [{name: data}, {name: fixed, image: @app, readonly: true}]
onboot: [{name: boot, image: @app}]
onshutdown: [{name: down, image: @app}]
"""


@pytest.fixture(scope="module")
def built(lab: Lab) -> Built:
    return build_cases(lab, CASES, REST)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.rule for case in CASES])
def test_settings(built: Built, number: int) -> None:
    assert found(built, number, CASES[number]) == CASES[number].expected


def test_ids_count_over_sections(lab: Lab) -> None:
    """1.7: from 100 over onboot, onshutdown, services, in this order; of equal names the later
    one's number counts."""
    built = lab.build(
        "services: [{name: a, image: @app, uid: c, gid: a}]\nonshutdown: [{name: c, image: @app}]\n"
        "onboot: [{name: a, image: @app, uid: b}, {name: b, image: @app}, {name: b, image: @app}]\n"
        "files: [{path: f, contents: x, uid: a, gid: b}]"
    )
    assert built.json("containers/services/a/config.json")["process"]["user"] == {
        "uid": 103,
        "gid": 104,
    }
    assert built.json("containers/onboot/000-a/config.json")["process"]["user"]["uid"] == 102
    assert (built.tree["f"].uid, built.tree["f"].gid) == (104, 102)
