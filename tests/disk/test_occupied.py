"""What a disk holds, of disks that other people's tools have made; and the mark of what is not
complete, which the bricks know as theirs."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest

from compos.disk.occupied import Occupancy, occupancy, unfinished_mark
from tests.output.test_installer import occupied

MIB = 1 << 20


def look(path: Path) -> Occupancy:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return occupancy(descriptor, os.lseek(descriptor, 0, os.SEEK_END))
    finally:
        os.close(descriptor)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(b"")
    os.truncate(path, 400 * MIB)
    return path


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("MBR", "an MBR partition table"),
        ("GPT", "a GPT partition table"),
        ("ext4", "an ext file system"),
        ("LUKS2", "a LUKS volume"),
        ("data of an unknown kind", "data of an unknown kind"),
    ],
)
def test_what_holds_data(kind: str, text: str, disk: Path) -> None:
    occupied(kind, disk)
    assert look(disk) == (text, False)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("mkfs.xfs -q", "an xfs file system"),
        ("mkfs.btrfs -q", "a btrfs file system"),
        ("mkfs.vfat -F 32", "a vfat file system"),
        ("mkfs.vfat -F 16", "a vfat file system"),
        ("mkswap -q", "a swap area"),
    ],
)
def test_file_systems(command: str, text: str, disk: Path) -> None:
    subprocess.run([*command.split(), str(disk)], check=True, capture_output=True)
    assert look(disk).text == text


@pytest.mark.parametrize("byte", [0, 0xFF])
def test_blank(byte: int, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes((byte,)) * 3 * MIB)
    assert look(path) == ("", False)
    path.write_bytes(b"")
    assert look(path) == ("", False)


@pytest.mark.parametrize("offset", [0, MIB - 1, -1])
def test_one_byte_is_data(offset: int, disk: Path) -> None:
    with disk.open("r+b") as stream:
        stream.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        stream.write(b"\x01")
    assert look(disk).text == "data of an unknown kind"


def test_the_mark(disk: Path) -> None:
    """bricks/disk/src/disk/table.c: signature 546d7046, one partition of type da."""
    mark = unfinished_mark(400 * MIB)
    assert struct.unpack_from("<I", mark, 440) == (0x546D7046,)
    assert struct.unpack_from("<B3xB3xII", mark, 446) == (0, 0xDA, 2048, 400 * 2048 - 2048)
    assert mark[510:] == b"\x55\xaa"
    with disk.open("r+b") as stream:
        stream.write(mark)
    assert look(disk) == ("an unfinished installation", True)
