"""`config.json`: a table from the reference's rules (yaml-and-build.md 1.5 to 1.15) to what the
document says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from compos.errors import ComposError
from tests.compose.systems import World


def at(document: Any, path: str) -> Any:
    """The value at `a.b.0.c`, or `absent`."""
    for key in path.split("."):
        try:
            document = document[int(key)] if isinstance(document, list) else document[key]
        except (KeyError, IndexError):
            return "absent"
    return document


MOUNTS = {"/dev": 0, "/dev/pts": 1, "/proc": 2, "/sys": 3, "/sys/fs/cgroup": 4}

RULES: list[tuple[str, str, str, Any]] = [
    ("version", "", "ociVersion", "1.2.1"),
    ("command from the image", "", "process.args", ["/bin/app"]),
    ("command replaced", "    command: [a, b]\n", "process.args", ["a", "b"]),
    ("command emptied", "    command: []\n", "process.args", "absent"),
    ("env", "    env: [A=b]\n", "process.env", ["A=b"]),
    ("no env", "", "process.env", "absent"),
    ("cwd default", "", "process.cwd", "/"),
    ("cwd", "    cwd: /x\n", "process.cwd", "/x"),
    ("uid default", "", "process.user", {"uid": 0, "gid": 0}),
    ("uid number", "    uid: 7\n    gid: 8\n", "process.user", {"uid": 7, "gid": 8}),
    ("uid of a container", "    uid: app\n", "process.user.uid", 100),
    ("uid root", "    uid: root\n", "process.user.uid", 0),
    ("more groups", "    additionalGids: [5, app]\n", "process.user.additionalGids", [5, 100]),
    ("no capabilities", "", "process.capabilities", {}),
    ("capability order", "    capabilities: [CAP_KILL, CAP_CHOWN]\n", "process.capabilities.effective", ["CAP_KILL", "CAP_CHOWN"]),
    ("capability sets sorted", "    capabilities: [CAP_KILL, CAP_CHOWN]\n", "process.capabilities.bounding", ["CAP_CHOWN", "CAP_KILL"]),
    ("ambient is raised too", "    ambient: [CAP_CHOWN]\n", "process.capabilities.permitted", ["CAP_CHOWN"]),
    ("ambient is not effective", "    ambient: [CAP_CHOWN]\n", "process.capabilities.effective", "absent"),
    ("none", "    capabilities: [none]\n", "process.capabilities", {}),
    ("rlimits", "    rlimits: ['nofile,10,unlimited']\n", "process.rlimits", [{"type": "RLIMIT_NOFILE", "hard": 2**64 - 1, "soft": 10}]),
    ("oom score", "    oomScoreAdj: 0\n", "process.oomScoreAdj", 0),
    ("no oom score", "", "process.oomScoreAdj", "absent"),
    ("no new privileges", "    noNewPrivileges: true\n", "process.noNewPrivileges", True),
    ("writable", "", "root", {"path": "rootfs"}),
    ("readonly", "    readonly: true\n", "root", {"path": "rootfs", "readonly": True}),
    ("readonly /sys", "    readonly: true\n", f"mounts.{MOUNTS['/sys']}.options", ["nosuid", "noexec", "nodev", "ro"]),
    ("hostname", "    hostname: h\n", "hostname", "h"),
    ("tmpfs", "    tmpfs: ['/a:size=1m,ro']\n", "mounts.0", {"destination": "/a", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "ro"]}),
    ("bind", "    binds: ['/s:/a']\n", "mounts.0", {"destination": "/a", "type": "bind", "source": "/s", "options": ["rw", "rbind", "rshared"]}),
    ("bind with options", "    binds: ['/s:/a:ro']\n", "mounts.0.options", ["ro", "rbind"]),
    ("mount completed", "    mounts: [{source: mqueue}]\n", "mounts.1", {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue"}),
    ("a mount replaces a default", "    mounts: [{type: cgroup, destination: /sys/fs/cgroup, options: [rw]}]\n", "mounts.4.options", ["rw"]),
    ("namespaces", "", "linux.namespaces", [{"type": "pid"}, {"type": "mount"}]),
    ("host pid, new net", "    pid: host\n    net: new\n", "linux.namespaces", [{"type": "network"}, {"type": "mount"}]),
    ("net none is an own one", "    net: none\n", "linux.namespaces.0", {"type": "network"}),
    ("joined namespace", "    net: /run/netns/x\n", "linux.namespaces.0", {"type": "network", "path": "/run/netns/x"}),
    ("resources always", "", "linux.resources", {"devices": [{"allow": False, "access": "rwm"}]}),
    ("memory", "    resources: {memory: {limit: 1024, disableOOMKiller: true}}\n", "linux.resources.memory", {"limit": 1024, "disableOOMKiller": True}),
    ("cpu camel case", "    resources: {cpu: {realtimeRuntime: 5, cpus: '0-1'}}\n", "linux.resources.cpu", {"realtimeRuntime": 5, "cpus": "0-1"}),
    ("pids", "    resources: {pids: {limit: 9}}\n", "linux.resources.pids", {"limit": 9}),
    ("block io", "    resources: {blockio: {leafWeight: 3}}\n", "linux.resources.blockIO", {"leafWeight": 3}),
    ("huge pages", "    resources: {hugepageLimits: [{pageSize: 2097152, limit: 5}]}\n", "linux.resources.hugepageLimits", [{"pageSize": "2MB", "limit": 5}]),
    ("class id", "    resources: {network: {classID: 3}}\n", "linux.resources.network", {"classID": 3}),
    ("device", "    devices: [{path: /dev/x, type: c, major: 1, minor: 2, mode: '0666'}]\n", "linux.devices.0", {"path": "/dev/x", "type": "c", "major": 1, "minor": 2, "fileMode": 0o666}),
    ("device rule", "    devices: [{path: /dev/x, type: c, major: 1, minor: 2, mode: '0666'}]\n", "linux.resources.devices.1", {"allow": True, "type": "c", "major": 1, "minor": 2, "access": "rwm"}),
    ("all devices", "    devices: [{path: all, type: b}]\n", "linux.resources.devices.1", {"allow": True, "type": "b", "access": "rwm"}),
    ("all devices make no node", "    devices: [{path: all, type: b}]\n", "linux.devices", "absent"),
    ("sysctl", "    sysctl: {b: '2', a: '1'}\n", "linux.sysctl", {"a": "1", "b": "2"}),
    ("cgroups path", "    cgroupsPath: /x\n", "linux.cgroupsPath", "/x"),
    ("propagation", "    rootfsPropagation: shared\n", "linux.rootfsPropagation", "shared"),
    ("masked", "    maskedPaths: [/a]\n    readonlyPaths: [/b]\n", "linux.maskedPaths", ["/a"]),
    ("id mappings", "    uidMappings: [{hostID: 1, containerID: 2, size: 3}]\n", "linux.uidMappings", [{"containerID": 2, "hostID": 1, "size": 3}]),
    ("annotations", "    annotations: {k: v}\n", "annotations", {"k": "v"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "path", "expected"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES]
)
def test_rules(world: World, entry: str, path: str, expected: Any) -> None:
    assert at(world.spec(entry), path) == expected


def test_all_capabilities(world: World) -> None:
    sets = world.spec("    capabilities: [all]\n")["process"]["capabilities"]
    assert (sets["effective"][0], sets["effective"][-1], len(sets["effective"])) == (
        "CAP_CHOWN",
        "CAP_CHECKPOINT_RESTORE",
        41,
    )


def test_keys_come_in_linuxkits_order(world: World) -> None:
    entry = "    hostname: h\n    annotations: {a: b}\n    env: [A=b]\n    rlimits: ['cpu,1,2']\n    oomScoreAdj: 1\n"
    spec = world.spec(entry)
    assert list(spec) == [
        "ociVersion",
        "process",
        "root",
        "hostname",
        "mounts",
        "annotations",
        "linux",
    ]
    assert list(spec["process"]) == [
        *("user", "args", "env", "cwd", "capabilities", "rlimits", "noNewPrivileges", "oomScoreAdj")
    ]


def test_the_documents_bytes(world: World) -> None:
    nodes = world.nodes("services:\n  - name: app\n    image: acme/app:1\n    command: ['<é&>']\n")
    text = world.text(nodes["containers/services/app/config.json"])
    assert '"\\u003cé\\u0026\\u003e"' in text
    assert text.startswith('{\n    "ociVersion": "1.2.1",\n    "process": {\n        "user": {')
    assert not text.endswith("\n")
    assert json.loads(text)["process"]["args"] == ["<é&>"]


MERGES: list[tuple[str, dict[str, Any], str, str, Any]] = [
    ("label's value", {"net": "host", "pid": "host"}, "", "linux.namespaces", [{"type": "mount"}]),
    ("yaml wins", {"command": ["l"]}, "    command: [y]\n", "process.args", ["y"]),
    ("label over image", {"command": ["l"]}, "", "process.args", ["l"]),
    ("an empty list overrides", {"capabilities": ["CAP_KILL"]}, "    capabilities: []\n", "process.capabilities", {}),
    ("an empty string does not", {"hostname": "h"}, "    hostname: ''\n", "hostname", "h"),
    ("add appends", {"capabilities": ["CAP_KILL"]}, "    capabilities.add: [CAP_CHOWN]\n", "process.capabilities.effective", ["CAP_KILL", "CAP_CHOWN"]),
    ("add none adds nothing", {"capabilities": ["CAP_KILL"]}, "    capabilities.add: [none]\n", "process.capabilities.effective", ["CAP_KILL"]),
    ("add removes doubles", {"capabilities": ["CAP_KILL"]}, "    capabilities.add: [CAP_KILL]\n", "process.capabilities.effective", ["CAP_KILL"]),
    ("add is ignored beside the plain key", {"binds": ["/l:/l"]}, "    binds: ['/a:/a']\n    binds.add: ['/b:/b']\n", "mounts.1.destination", "/dev"),
    ("add in a label is ignored", {"binds.add": ["/l:/l"]}, "", "mounts.0.destination", "/dev"),
    ("false overrides", {"readonly": True}, "    readonly: false\n", "root.readonly", "absent"),
    ("yaml in a label", "{net: host,\n pid: host}", "", "linux.namespaces", [{"type": "mount"}]),  # type: ignore[list-item]
]  # fmt: skip


@pytest.mark.parametrize(
    ("label", "entry", "path", "expected"),
    [case[1:] for case in MERGES],
    ids=[case[0] for case in MERGES],
)
def test_merging_with_the_label(
    world: World, label: Any, entry: str, path: str, expected: Any
) -> None:
    world.label("acme/app:1", label, Entrypoint=["/bin/app"])
    assert at(world.spec(entry), path) == expected


@pytest.mark.parametrize(
    "label", ["[1]", "{name: x}", "{nett: host}", "{net: 1}", "{capabilities: [CAP_NO]}"]
)
def test_a_bad_label_is_an_error_that_names_the_image(world: World, label: str) -> None:
    world.label("acme/app:1", label)
    with pytest.raises(ComposError) as caught:
        world.spec("")
    assert "acme/app:1" in (caught.value.place or "")


def test_volumes_are_translated_in_binds_and_mounts(world: World) -> None:
    volumes = "volumes:\n  - name: data\n"
    entry = "    binds: ['data:/a']\n    mounts: [{type: bind, source: data, destination: /b}]\n"
    nodes = world.nodes(f"{volumes}services:\n  - name: app\n    image: acme/app:1\n{entry}")
    mounts = json.loads(world.text(nodes["containers/services/app/config.json"]))["mounts"]
    assert {m["destination"]: m["source"] for m in mounts if m["type"] == "bind"} == {
        "/a": "/containers/volumes/data/merged",
        "/b": "/containers/volumes/data/merged",
    }
    assert {
        "containers/volumes/data/lower",
        "containers/volumes/data/tmp",
        "containers/volumes/data/merged",
    } <= set(nodes)


def test_a_readonly_volume_cannot_be_bound_writable(world: World) -> None:
    with pytest.raises(ComposError) as caught:
        world.nodes(
            "volumes:\n  - name: data\n    readonly: true\n"
            "services:\n  - name: app\n    image: acme/app:1\n    binds: ['data:/a']\n"
        )
    assert "read-only" in caught.value.message
