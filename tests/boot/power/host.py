"""Disks on this machine: images as loop devices, the static programs of the bricks on them, and
what other people's tools say about the result."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.boot.power.recording import SECTOR
from tests.bricks.compiler import BRICKS

__all__ = [
    "Answer",
    "attached",
    "check_filesystem",
    "check_table",
    "first_partition",
    "hide_links",
    "mounted",
    "run",
    "trees",
]

CHECKS = {
    "ext4": ("e2fsck", "-f", "-n"),
    "xfs": ("xfs_repair", "-n"),
    "btrfs": ("btrfs", "check", "--readonly"),
}


class Answer(NamedTuple):
    """How a program ended, and what it said on both streams."""

    status: int
    text: str


def run(*command: str | Path) -> Answer:
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=60,
    )
    return Answer(done.returncode, done.stdout.strip())


def brick(program: str, *arguments: str) -> Answer:
    """The program that the brick contains, on this machine."""
    names = {"format": "format", "extend": "extend", "mountie": "mount"}
    return run(BRICKS / names[program] / "bin/amd64" / names[program], *arguments)


@contextmanager
def attached(image: Path) -> Iterator[str]:
    """A loop device; its first partition is there if Linux sees it when it meets the disk."""
    answer = run("losetup", "--find", "--show", "--partscan", image)
    assert answer.status == 0, answer.text
    place = first_partition(image)
    # A kernel may be built without any kind of table.
    if place and not Path(f"{answer.text}p1").exists():
        added = run("addpart", answer.text, "1", *map(str, place))
        assert added.status == 0, added.text
    try:
        yield answer.text
    finally:
        detached = run("losetup", "--detach", answer.text)
        assert detached.status == 0, detached.text
        # Somebody may hold it open for a moment.
        deadline = time.monotonic() + 20
        while run("losetup", answer.text).text.endswith(f"({image})"):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def first_partition(image: Path) -> tuple[int, int] | None:
    """Start and length, in sectors, of what Linux takes for partition 1 (block/partitions/efi.c and
    msdos.c): of a GPT only the first copy counts, unless `gpt` is on the command line."""
    with image.open("rb") as stream:
        sectors = stream.read(34 * SECTOR)
        kind, first, length = struct.unpack_from("<4xB3xII", sectors, 446)
        if sectors[510:512] != b"\x55\xaa" or kind == 0 or length == 0:
            return None
        if kind != 0xEE:
            return first, length
        header = bytearray(sectors[SECTOR : SECTOR + 92])
        (crc,) = struct.unpack_from("<I", header, 16)
        header[16:20] = bytes(4)
        place, count, size, sum_of_entries = struct.unpack_from("<QIII", header, 72)
        if zlib.crc32(header) != crc:
            return None
        stream.seek(place * SECTOR)
        entries = stream.read(count * size)
    if zlib.crc32(entries) != sum_of_entries:
        return None
    first, last = struct.unpack_from("<QQ", entries, 32)
    return first, last - first + 1


def hide_links() -> None:
    """The mount namespace is the tests' own: links to devices, which `mountie` makes, are not those
    of the machine."""
    Path("/dev/disk").mkdir(exist_ok=True)
    answer = run("mount", "-t", "tmpfs", "links", "/dev/disk")
    assert answer.status == 0, answer.text


@contextmanager
def mounted(device: str, point: Path) -> Iterator[Answer]:
    """Mounted by the brick; gives what it said."""
    answer = brick("mountie", "-device", device, str(point))
    assert answer.status == 0, answer.text
    try:
        yield answer
    finally:
        ended = run("umount", point)
        assert ended.status == 0, ended.text


def check_table(device: str, label: str) -> None:
    """sfdisk and, of a GPT, sgdisk find nothing wrong."""
    answer = run("sfdisk", "--verify", device)
    assert "No errors detected" in answer.text, answer.text
    if label == "gpt":
        answer = run("sgdisk", "--verify", device)
        assert "No problems found" in answer.text, answer.text


def check_filesystem(device: str, kind: str) -> None:
    """The tool of its authors finds nothing wrong, and nothing to do."""
    answer = run(*CHECKS[kind], device)
    assert answer.status == 0, answer.text


def trees(folder: Path) -> dict[str, str]:
    """The digest of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def digest(image: Path) -> str:
    """Of what a disk holds; holes are passed over."""
    total = hashlib.sha256()
    with image.open("rb") as stream:
        size, place = os.fstat(stream.fileno()).st_size, 0
        while place < size:
            try:
                start = os.lseek(stream.fileno(), place, os.SEEK_DATA)
            except OSError:
                break
            place = os.lseek(stream.fileno(), start, os.SEEK_HOLE)
            for offset in range(start, place, 4096):
                block = os.pread(stream.fileno(), min(4096, place - offset), offset)
                if block.strip(b"\0"):
                    total.update(offset.to_bytes(8, "little") + block)
    return total.hexdigest()
