"""Readers of ext4 and ISO 9660: what e2fsprogs, xorriso and our writers have made is read as it
was, and damage is an error."""

from __future__ import annotations

import os
import random
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compos.filesystem.ext4_reader import read_ext4
from compos.filesystem.initramfs import Member
from compos.filesystem.iso9660_reader import IsoImage
from compos.filesystem.walk import FilesystemError

Read = Callable[[int, int], bytes]
FOUND = tuple[int, int, int, tuple[int, int], bytes]


def fill(root: Path) -> None:
    """Files of every kind that anybody can make."""
    root.mkdir()
    (root / "empty").touch()
    (root / "small").write_bytes(b"contents\n")
    (root / "large").write_bytes(random.Random(1).randbytes(3_000_001))
    with (root / "sparse").open("wb") as file:
        file.write(b"start")
        file.seek(5_000_000)
        file.write(b"end")
    (root / "folder" / "deeper" / "still" / "a" / "b" / "c" / "d" / "e" / "f").mkdir(parents=True)
    (root / "folder/deeper/still/a/b/c/d/e/f/leaf").write_text("leaf")
    many = root / "many"
    many.mkdir()
    for number in range(700):
        (many / f"a name that is long enough to fill blocks {number:04}").write_text(str(number))
    (root / "link").symlink_to("folder/../small")
    (root / "long").symlink_to("/".join(["part" * 20] * 12))
    (root / "name with ümlaut and {}; $x").write_text("x")
    (root / ("n" * 200)).write_text("long name")
    (root / "locked").write_text("s")
    (root / "locked").chmod(0o4710)
    (root / "folder").chmod(0o1777)
    os.mkfifo(root / "pipe")


def of_folder(root: Path) -> dict[str, FOUND]:
    """What is to be read."""
    found = {}
    for folder, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(folder, name)
            status = path.lstat()
            data = b""
            if path.is_symlink():
                data = os.fsencode(path.readlink())
            elif path.is_file():
                data = path.read_bytes()
            owner = (status.st_uid, status.st_gid)
            found[str(path.relative_to(root))] = (status.st_mode, *owner, (0, 0), data)
    return found


def of_members(members: Iterator[Member]) -> dict[str, FOUND]:
    found = {}
    for member in members:
        data = b"".join(member.body)
        assert len(data) == member.size
        path = member.name.lstrip("/")
        if path != ".":
            found[path] = (member.mode, member.uid, member.gid, member.device, data)
    return found


def reader(path: Path) -> Read:
    data = path.read_bytes()
    return lambda at, size: data[at : at + size]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tree") / "root"
    fill(path)
    return path


def make_ext4(root: Path, out: Path, *options: str) -> Path:
    line = ["/sbin/mkfs.ext4", "-q", "-F", *options, "-d", root, out, "40M"]
    subprocess.run([str(one) for one in line], check=True, capture_output=True)
    return out


@pytest.mark.parametrize(
    "options", [(), ("-b", "1024"), ("-O", "^64bit,^metadata_csum"), ("-I", "128"), ("-b", "2048")]
)
def test_ext4_of_e2fsprogs(root: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    found = of_members(read_ext4(reader(make_ext4(root, tmp_path / "image", *options))))
    assert found.pop("lost+found")[0] == stat.S_IFDIR | 0o700
    assert found == of_folder(root)


@pytest.mark.parametrize("options", [(), ("-D",)])
def test_iso_of_xorriso(root: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    """-D leaves deep folders where they are; without it they are moved."""
    out = tmp_path / "image"
    line = ["xorriso", "-as", "mkisofs", "-R", *options, "-quiet", "-o", str(out), str(root)]
    subprocess.run(line, check=True, capture_output=True)
    found = of_members(IsoImage(reader(out)).members())
    found.pop("rr_moved", None)
    assert found == of_folder(root)
    assert not IsoImage(reader(out)).bootable


@pytest.mark.parametrize("feature", ["inline_data", "encrypt", "^extents"])
def test_ext4_that_is_not_read(root: Path, tmp_path: Path, feature: str) -> None:
    image = make_ext4(root, tmp_path / "image", "-O", f"{feature},^64bit")
    with pytest.raises(FilesystemError, match=r"not read|no extents"):
        of_members(read_ext4(reader(image)))


def test_an_iso_without_rock_ridge(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "image"
    line = ["xorriso", "-as", "mkisofs", "--norock", "-quiet", "-o", str(out), str(root / "folder")]
    subprocess.run(line, check=True, capture_output=True)
    with pytest.raises(FilesystemError, match="no Rock Ridge"):
        IsoImage(reader(out))


def _ext4(read: Read) -> None:
    of_members(read_ext4(read))


def _iso(read: Read) -> None:
    of_members(IsoImage(read).members())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ext4", "iso"])
def test_damage_ends(root: Path, tmp_path: Path, kind: str) -> None:
    """Whatever is changed in the tables, and wherever the image is cut, the walk comes to an
    end."""
    image = tmp_path / "image"
    if kind == "ext4":
        make_ext4(root / "many", image, "-b", "1024")
    else:
        line = ["xorriso", "-as", "mkisofs", "-R", "-quiet", "-o", str(image), str(root / "many")]
        subprocess.run(line, check=True, capture_output=True)
    good = image.read_bytes()
    chance = random.Random(3)
    used = [at for at in range(1024, len(good) - 512, 512) if any(good[at : at + 512])]
    ended = 0
    for number in range(20):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 30)):
            data[chance.choice(used[:400]) + chance.randrange(512)] = chance.randrange(256)
        image.write_bytes(data if number % 3 else data[: chance.randrange(1 << 20)])
        try:
            (_ext4 if kind == "ext4" else _iso)(reader(image))
        except FilesystemError:
            ended += 1
    assert ended
