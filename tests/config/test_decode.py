"""Each field of sections 1.1 to 1.14: what it becomes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from compos.config.model import (
    BindNs,
    BlockDevice,
    BlockIo,
    Config,
    Cpu,
    Device,
    DeviceRule,
    File,
    HugepageLimit,
    IdMapping,
    ImageEntry,
    Interface,
    Kernel,
    Memory,
    Mount,
    Network,
    Pids,
    Priority,
    Resources,
    Runtime,
    Settings,
    Trust,
    Volume,
)
from tests.config.reading import config, errors, ids, mistakes, setting

STANDARD = """\
kernel:
  image: linuxkit/kernel:6.6.71
  cmdline: "console=tty0 console=ttyS0 console=ttyAMA0"
init:
  - linuxkit/init:8eea386739975a43af558eec757a7dcb3a3d2e7b
  - linuxkit/runc:667e7ea2c426a2460ca21e3da065a57dbb3369c9
onboot:
  - name: dhcpcd
    image: linuxkit/dhcpcd:157df9ef45a035f1542ec2270e374f18efef98a5
    command: ["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]
onshutdown:
  - name: shutdown
    image: busybox:latest
    command: ["/bin/echo", "so long and thanks for all the fish"]
services:
  - name: getty
    image: linuxkit/getty:05eca453695984a69617f1f1f0bcdae7f7032967
    env:
     - INSECURE=true
  - name: nginx
    image: nginx:1.19.5-alpine
    capabilities:
     - CAP_NET_BIND_SERVICE
     - CAP_CHOWN
    binds:
     - /etc/resolv.conf:/etc/resolv.conf
files:
  - path: etc/linuxkit-config
    metadata: yaml
trust:
  org:
    - linuxkit
"""


def test_the_standard_example() -> None:
    assert config(STANDARD)._replace(init_marks=()) == Config(
        Kernel("linuxkit/kernel:6.6.71", "console=tty0 console=ttyS0 console=ttyAMA0"),
        (
            "linuxkit/init:8eea386739975a43af558eec757a7dcb3a3d2e7b",
            "linuxkit/runc:667e7ea2c426a2460ca21e3da065a57dbb3369c9",
        ),
        onboot=(
            ImageEntry(
                "dhcpcd",
                "linuxkit/dhcpcd:157df9ef45a035f1542ec2270e374f18efef98a5",
                Settings(command=("/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1")),
            ),
        ),
        onshutdown=(
            ImageEntry(
                "shutdown",
                "busybox:latest",
                Settings(command=("/bin/echo", "so long and thanks for all the fish")),
            ),
        ),
        services=(
            ImageEntry(
                "getty",
                "linuxkit/getty:05eca453695984a69617f1f1f0bcdae7f7032967",
                Settings(env=("INSECURE=true",)),
            ),
            ImageEntry(
                "nginx",
                "nginx:1.19.5-alpine",
                Settings(
                    capabilities=("CAP_NET_BIND_SERVICE", "CAP_CHOWN"),
                    binds=("/etc/resolv.conf:/etc/resolv.conf",),
                ),
            ),
        ),
        files=(File("etc/linuxkit-config", metadata="yaml"),),
        trust=Trust(org=("linuxkit",)),
    )


@pytest.mark.parametrize("text", ["{}", "null", "---\n", "~"])
def test_nothing_is_a_system_too(text: str) -> None:
    assert config(text) == Config()


SECTIONS: list[tuple[str, str, Any]] = [
    ("kernel: {}", "kernel", Kernel()),
    (
        "kernel: {image: a, cmdline: b, binary: c, tar: '', ucode: e}",
        "kernel",
        Kernel("a", "b", "c", "", "e"),
    ),
    ("init: [a, 'b:1', \"@pkg:./c\"]", "init", ("a", "b:1", "@pkg:./c")),
    ("init: []", "init", ()),
    ("volumes: [{name: a}]", "volumes", (Volume("a"),)),
    (
        (
            "volumes: [{name: a-_0, image: b, readonly: true, format: oci, platforms: "
            "[linux/arm64, "
            "linux/arm/v7]}]"
        ),
        "volumes",
        (Volume("a-_0", "b", True, "oci", ("linux/arm64", "linux/arm/v7")),),
    ),
    (
        "files: [{path: /a, contents: '', mode: '4755', uid: 1, gid: root, optional: true}]",
        "files",
        (File("/a", contents="", mode="4755", uid=1, gid="root", optional=True),),
    ),
    ("files: [{path: a, directory: true}]", "files", (File("a", directory=True),)),
    ("files: [{path: a, symlink: /b}]", "files", (File("a", symlink="/b"),)),
    ("files: [{path: a, source: ~/b}]", "files", (File("a", source="~/b"),)),
    ("files: [{path: a, metadata: json}]", "files", (File("a", metadata="json"),)),
]


@pytest.mark.parametrize(
    ("text", "section", "value"), SECTIONS, ids=[text for text, _, _ in SECTIONS]
)
def test_sections(text: str, section: str, value: Any) -> None:
    assert getattr(config(text), section) == value


TEXT_FIELDS = ("cwd", "net", "ipc", "uts", "pid", "userns", "hostname")
LIST_FIELDS = ("command", "env")
SETTINGS: list[tuple[str, str, Any]] = [
    *((f"{name}: x", name, "x") for name in TEXT_FIELDS),
    *((f"{name}: ''", name, "") for name in TEXT_FIELDS),
    *((f"{name}: [a, '']", name, ("a", "")) for name in LIST_FIELDS),
    *(
        (f"{name}: []", name, ())
        for name in (*LIST_FIELDS, "capabilities", "ambient", "binds", "mounts", "rlimits")
    ),
    ("capabilities: [CAP_CHOWN]", "capabilities", ("CAP_CHOWN",)),
    ("capabilities: [ALL]", "capabilities", ("ALL",)),
    ("capabilities.add: [CAP_CHOWN, CAP_BPF]", "capabilities_add", ("CAP_CHOWN", "CAP_BPF")),
    ("ambient: [none]", "ambient", ("none",)),
    ("binds: ['/a:/b:ro']", "binds", ("/a:/b:ro",)),
    ("binds.add: ['/a:/b']", "binds_add", ("/a:/b",)),
    ("tmpfs: [/a, '/b:size=1m', '/c:']", "tmpfs", ("/a", "/b:size=1m", "/c:")),
    (
        (
            "mounts: [{type: bind, source: /a, destination: /b, options: [ro], uidmappings: [], "
            "gidmappings: []}]"
        ),
        "mounts",
        (Mount("bind", "/a", "/b", ("ro",)),),
    ),
    (
        "devices: [{path: /dev/a, type: c, major: 1, minor: 2, mode: '0666'}]",
        "devices",
        (Device("/dev/a", "c", 1, 2, "0666"),),
    ),
    ("devices: [{path: all, type: b}]", "devices", (Device("all", "b"),)),
    ("readonly: false", "readonly", False),
    ("maskedPaths: [/a]", "masked_paths", ("/a",)),
    ("readonlyPaths: [/a]", "readonly_paths", ("/a",)),
    ("uid: 4294967295", "uid", 4294967295),
    ("gid: root", "gid", "root"),
    ("uid: ''", "uid", ""),
    ("additionalGids: [1, a]", "additional_gids", (1, "a")),
    ("noNewPrivileges: true", "no_new_privileges", True),
    ("oomScoreAdj: 0", "oom_score_adj", 0),
    ("oomScoreAdj: 1e2", "oom_score_adj", 100),
    ("oomScoreAdj: -1.0", "oom_score_adj", -1),
    ("rootfsPropagation: shared", "rootfs_propagation", "shared"),
    ("cgroupsPath: /a", "cgroups_path", "/a"),
    ("sysctl: {net.ipv4.ip_forward: '1'}", "sysctl", {"net.ipv4.ip_forward": "1"}),
    ("annotations: {a: 2001-01-01}", "annotations", {"a": "2001-01-01"}),
    ("rlimits: ['nofile,1024,unlimited']", "rlimits", ("nofile,1024,unlimited",)),
    ("uidMappings: [{hostID: 1, containerID: 2, size: 3}]", "uid_mappings", (IdMapping(1, 2, 3),)),
    ("gidMappings: [{hostID: 1, size: 3}]", "gid_mappings", (IdMapping(1, 0, 3),)),
    ("resources: {}", "resources", Resources()),
    (
        "resources: {devices: [{allow: true, type: c, major: 1, minor: -1, access: rwm}]}",
        "resources",
        Resources(devices=(DeviceRule(True, "c", 1, -1, "rwm"),)),
    ),
    (
        (
            "resources: {memory: {limit: 1, reservation: 2, swap: -1, kernel: 4, kernelTCP: 5, "
            "swappiness: 6, "
            "disableOOMKiller: true}}"
        ),
        "resources",
        Resources(memory=Memory(1, 2, -1, 4, 5, 6, True)),
    ),
    (
        (
            "resources: {cpu: {shares: 1, quota: -1, period: 3, realtimeRuntime: 4, "
            "realtimePeriod: 5, "
            "cpus: 0-3, mems: '0'}}"
        ),
        "resources",
        Resources(cpu=Cpu(1, -1, 3, 4, 5, "0-3", "0")),
    ),
    ("resources: {pids: {limit: 9}}", "resources", Resources(pids=Pids(9))),
    ("resources: {pids: {}}", "resources", Resources(pids=Pids(0))),
    (
        (
            "resources: {blockio: {weight: 1, leafWeight: 65535, "
            "weightDevice: [{major: 8, minor: 1, weight: 2, leafWeight: 3}], "
            "throttleReadBpsDevice: [{major: 1, minor: 2, rate: 3}], throttleWriteBpsDevice: "
            "[{rate: 4}], "
            "throttleReadIOPSDevice: [{rate: 5}], throttleWriteIOPSDevice: [{rate: 6}]}}"
        ),
        "resources",
        Resources(
            blockio=BlockIo(
                1,
                65535,
                (BlockDevice(8, 1, 2, 3),),
                (BlockDevice(1, 2, rate=3),),
                (BlockDevice(rate=4),),
                (BlockDevice(rate=5),),
                (BlockDevice(rate=6),),
            )
        ),
    ),
    (
        "resources: {hugepageLimits: [{pageSize: 2MB, limit: 4}, {pageSize: 5}]}",
        "resources",
        Resources(hugepage_limits=(HugepageLimit("2MB", 4), HugepageLimit(5))),
    ),
    (
        "resources: {network: {classID: 1, priorities: [{name: eth0, priority: 2}]}}",
        "resources",
        Resources(network=Network(1, (Priority("eth0", 2),))),
    ),
    (
        (
            "runtime: {cgroups: [a], mounts: [{type: bind, source: /a, destination: /b}], mkdir: "
            "[/c], namespace: d, "
            "interfaces: [{name: a, add: veth, peer: b, createInRoot: true}], "
            "bindNS: {cgroup: a, ipc: b, mnt: c, net: d, pid: e, user: f, uts: g}}"
        ),
        "runtime",
        Runtime(
            ("a",),
            (Mount("bind", "/a", "/b"),),
            ("/c",),
            (Interface("a", "veth", "b", True),),
            BindNs("a", "b", "c", "d", "e", "f", "g"),
            "d",
        ),
    ),
]


@pytest.mark.parametrize(
    ("fields", "name", "value"), SETTINGS, ids=[fields[:50] for fields, _, _ in SETTINGS]
)
def test_settings(fields: str, name: str, value: Any) -> None:
    text = f"services: [{{name: b, image: b, {fields}}}]\nonboot: [{{name: a, image: b}}]\n"
    assert getattr(config(text).services[0].settings, name) == value


def test_what_is_not_given_is_none() -> None:
    """The merge with the label depends on it."""
    entry = config("services: [{name: a, image: b}]").services[0]
    assert entry.settings == Settings()
    assert all(getattr(entry.settings, name) is None for name in Settings._fields)


@pytest.mark.parametrize(
    ("fields", "id"),
    [
        ("readonly: yes", "config-type"),
        ("readonly: 'true'", "config-type"),
        ("readonly: 1", "config-type"),
        ("readonly: ~", "config-type"),
        ("command: x", "config-type"),
        ("command: {a: b}", "config-type"),
        ("command: [5]", "config-type"),
        ("command: [true]", "config-type"),
        ("command: [~]", "config-type"),
        ("command: [1.5]", "config-type"),
        ("command: [.inf]", "config-type"),
        ("command: [[a]]", "config-type"),
        ("command: ", "config-type"),
        ("cwd: ", "config-type"),
        ("cwd: [a]", "config-type"),
        ("uid: 1.0", "config-type"),
        ("uid: 1e3", "config-type"),
        ("uid: true", "config-type"),
        ("uid: -1", "config-range"),
        ("uid: 4294967296", "config-range"),
        ("additionalGids: [-1]", "config-range"),
        ("oomScoreAdj: 1.5", "config-type"),
        ("oomScoreAdj: '5'", "config-type"),
        ("oomScoreAdj: .nan", "config-type"),
        ("oomScoreAdj: 1001", "config-range"),
        ("oomScoreAdj: 0x_", "config-type"),
        ("sysctl: {a: 1}", "config-type"),
        ("sysctl: {1: '1'}", "config-type"),
        ("sysctl: [a]", "config-type"),
        ("annotations: {a: ~}", "config-type"),
        ("resources: {cpu: {shares: -1}}", "config-range"),
        ("resources: {memory: {limit: 9223372036854775808}}", "config-range"),
        ("resources: {blockio: {weight: 65536}}", "config-range"),
        ("resources: {network: {classID: 4294967296}}", "config-range"),
        ("resources: {cpus: 1}", "config-unknown-key"),
        ("runtime: {interface: []}", "config-unknown-key"),
        ("runtime: {bindNS: {mount: a}}", "config-unknown-key"),
        ("rmlimits: []", "config-unknown-key"),
        ("labels: {}", "config-unknown-key"),
        ("mounts: [{type: bind, src: /a}]", "config-unknown-key"),
        ("uidMappings: [{hostid: 1}]", "config-unknown-key"),
        ("true: a", "config-unknown-key"),
        ("~: a", "config-unknown-key"),
    ],
)
def test_what_is_refused(fields: str, id: str) -> None:
    assert ids(fields) == [id]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a]", [("config-type", "1:1")]),
        ("a", [("config-type", "1:1")]),
        ("1: a", [("config-unknown-key", "1:1: 1")]),
        ("kernel: ", [("config-type", "1:8: kernel")]),
        ("files: ", [("config-type", "1:7: files")]),
        ("init: a", [("config-type", "1:7: init")]),
        ("init: [a, '']", [("config-image", "1:11: init[1]")]),
        ("services: [{image: a}]", [("config-missing", "1:12: services[0]")]),
        ("services:\n- name: a\n  command: [a]\n", [("config-missing", "2:3: services[0]")]),
        ("services: [{}]", [("config-missing", "1:12: services[0]")] * 2),
        ("volumes: [{image: a}]", [("config-missing", "1:11: volumes[0]")]),
        ("volumes: [{name: a, format: tar}]", [("config-value", "1:29: volumes[0].format")]),
        ("files: [{contents: a}]", [("config-missing", "1:9: files[0]")]),
        ("files: [{path: a, metadata: toml}]", [("config-value", "1:29: files[0].metadata")]),
        ("files: [{path: a, contents: b, mode: 0644}]", [("config-type", "1:38: files[0].mode")]),
        ("trust: {image: a}", [("config-type", "1:16: trust.image")]),
        ("Kernel: {}", [("config-unknown-key", "1:1: Kernel")]),
        ("services: [{name: a, imge: b}]", [("config-unknown-key", "1:22: services[0].imge")]),
    ],
)
def test_places(text: str, expected: list[tuple[str, str]]) -> None:
    assert mistakes(text) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("servicse: []", "Did you mean 'services'?"),
        ("services: [{name: a, image: b, comand: []}]", "Did you mean 'command'?"),
        (
            "services: [{name: a, image: b, maskedPaths: [proc/kcore]}]",
            "Begin the path with a slash, and do not use `..`.",
        ),
        (
            "services: [{name: a, image: b, maskedPaths: ['']}]",
            "Begin the path with a slash, and do not use `..`.",
        ),
        (
            "services: [{name: a, image: b, readonlyPaths: [/proc/../sys]}]",
            "Begin the path with a slash, and do not use `..`.",
        ),
        ("services: [{name: a, image: b, maskedpaths: []}]", "Did you mean 'maskedPaths'?"),
        ("services: [{name: a, image: b, rmlimits: []}]", "Did you mean 'rlimits'?"),
        (
            "kernel: {zzz: 1}",
            "Valid keys: image, cmdline, binary, tar, ucode, modules, firmware.",
        ),
        ("services: [{name: a, image: b, readonly: yes}]", "Write true."),
        ("services: [{name: a, image: b, command: [5]}]", "Put it in quotes: '5'."),
        ("services: [{name: a, image: b, command: sh}]", "Write it as a list: [sh]."),
        ("volumes: [{name: a, format: OCI}]", "Did you mean 'oci'?"),
        ("services: [{name: a}]", "Add `image: …`."),
    ],
)
def test_hints(text: str, hint: str) -> None:
    assert [error.hint for error in errors(text)] == [hint]


def test_marks_lead_to_the_value() -> None:
    system = config(
        "init:\n- a\n- b\nservices:\n- name: a\n  image: b\n  binds: ['/a:/b',\n   '/c:/d']\n"
    )
    entry = system.services[0]
    assert str(entry.mark) == "<stdin>:5:3: services[0]"
    assert str(entry.mark.at("image")) == "<stdin>:6:10: services[0].image"
    assert str(entry.mark.at("binds[1]")) == "<stdin>:8:4: services[0].binds[1]"
    assert entry.mark.at("command") is entry.mark
    assert [str(mark) for mark in system.init_marks] == [
        "<stdin>:2:3: init[0]",
        "<stdin>:3:3: init[1]",
    ]


def test_places_are_no_part_of_the_value() -> None:
    """The key of the result cache is made of `repr`."""
    one, other = (
        config("init: [a]\nservices: [{name: a, image: b}]"),
        config("services: [{image: b, name: a}]\ninit: [a]"),
    )
    assert one == other
    assert repr(one) == repr(other)


def test_merge_keys_and_aliases() -> None:
    text = "services:\n- &a {name: a, image: b, command: [x]}\n- {<<: *a, name: c, env: []}\n"
    assert config(text).services[1] == ImageEntry("c", "b", Settings(command=("x",), env=()))
    assert setting("env", "command: &c [A=b], env: *c") == ("A=b",)


@pytest.mark.slow
def test_what_is_long_is_not_said_at_length() -> None:
    """A key of megabytes, and hundreds of thousands of them: work and words are bounded."""
    (error,) = errors(f"? {'a' * 1_000_000}\n: b\n")
    assert error.id == "config-unknown-key"
    assert len(error.message) <= 1001
    assert len(errors("".join(f"k{number}: v\n" for number in range(20_000)))) == 100
