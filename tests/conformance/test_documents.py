"""How `config.json` and `runtime.json` are written: keys, their order, escapes, indentation (1.14,
1.15)."""

from __future__ import annotations

import json

import pytest

from tests.conformance.lab import Built, Lab

FULL = """
services:
  - name: full
    image: @app
    capabilities: [CAP_KILL]
    ambient: [CAP_KILL]
    command: ["a<b>&c", "\\u2028\\u2029", "ü\\t\\"\\\\\\x7f"]
    env: [A=1]
    hostname: h
    readonly: true
    maskedPaths: [/m]
    readonlyPaths: [/r]
    additionalGids: [1]
    noNewPrivileges: true
    oomScoreAdj: 1
    rootfsPropagation: slave
    cgroupsPath: /c
    devices: [{path: /dev/x, type: c, major: 1, minor: 2, mode: "0600"}]
    sysctl: {z: "1", a: "2"}
    rlimits: ["core,1,2"]
    uidMappings: [{hostID: 1, containerID: 2, size: 3}]
    gidMappings: [{hostID: 1, containerID: 2, size: 3}]
    annotations: {z: "1", a: "2"}
    runtime: {cgroups: [x], mkdir: [/a]}
  - name: plain
    image: @app
"""


@pytest.fixture(scope="module")
def built(lab: Lab) -> Built:
    return lab.build(FULL, confinement="linuxkit")


def test_key_order(built: Built) -> None:
    spec = built.json("containers/services/full/config.json")
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
        "user", "args", "env", "cwd", "capabilities", "rlimits", "noNewPrivileges", "oomScoreAdj",
    ]  # fmt: skip
    assert list(spec["process"]["user"]) == ["uid", "gid", "additionalGids"]
    assert list(spec["process"]["capabilities"]) == [
        "bounding",
        "effective",
        "inheritable",
        "permitted",
        "ambient",
    ]
    assert list(spec["mounts"][0]) == ["destination", "type", "source", "options"]
    assert list(spec["root"]) == ["path", "readonly"]
    assert list(spec["linux"]) == [
        "uidMappings", "gidMappings", "sysctl", "resources", "cgroupsPath", "namespaces", "devices", "rootfsPropagation", "maskedPaths",
        "readonlyPaths",
    ]  # fmt: skip
    assert list(spec["linux"]["sysctl"]) == list(spec["annotations"]) == ["a", "z"]
    assert spec["ociVersion"] == "1.2.1"
    assert spec["root"]["path"] == "rootfs"


def test_what_is_always_there_and_nothing_else(built: Built) -> None:
    spec = built.json("containers/services/plain/config.json")
    assert list(spec) == ["ociVersion", "process", "root", "mounts", "linux"]
    assert spec["process"] == {
        "user": {"uid": 0, "gid": 0},
        "args": ["/bin/app"],
        "cwd": "/",
        "capabilities": {},
    }
    assert spec["root"] == {"path": "rootfs"}
    assert spec["linux"] == {"resources": {}, "namespaces": [{"type": "pid"}, {"type": "mount"}]}


def test_indentation_and_escapes(built: Built) -> None:
    text = built.tree["containers/services/full/config.json"].text
    assert text.startswith(
        '{\n    "ociVersion": "1.2.1",\n    "process": {\n        "user": {\n            "uid": 0,\n'
    )
    assert not text.endswith("\n")
    assert '"a\\u003cb\\u003e\\u0026c"' in text
    assert '"\\u2028\\u2029"' in text
    assert "ü" in text
    assert json.loads(text)["process"]["args"] == ["a<b>&c", "\u2028\u2029", 'ü\t"\\\x7f']


def test_runtime_keys_in_order(built: Built) -> None:
    for name in ("full", "plain"):
        runtime = built.json(f"containers/services/{name}/runtime.json")
        assert list(runtime) == ["cgroups", "mounts", "mkdir", "interfaces", "bindNS", "namespace"]
        assert list(runtime["bindNS"]) == ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
    plain = built.json("containers/services/plain/runtime.json")
    assert (plain["cgroups"], plain["mkdir"], plain["interfaces"], plain["namespace"]) == (
        [],
        [],
        [],
        "",
    )
    assert set(plain["bindNS"].values()) == {""}


def test_runtime_mounts_follow_the_root_s_and_are_not_completed(lab: Lab) -> None:
    """1.14: no type, source, destination or order of ours; no volume names."""
    built = lab.build(
        "volumes: [{name: v}]\nservices: [{name: a, image: @app, runtime: {mounts: [{destination: /z, source: v, type: bind}, {destination: /a}, {source: proc}]}}]"
    )
    mounts = built.json("containers/services/a/runtime.json")["mounts"]
    assert mounts[3:] == [
        {"destination": "/z", "type": "bind", "source": "v"},
        {"destination": "/a"},
        {"destination": "", "source": "proc"},
    ]
