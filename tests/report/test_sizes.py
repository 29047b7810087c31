"""Sizes of parts: together they are what a tar of the system holds, each is what its section
brings."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from compos.cli.main import main
from compos.image.store import Store
from tests.images import Member, layer_tar, make_image

YAML = """
kernel: {image: "example.org/kernel:1", cmdline: console=ttyS0}
init: ["example.org/init:1"]
volumes: [{name: v, image: "example.org/app:1"}]
onboot: [{name: one, image: "example.org/app:1"}]
services: [{name: web, image: "example.org/app:1"}, {name: other, image: "example.org/big:1"}]
files: [{path: etc/motd, contents: hello}]
"""
IMAGES = {
    "kernel": [
        Member("kernel", content="K" * 5000),
        Member("kernel.tar", content=layer_tar([Member("m", content="m")])),
    ],
    "init": [
        Member("init", mode=0o755, content="i" * 300),
        Member("again", "hardlink", content="init"),
        Member("etc/motd", content="covered"),
    ],
    "app": [Member("app", content="a" * 200_000), Member("link", "symlink", content="app")],
    "big": [Member("zeros", content=bytes(1_000_000))],
}


@pytest.fixture
def system(tmp_path: Path) -> list[str]:
    """The arguments that name a system and the store with its images."""
    store = Store(tmp_path / "store")
    for name, members in IMAGES.items():
        make_image(store, f"example.org/{name}:1", [members])
    (tmp_path / "os.yml").write_text(YAML)
    return ["--cache", str(tmp_path / "store"), str(tmp_path / "os.yml")]


def inspected(system: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    assert main(["inspect", "--json", *system]) == 0
    return {part["location"]: part for part in json.loads(capsys.readouterr().out)["parts"]}


def test_together_they_are_the_system(
    system: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "-f", "tar", "--no-sbom", "--dir", str(tmp_path), *system]) == 0
    with tarfile.open(tmp_path / "os.tar") as archive:
        members = [member for member in archive if not member.isdir()]
    parts = inspected(system, capsys).values()
    assert sum(part["size"] for part in parts) == sum(
        member.size for member in members if member.isreg()
    )
    assert sum(part["files"] for part in parts) == len(members)


def test_each_has_what_its_entry_brings(
    system: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    parts = inspected(system, capsys)
    assert [*parts] == [
        *("kernel", "init[0]", "volumes[v]", "onboot[one]", "services[web]", "services[other]"),
        *(place for place in parts if place in ("init", "files")),
    ]
    assert parts["kernel"]["source"] == "example.org/kernel:1"
    assert parts["kernel"]["size"] == 5000 + len("console=ttyS0") + 1
    assert parts["kernel"]["packed"] > 5000, "the kernel's file is not compressed again"
    assert (
        parts["services[other]"]["size"] > 1_000_000 > 10_000 > parts["services[other]"]["packed"]
    )
    assert parts["services[web]"]["size"] < 200_000, "its files are those of onboot[one]"
    assert parts["files"]["size"] == 5


def test_the_table(system: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", *system]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["part", "from", "files", "size", "compressed", "share"]
    assert any(line.startswith("services[other]  example.org/big:1 ") for line in lines)
    assert lines[-1].startswith("All kernel modules and firmware files are included")


def test_images_powers_and_duplicates(
    system: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["inspect", "--json", *system]) == 0
    found = json.loads(capsys.readouterr().out)
    uses = {one["name"]: one for one in found["images"]}
    app = uses["example.org/app:1"]
    assert app["parts"] == ["volumes[v]", "onboot[one]", "services[web]"]
    assert [layer["size"] > 0 for layer in app["layers"]] == [True]
    (same,) = (one for one in found["duplicates"] if one["size"] == 200_000)
    assert len(same["paths"]) * 200_000 == same["wasted"] + 200_000
    assert not any("again" in path for one in found["duplicates"] for path in one["paths"])
    assert [one["location"] for one in found["powers"]] == [
        "onboot[one]", "services[other]", "services[web]",
    ]  # fmt: skip
    assert found["updates"] is None
    assert main(["inspect", *system]) == 0
    printed = capsys.readouterr().out
    assert "files that are there more than once" in printed
    assert any(line.split()[:3] == ["services[web]", "0:0", "filtered"]
               for line in printed.splitlines())  # fmt: skip


def test_no_bricks_no_updates(system: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--updates", *system]) == 0
    assert "No security updates are outstanding." in capsys.readouterr().out
