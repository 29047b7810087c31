"""Disk syntax and making disks; qemu-img is the oracle."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run.disks import Disk, make_disks, parse_disk


@pytest.mark.parametrize(
    ("text", "disk"),
    [
        ("a.img", Disk(Path("a.img"))),
        ("a.qcow2", Disk(Path("a.qcow2"), format="qcow2")),
        ("a.raw", Disk(Path("a.raw"), format="raw")),
        ("a.raw,format=vmdk", Disk(Path("a.raw"), format="vmdk")),
        ("a.img,size=100M", Disk(Path("a.img"), 100, "qcow2")),
        ("file=b,size=2G,format=raw", Disk(Path("b"), 2048, "raw")),
        ("size=2", Disk(Path(), 2048, "qcow2")),
    ],
)
def test_syntax(text: str, disk: Disk) -> None:
    assert parse_disk(text) == disk


@pytest.mark.parametrize(
    "text",
    [
        "",
        "size=2T",
        "a,colour=red",
        "format=raw",
        "a,format=",
        "a,size=1.5G",
        "a,size=-1",
        "a,size=G",
    ],
)
def test_bad_syntax_is_an_error(text: str) -> None:
    with pytest.raises(RunError) as caught:
        parse_disk(text)
    assert caught.value.id == "disk-syntax"


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_missing_disks_are_made_and_existing_ones_kept(tmp_path: Path, form: str) -> None:
    (first, second) = make_disks((Disk(Path(), 64, form), Disk(Path(), 16, form)), tmp_path)
    assert (first.path.name, second.path.name) == ("disk.img", "disk1.img")
    information = json.loads(
        subprocess.run(
            ["qemu-img", "info", "--output=json", first.path], capture_output=True, check=True
        ).stdout
    )
    assert (information["format"], information["virtual-size"]) == (form, 64 << 20)
    before = first.path.read_bytes()
    make_disks((Disk(Path(), 999, form),), tmp_path)
    assert first.path.read_bytes() == before


def test_a_missing_disk_without_size_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        make_disks((Disk(tmp_path / "none.img"),), tmp_path)
    assert caught.value.id == "disk-missing"


@pytest.mark.parametrize("form", ["raw", "qcow2", "nonsense"])
def test_a_disk_that_cannot_be_made_is_named(tmp_path: Path, form: str) -> None:
    path = tmp_path / ("file" if form == "nonsense" else "no/such/folder")
    with pytest.raises(RunError) as caught:
        make_disks((Disk(path, 1, form),), tmp_path)
    assert caught.value.id == "disk-failed"
    assert caught.value.place == str(path)
    assert not path.exists()


@pytest.mark.parametrize("form", ["raw", "qcow2"])
def test_a_disk_is_the_users_alone_and_made_through_no_link(tmp_path: Path, form: str) -> None:
    make_disks((Disk(tmp_path / "disk", 1, form),), tmp_path)
    assert (tmp_path / "disk").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    with pytest.raises(RunError) as caught:
        make_disks((Disk(tmp_path / "link", 1, form),), tmp_path)
    assert caught.value.id == "disk-failed"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "link"]
