"""The tar reader against archives that GNU tar and Python's tarfile write, and against damage."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.tree.contents import Contents
from compos.tree.tar import Member, TarError, read_members


def members_of(path: Path) -> list[Member]:
    with path.open("rb") as stream:
        return list(read_members(stream, path.name))


def bytes_of(path: Path, member: Member) -> bytes:
    with Contents(path.parent) as contents:
        return b"".join(contents.chunks(member.node.content))


@pytest.mark.parametrize("form", ["v7", "ustar", "oldgnu", "gnu", "posix"])
def test_reads_what_gnu_tar_writes(tmp_path: Path, form: str) -> None:
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (root / "dir/file").write_bytes(b"contents\n" * 100)
    (root / "empty").touch()
    (root / "link").symlink_to("dir/file")
    os.link(root / "dir/file", root / "hard")
    if form not in ("v7", "ustar"):
        (root / ("n" * 120)).write_bytes(b"long")
    archive = tmp_path / "a.tar"
    subprocess.run(
        ["tar", f"--format={form}", "--sort=name", "-C", root, "-cf", archive, "."], check=True
    )
    found = {member.name.strip("./"): member for member in members_of(archive)}
    assert bytes_of(archive, found["dir/file"]) == b"contents\n" * 100
    assert (found["dir"].node.kind, found["link"].node.kind, found["link"].node.link) == (
        "d",
        "l",
        "dir/file",
    )
    assert (found["hard"].node.kind, found["hard"].node.link) == ("h", "./dir/file")
    assert (found["empty"].node.kind, found["empty"].node.size) == ("f", 0)
    assert found["dir/file"].node.mtime // 10**9 == int((root / "dir/file").stat().st_mtime)
    if form not in ("v7", "ustar"):
        assert bytes_of(archive, found["n" * 120]) == b"long"
    if form == "posix":
        assert found["dir/file"].node.mtime == (root / "dir/file").stat().st_mtime_ns


@pytest.mark.parametrize(
    "form",
    [
        ["--format=oldgnu"],
        ["--sparse-version=0.0"],
        ["--sparse-version=0.1"],
        ["--sparse-version=1.0"],
    ],
)
def test_reads_sparse_files_of_gnu_tar(tmp_path: Path, form: list[str]) -> None:
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as out:
        for index in range(40):
            out.seek(index * (1 << 20) + 4096)
            out.write(b"data%02d" % index)
        out.truncate(64 << 20)
    archive = tmp_path / "a.tar"
    options = form if form[0].startswith("--format") else ["--format=posix", *form]
    subprocess.run(["tar", "-S", *options, "-C", tmp_path, "-cf", archive, "sparse"], check=True)
    assert archive.stat().st_size < 2 << 20, (
        "GNU tar did not store it sparse: the test would prove nothing"
    )
    (member,) = members_of(archive)
    assert member.name == "sparse"
    assert member.node.size == 64 << 20
    assert bytes_of(archive, member) == sparse.read_bytes()


def test_reads_xattrs_devices_and_large_numbers(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as out:
        info = tarfile.TarInfo("caps")
        info.pax_headers = {"SCHILY.xattr.user.note": "déjà"}
        info.uid = 3_000_000
        info.mtime = 1.25
        out.addfile(info)
        info = tarfile.TarInfo("null")
        info.type, info.devmajor, info.devminor = tarfile.CHRTYPE, 1, 3
        out.addfile(info)
        info = tarfile.TarInfo("caf\udce9")
        out.addfile(info)
    caps, null, odd = members_of(archive)
    assert caps.node.xattrs == (("user.note", "déjà".encode()),)
    assert caps.node.uid == 3_000_000
    assert caps.node.mtime == 1_250_000_000
    assert (null.node.kind, null.node.device) == ("c", (1, 3))
    assert odd.name.encode("utf-8", "surrogateescape") == b"caf\xe9"


def one_file() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as out:
        info = tarfile.TarInfo("name" * 40)
        info.size = 1000
        out.addfile(info, io.BytesIO(b"x" * 1000))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:700],
        lambda data: data[:1600],
        lambda data: b"\xff" + data[1:],
        lambda data: re.sub(rb"\d\d\d path=", b"999 path=", data),
        lambda data: data[:100],
        lambda data: b"not a tar archive" * 60,
    ],
)
def test_damage_is_an_error(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    data = one_file()
    assert damage(data) != data
    path = tmp_path / "a.tar"
    path.write_bytes(damage(data))
    with pytest.raises(TarError):
        members_of(path)


def test_an_empty_file_is_an_empty_archive(tmp_path: Path) -> None:
    (tmp_path / "a.tar").touch()
    assert members_of(tmp_path / "a.tar") == []
