"""Where each setting of a container comes from: YAML, label, image, default; and where it goes
(1.5, 1.6, 1.14, M1 to M5)."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from tests.conformance.cases import ABSENT, Case, build_cases, found
from tests.conformance.lab import Built, Lab

# All cases are one build: on one worker, it is made once.
pytestmark = pytest.mark.xdist_group("conformance-merge")


class Setting(NamedTuple):
    """A key with a value in YAML and one in the label, what each becomes at `where`, and what
    stands there without both.

    `empty` is the empty value: of class ptr it overrides and becomes `emptied`; of class str it
    does not.
    """

    key: str
    kind: str
    yaml: str
    expected: Any
    label: str
    theirs: Any
    default: Any
    where: str
    empty: str = "[]"
    emptied: Any = ABSENT
    document: str = "config.json"


BIND = {"destination": "/m", "type": "bind", "source": "/a", "options": ["rw", "rbind", "rshared"]}
LABEL_BIND = {**BIND, "source": "/l"}
RLIMIT = [{"type": "RLIMIT_CORE", "hard": 2, "soft": 1}]
SPACES = [{"type": "pid"}, {"type": "mount"}]
ROOT_MOUNTS = 3


def namespaces(*own: dict[str, str]) -> list[dict[str, str]]:
    return [*own, {"type": "mount"}]


def space(kind: str, key: str, default: list[dict[str, str]]) -> Setting:
    pid = [] if kind == "pid" else [{"type": "pid"}]
    after = kind == "user"

    def placed(entry: dict[str, str]) -> list[dict[str, str]]:
        return namespaces(*pid, entry) if after else namespaces(entry, *pid)

    return Setting(
        key, "str", "new", placed({"type": kind}), "/run/ns", placed({"type": kind, "path": "/run/ns"}), default,
        "linux.namespaces", '""',
    )  # fmt: skip


SETTINGS = [
    Setting("capabilities", "add", "[CAP_KILL]", ["CAP_KILL"], "[CAP_CHOWN]", ["CAP_CHOWN"], ABSENT, "process.capabilities.effective"),
    Setting("ambient", "ptr", "[CAP_KILL]", ["CAP_KILL"], "[CAP_CHOWN]", ["CAP_CHOWN"], ABSENT, "process.capabilities.ambient"),
    Setting("mounts", "ptr", "[{type: bind, source: /a, destination: /m, options: [ro]}]", {**BIND, "options": ["ro", "rbind"]},
            "[{type: bind, source: /l, destination: /m}]", {"destination": "/m", "type": "bind", "source": "/l", "options": ["rbind"]}, ABSENT, "mounts[/m]"),
    Setting("binds", "add", "['/a:/m']", BIND, "['/l:/m']", LABEL_BIND, ABSENT, "mounts[/m]"),
    Setting("tmpfs", "ptr", "['/m:size=1k']", {"destination": "/m", "type": "tmpfs", "source": "tmpfs", "options": ["size=1k"]},
            "[/m]", {"destination": "/m", "type": "tmpfs", "source": "tmpfs"}, ABSENT, "mounts[/m]"),
    Setting("devices", "ptr", "[{path: /dev/x, type: c, major: 1, minor: 2, mode: '0640'}]",
            [{"path": "/dev/x", "type": "c", "major": 1, "minor": 2, "fileMode": 0o640}],
            "[{path: /dev/y, type: b, major: 3, minor: 4, mode: '0600'}]",
            [{"path": "/dev/y", "type": "b", "major": 3, "minor": 4, "fileMode": 0o600}], ABSENT, "linux.devices"),
    Setting("command", "ptr", "[/a, b]", ["/a", "b"], "[/l]", ["/l"], ABSENT, "process.args"),
    Setting("env", "ptr", "[A=1, A=2]", ["A=1", "A=2"], "[L=1]", ["L=1"], ABSENT, "process.env"),
    Setting("cwd", "str", "/a", "/a", "/l", "/l", "/", "process.cwd", '""'),
    space("network", "net", SPACES),
    space("ipc", "ipc", SPACES),
    space("uts", "uts", SPACES),
    space("pid", "pid", SPACES),
    space("user", "userns", SPACES),
    Setting("hostname", "str", "a", "a", "l", "l", ABSENT, "hostname", '""'),
    Setting("readonly", "ptr", "true", True, "true", True, ABSENT, "root.readonly", "false"),
    Setting("maskedPaths", "ptr", "[/a]", ["/a"], "[/l]", ["/l"], ABSENT, "linux.maskedPaths"),
    Setting("readonlyPaths", "ptr", "[/a]", ["/a"], "[/l]", ["/l"], ABSENT, "linux.readonlyPaths"),
    Setting("uid", "ptr", "5", 5, "6", 6, 0, "process.user.uid", "0", 0),
    Setting("gid", "ptr", "5", 5, "6", 6, 0, "process.user.gid", "''", 0),
    Setting("additionalGids", "ptr", "[5, c0]", [5, 100], "[6]", [6], ABSENT, "process.user.additionalGids"),
    Setting("noNewPrivileges", "ptr", "true", True, "true", True, ABSENT, "process.noNewPrivileges", "false"),
    Setting("oomScoreAdj", "ptr", "5", 5, "6", 6, ABSENT, "process.oomScoreAdj", "0", 0),
    Setting("rootfsPropagation", "ptr", "slave", "slave", "shared", "shared", ABSENT, "linux.rootfsPropagation", "''"),
    Setting("cgroupsPath", "ptr", "/a", "/a", "/l", "/l", ABSENT, "linux.cgroupsPath", "''"),
    Setting("resources", "ptr", "{pids: {limit: 5}}", {"pids": {"limit": 5}}, "{memory: {limit: 6}}", {"memory": {"limit": 6}}, {},
            "linux.resources", "{}", {}),
    Setting("sysctl", "ptr", "{a.b: '1'}", {"a.b": "1"}, "{l: '2'}", {"l": "2"}, ABSENT, "linux.sysctl", "{}"),
    Setting("rlimits", "ptr", "['core,1,2']", RLIMIT, "['nofile,unlimited,unlimited']",
            [{"type": "RLIMIT_NOFILE", "hard": 2**64 - 1, "soft": 2**64 - 1}], ABSENT, "process.rlimits"),
    Setting("uidMappings", "ptr", "[{hostID: 1, containerID: 2, size: 3}]", [{"containerID": 2, "hostID": 1, "size": 3}],
            "[{hostID: 4, containerID: 5, size: 6}]", [{"containerID": 5, "hostID": 4, "size": 6}], ABSENT, "linux.uidMappings"),
    Setting("gidMappings", "ptr", "[{hostID: 1, containerID: 2, size: 3}]", [{"containerID": 2, "hostID": 1, "size": 3}],
            "[{hostID: 4, containerID: 5, size: 6}]", [{"containerID": 5, "hostID": 4, "size": 6}], ABSENT, "linux.gidMappings"),
    Setting("annotations", "ptr", "{b: '1', a: '2'}", {"a": "2", "b": "1"}, "{l: '2'}", {"l": "2"}, ABSENT, "annotations", "{}"),
    Setting("runtime.cgroups", "ptr", "[a]", ["a"], "[l]", ["l"], [], "cgroups", "[]", [], "runtime.json"),
    Setting("runtime.mkdir", "ptr", "[/a]", ["/a"], "[/l]", ["/l"], [], "mkdir", "[]", [], "runtime.json"),
    Setting("runtime.interfaces", "ptr", "[{name: e, add: veth, peer: p, createInRoot: true}, {name: f}]",
            [{"name": "e", "add": "veth", "peer": "p", "createInRoot": True}, {"name": "f", "createInRoot": False}],
            "[{name: l}]", [{"name": "l", "createInRoot": False}], [], "interfaces", "[]", [], "runtime.json"),
    Setting("runtime.mounts", "ptr", "[{destination: /m, source: s, type: t, options: [o]}]",
            {"destination": "/m", "type": "t", "source": "s", "options": ["o"]}, "[{destination: /m}]", {"destination": "/m"}, ABSENT,
            "mounts[/m]", "[]", ABSENT, "runtime.json"),
    Setting("runtime.bindNS.net", "ptr", "/a", "/a", "/l", "/l", "", "bindNS.net", "''", "", "runtime.json"),
    Setting("runtime.namespace", "ptr", "a", "a", "l", "l", "", "namespace", "''", "", "runtime.json"),
]  # fmt: skip


def said(key: str, value: str) -> str:
    """`runtime.bindNS.net` as nested mappings in flow style."""
    if key.startswith("runtime."):
        outer, _, rest = key.partition(".")
        return f"{outer}: {{{said(rest, value)}}}"
    if key.startswith("bindNS."):
        return f"bindNS: {{{key.removeprefix('bindNS.')}: {value}}}"
    return f"{key}: {value}"


def cases() -> list[Case]:
    made = []
    for one in SETTINGS:
        rule = f"1.5 {one.key}"
        where, document = one.where, one.document
        yaml, label = said(one.key, one.yaml), said(one.key, one.label)
        made += [
            Case(f"{rule}: default", "", where, one.default, document=document),
            Case(f"{rule}: from the YAML", yaml, where, one.expected, document=document),
            Case(
                f"{rule}: from the label", "", where, one.theirs, f"{{{label}}}", document=document
            ),
            Case(
                f"{rule}: the YAML wins",
                yaml,
                where,
                one.expected,
                f"{{{label}}}",
                document=document,
            ),
        ]
        emptied = one.theirs if one.kind == "str" else one.emptied
        made.append(
            Case(
                f"{rule}: empty in the YAML ({one.kind})",
                said(one.key, one.empty),
                where,
                emptied,
                f"{{{label}}}",
                document=document,
            )
        )
    return made


IMAGE = {
    "Entrypoint": ["/e"],
    "Cmd": ["c", "d"],
    "Env": ["PATH=/bin", "X=1"],
    "WorkingDir": "/w",
    "User": "nobody",
    "Hostname": "h",
}

FURTHER = [
    Case("1.5 command: entrypoint and cmd of the image", "", "process.args", ["/e", "c", "d"], config=IMAGE),
    Case("1.5 command: replaces both", "command: [/x]", "process.args", ["/x"], config=IMAGE),
    Case("1.5 command: an empty list removes it", "command: []", "process.args", ABSENT, config=IMAGE),
    Case("1.5 command: the label goes before the image", "", "process.args", ["/l"], "{command: [/l]}", IMAGE),
    Case("1.5 env: the image's", "", "process.env", ["PATH=/bin", "X=1"], config=IMAGE),
    Case("1.5 env: replaces the whole list", "env: [Y=2]", "process.env", ["Y=2"], config=IMAGE),
    Case("1.5 env: an empty list removes it", "env: []", "process.env", ABSENT, config=IMAGE),
    Case("1.5 cwd: the image's", "", "process.cwd", "/w", config=IMAGE),
    Case("1.5 cwd: the YAML's", "cwd: /y", "process.cwd", "/y", config=IMAGE),
    Case("M1 the image's user means nothing", "", "process.user", {"uid": 0, "gid": 0}, config=IMAGE),
    Case("1.5 the image's host name means nothing", "", "hostname", ABSENT, config=IMAGE),
    Case("1.6.4 binds.add follows the label", "binds.add: ['/c:/c']", "mounts[/c]", {**BIND, "source": "/c", "destination": "/c"}, "{binds: ['/a:/m']}"),
    Case("1.6.4 binds.add keeps the label's", "binds.add: ['/c:/c']", "mounts[/m]", BIND, "{binds: ['/a:/m']}"),
    Case("1.6.4 binds: [] leaves none", "binds: []", "mounts[/m]", ABSENT, "{binds: ['/a:/m']}"),
    Case("M4 binds.add beside binds is ignored", "binds: ['/a:/m'], binds.add: ['/c:/c']", "mounts[/c]", ABSENT),
    Case("M4 binds.add in the label is ignored", "", "mounts[/m]", ABSENT, "{binds.add: ['/a:/m']}"),
    Case("1.5 binds.add without a label", "binds.add: ['/a:/m']", "mounts[/m]", BIND),
    Case("1.5 capabilities.add follows the label", "capabilities.add: [CAP_KILL]", "process.capabilities.effective", ["CAP_CHOWN", "CAP_KILL"], "{capabilities: [CAP_CHOWN]}"),
    Case("M4 capabilities.add beside capabilities is ignored", "capabilities: [CAP_KILL], capabilities.add: [CAP_CHOWN]", "process.capabilities.effective", ["CAP_KILL"]),
    Case("M4 capabilities.add in the label is ignored", "", "process.capabilities", {}, "{capabilities.add: [CAP_CHOWN]}"),
    Case("1.6.4 capabilities: [] leaves none", "capabilities: []", "process.capabilities", {}, "{capabilities: [CAP_CHOWN]}"),
    Case("N18 what stands in both lists stands once", "capabilities.add: [CAP_CHOWN]", "process.capabilities.effective", ["CAP_CHOWN"], "{capabilities: [CAP_CHOWN]}"),
    Case("N18 all absorbs", "capabilities.add: [CAP_CHOWN]", "process.capabilities.effective", 41, "{capabilities: [all]}"),
    Case("1.5 resources: the whole mapping is replaced", "resources: {pids: {limit: 5}}", "linux.resources", {"pids": {"limit": 5}}, "{resources: {memory: {limit: 6}}}"),
    Case("1.6.1 an empty label", "", "process.args", ABSENT, ""),
    Case("1.6.1 a blank label", "", "process.args", ABSENT, "  \n"),
    Case("1.6.1 a label in block YAML", "", "process.args", ["/l"], "command:\n  - /l\n"),
    Case("1.6.1 a label in JSON", "", "process.args", ["/l"], '{"command": ["/l"], "net": "host"}'),
    Case("1.14 bindNS: each namespace by itself", "runtime: {bindNS: {net: /n}}", "bindNS",
         {"cgroup": "", "ipc": "", "mnt": "", "net": "/n", "pid": "/p", "user": "", "uts": ""}, "{runtime: {bindNS: {net: /l, pid: /p}}}", document="runtime.json"),
    Case("1.14 each sub-field by itself", "runtime: {mkdir: [/a]}", "cgroups", ["l"], "{runtime: {mkdir: [/l], cgroups: [l]}}", document="runtime.json"),
    Case("1.6.3 names of volumes in a label are not translated", "", "mounts[/m]", {**BIND, "source": "vol"}, "{binds: ['vol:/m']}"),
]  # fmt: skip

CASES = [*cases(), *FURTHER]


@pytest.fixture(scope="module")
def built(lab: Lab) -> Built:
    return build_cases(lab, CASES)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.rule for case in CASES])
def test_settings(built: Built, number: int) -> None:
    case = CASES[number]
    value = found(built, number, case)
    assert (
        len(value) if isinstance(case.expected, int) and isinstance(value, list) else value
    ) == case.expected
