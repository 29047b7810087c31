"""The default beside LinuxKit's: the same container, once under each (docs/confinement.md)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.lab import Lab

PLAIN = "services: [{name: a, image: @app}]"
SPEC = "containers/services/a/config.json"


def spec_of(lab: Lab, yaml: str, confinement: str = "") -> dict[str, Any]:
    document: dict[str, Any] = lab.build(yaml, confinement=confinement).json(SPEC)
    return document


def test_by_default_a_container_is_confined(lab: Lab) -> None:
    spec = spec_of(lab, PLAIN)
    assert spec["process"]["noNewPrivileges"] is True
    assert "/proc/kcore" in spec["linux"]["maskedPaths"]
    assert "/proc/sys" in spec["linux"]["readonlyPaths"]
    assert spec["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]
    assert (
        "ro" in next(mount for mount in spec["mounts"] if mount["destination"] == "/sys")["options"]
    )
    # An init that knows no plan, such as LinuxKit's, reads config.json as it is: the profile stands
    # there.
    assert spec["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"


@pytest.mark.parametrize(
    ("yaml", "confinement"),
    [
        (PLAIN, "linuxkit"),
        (PLAIN.replace("@app", "@app, capabilities: [all]"), ""),
        (PLAIN, "default"),
    ],
    ids=["the whole system", "all capabilities", "default"],
)
def test_who_is_not(yaml: str, confinement: str, lab: Lab) -> None:
    spec = spec_of(lab, yaml, confinement)
    free = spec["linux"] == {"resources": {}, "namespaces": [{"type": "pid"}, {"type": "mount"}]}
    assert free == (confinement != "default")
    assert ("noNewPrivileges" in spec["process"]) != free


@pytest.mark.parametrize(
    ("files", "confined"),
    [
        ({"b.yml": "confinement: linuxkit"}, False),
        ({"b.yml": "confinement: linuxkit", "c.yml": "confinement: default"}, True),
        ({"b.yml": "arch: {amd64: {confinement: linuxkit}}"}, False),
        ({"b.yml": "arch: {arm64: {confinement: linuxkit}}"}, True),
        ({"b.yml": "init: []"}, True),
    ],
)
def test_the_last_file_that_says_it_counts(files: dict[str, str], confined: bool, lab: Lab) -> None:
    built = lab.build(PLAIN, files)
    assert ("seccomp" in built.json(SPEC)["linux"]) == confined


def test_a_file_may_undo_what_it_includes(lab: Lab) -> None:
    (lab.folder / "base.yml").write_text("confinement: linuxkit")
    assert "seccomp" not in spec_of(lab, "include: [base.yml]\n" + PLAIN)["linux"]
    assert "seccomp" in spec_of(lab, "include: [base.yml]\nconfinement: default\n" + PLAIN)["linux"]


def test_a_foreign_init_finds_a_whole_profile_for_each_container(lab: Lab) -> None:
    built = lab.build(
        "services: [{name: a, image: @app}, {name: b, image: @app, seccomp: unconfined}]"
    )
    assert "seccomp" in built.json(SPEC)["linux"]
    assert "seccomp" not in built.json("containers/services/b/config.json")["linux"]
    assert json.dumps(built.json(SPEC)["linux"]["seccomp"]).count('"execve"') == 1
