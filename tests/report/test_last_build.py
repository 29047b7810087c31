"""What has changed since the last build, without anybody who names it: the newest outputs, of one
build; nothing that is wrong with them ends the report."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from compos.api import report as reports
from compos.api.last_build import last_build
from compos.cli.main import cli, main
from compos.output.formats import FORMATS
from tests.compose.systems import World

YAML = """
kernel: {image: 'acme/kernel:1', cmdline: console=ttyS0}
init: ['acme/init:1']
services:
  - {name: one, image: 'acme/app:1'}
files:
  - {path: etc/motd, contents: first}
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    (tmp_path / "os.yml").write_text(YAML)
    build(made, "kernel+initrd")
    return made


def build(world: World, formats: str, *options: str) -> None:
    line = ["build", *world.flags, "--dir", str(world.folder), "-f", formats, *options]
    assert main([*line, str(world.folder / "os.yml")]) == 0


def edit(world: World, before: str, after: str) -> None:
    path = world.folder / "os.yml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def report(world: World, *options: str) -> tuple[dict[str, Any], str]:
    """The report, and what is said beside it."""
    line = ["report", "--json", *world.flags, "--dir", str(world.folder), *options]
    done = CliRunner().invoke(
        cli, [*line, str(world.folder / "os.yml")], standalone_mode=False, catch_exceptions=False
    )
    return json.loads(done.stdout), done.stderr


def changed(found: dict[str, Any]) -> list[str]:
    return [one["path"] for one in found["since"]["files"]]


def test_what_has_changed_since_the_last_build(world: World) -> None:
    found, said = report(world)
    assert (found["compared"], changed(found), said) == ("os-initrd.img", [], "")
    edit(world, "first", "second")
    found, _ = report(world)
    assert changed(found) == ["etc/motd"]
    assert found["since"]["packages"] == []
    assert found["since"]["settings"] == []
    build(world, "kernel+initrd")
    assert changed(report(world)[0]) == []


def test_the_page_says_it(world: World, tmp_path: Path) -> None:
    edit(world, "first", "second")
    page = tmp_path / "page.html"
    line = ["report", *world.flags, "--dir", str(world.folder), "--o", str(page)]
    assert main([*line, str(world.folder / "os.yml")]) == 0
    assert b'"compared":"os-initrd.img"' in page.read_bytes()
    assert b'"etc/motd"' in page.read_bytes()


def test_another_one_is_named_or_none(world: World) -> None:
    (world.folder / "old.yml").write_text(YAML.replace("first", "oldest"))
    found, _ = report(world, "--since", str(world.folder / "old.yml"))
    assert (found["compared"], changed(found)) == ("old.yml", ["etc/motd"])
    for options in (["--no-since"], ["--name", "other"], ["-f", "tar"]):
        found, said = report(world, *options)
        assert (found["since"], found["not_compared"], said) == (None, "", "")
    assert main(["report", "--since", "x", "--no-since", str(world.folder / "os.yml")]) == 1


def test_the_newest_build_counts(world: World) -> None:
    """A tar is always a build of its own; of an earlier one nothing is believed."""
    os.utime(world.folder / "os-initrd.img", (1, 1))
    edit(world, "first", "second")
    build(world, "tar")
    found, _ = report(world)
    assert (found["compared"], changed(found)) == ("os.tar", [])
    found, _ = report(world, "-f", "kernel+initrd")
    assert (found["compared"], changed(found)) == ("os-initrd.img", ["etc/motd"])


def test_outputs_of_one_build_are_read_as_it_was_made(tmp_path: Path) -> None:
    for name, seconds in (("-initrd.img", 99), (".qcow2", 100), (".vmdk", 50), (".tar", 98)):
        path = tmp_path / f"os{name}"
        path.write_bytes(b"x" * 5000)
        os.utime(path, (seconds, seconds))
    found = last_build(tmp_path / "os", ())
    assert found
    assert (found.output.name, found.formats) == ("os-initrd.img", ("kernel+initrd", "qcow2"))
    os.utime(tmp_path / "os.tar", (101, 101))
    found = last_build(tmp_path / "os", ())
    assert found
    assert (found.output.name, found.formats) == ("os.tar", ("tar",))
    (tmp_path / "os.raw").mkdir()
    assert last_build(tmp_path / "os", ("aws",)) is None
    assert set(found.formats) <= set(FORMATS)


def test_what_cannot_be_read_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    initrd = world.folder / "os-initrd.img"
    whole = initrd.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"garbage", b""):
        initrd.write_bytes(damaged)
        found, said = report(world)
        assert found["since"] is None
        assert found["not_compared"].startswith("not compared with os-initrd.img: ")
        assert said == f"{found['not_compared']}\n"
    initrd.write_bytes(whole)
    monkeypatch.setattr(reports, "MAX_OUTPUT", 1)
    found, said = report(world)
    assert "--since" in found["not_compared"]


def test_a_folder_of_the_name_is_in_nobodys_way(world: World) -> None:
    (world.folder / "os").mkdir()
    edit(world, "first", "second")
    found, _ = report(world)
    assert (found["compared"], changed(found)) == ("os-initrd.img", ["etc/motd"])


def test_a_build_without_an_sbom(world: World) -> None:
    """Packages are not new because they are listed."""
    build(world, "kernel+initrd", "--no-sbom", "--force")
    found, _ = report(world)
    assert (changed(found), found["since"]["packages"]) == ([], [])
    assert "sbom" in " ".join(found["since"]["notes"])
