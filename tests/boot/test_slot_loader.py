"""Which slot the BIOS loader starts, whatever the block on the disk says. The kernel is a few
instructions that print the command line and end the machine, so that a boot takes a second."""

from __future__ import annotations

import re
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from compos.boot.bios import SLOT_LOADER_SIZE, Place, mbr_code, slot_loader
from compos.boot.slot_block import first_block, with_boot_header

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

IDS = {"A": UUID(int=0xA), "B": UUID(int=0xB)}
START = {"A": 2048, "B": 3072}
COPIES = (1024, 1152)
CHECKSUM = 4092
SEQUENCE, FIRST, NEXT, TRIES, STARTED = 12, 16, 17, 18, 19

# Prints the text at ds:e000 to the first serial port, then writes to the port that ends QEMU.
PROGRAM = bytes.fromhex("be00e0 ac 84c0 7406 baf803 ee ebf5 b00a ee e6f4 f4 ebfd")


def kernel(program: bytes = PROGRAM) -> bytes:
    data = bytearray(2048)
    data[0x1F1] = 1
    struct.pack_into("<H", data, 0x1FE, 0xAA55)
    struct.pack_into("<2s4sH", data, 0x200, b"\xeb\x7e", b"HdrS", 0x20F)
    data[0x211] = 1
    struct.pack_into("<I", data, 0x22C, 0x7FFFFFFF)
    struct.pack_into("<QI", data, 0x258, 0x1000000, 0x100000)
    data[0x280 : 0x280 + len(program)] = program
    return bytes(data)


def boot_partition(letter: str) -> bytes:
    files = (kernel(), f"this is {letter}".encode(), b"initrd")
    data, places = b"", []
    for content in files:
        places.append(Place(512 + len(data), len(content)))
        data += content.ljust(-len(content) % 512 + len(content), b"\0")
    return with_boot_header(bytes(510) + b"\x55\xaa", places) + data


def changed(block: bytes, **fields: int) -> bytes:
    """The block with other values, and the right checksum."""
    made = bytearray(block)
    for name, value in fields.items():
        if name in ("sequence", "version"):
            struct.pack_into("<I", made, SEQUENCE if name == "sequence" else 8, value)
        else:
            made[{"first": FIRST, "next": NEXT, "tries": TRIES, "started": STARTED}[name]] = value
    made[CHECKSUM:] = struct.pack("<I", zlib.crc32(made[:CHECKSUM]))
    return bytes(made)


NEW = first_block(list(IDS.values()))
TRIAL_OF_B = changed(NEW, sequence=7, next=1, tries=1)


class Disk:
    """A disk with systems in both slots."""

    def __init__(self, path: Path, first: bytes, second: bytes) -> None:
        self.path = path
        data = bytearray(4 << 20)

        def put(sector: int, content: bytes) -> None:
            data[sector * 512 : sector * 512 + len(content)] = content

        put(0, mbr_code(64, size=SLOT_LOADER_SIZE).ljust(510, b"\0") + b"\x55\xaa")
        slots = [(START[letter], IDS[letter]) for letter in "AB"]
        put(64, slot_loader(COPIES, slots))
        for sector, block in zip(COPIES, (first, second), strict=True):
            put(sector, block)
        for letter in "AB":
            put(START[letter], boot_partition(letter))
        path.write_bytes(data)

    def damage(self, sector: int, content: bytes) -> None:
        with self.path.open("r+b") as stream:
            stream.seek(sector * 512)
            stream.write(content)

    def copy(self, number: int) -> bytes:
        return self.path.read_bytes()[COPIES[number] * 512 :][:4096]

    def boot(self, *, read_only: bool = False) -> str:
        """What the machine has printed when it has ended, or has to wait for somebody."""
        log = self.path.with_suffix(".log")
        drive = f"file={self.path},format=raw,if=virtio,readonly={'on' if read_only else 'off'}"
        command = ["qemu-system-x86_64", "-accel", "tcg", "-m", "64", "-nographic", "-no-reboot"]
        command += ["-net", "none", "-drive", drive]
        command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        with log.open("wb") as out:
            machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out)
        try:
            for _ in range(600):
                ended = machine.poll() is not None
                said = re.sub(r"\x1b\[[0-9;?=]*[A-Za-z]", "", log.read_text(errors="replace"))
                if ended or "Press a key" in said:
                    return said
                try:
                    machine.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            machine.kill()
            machine.wait()
        raise AssertionError(said)


def started(said: str) -> str:
    """The command line that the kernel got."""
    found = re.search(r"this is [AB] compos\.slot=\S+", said)
    assert found, said
    return found[0].replace(str(IDS["A"]), "A").replace(str(IDS["B"]), "B")


A, B, TRIED_B = (
    f"this is {one}" for one in ("A compos.slot=A", "B compos.slot=B", "B compos.slot=B,trial")
)

CASES = {
    "new": (NEW, NEW, A, ""),
    "B is first": (changed(NEW, first=1), changed(NEW, first=1), B, ""),
    "the second copy is newer": (NEW, changed(NEW, sequence=2, first=1), B, ""),
    "the first copy is newer": (changed(NEW, sequence=9), changed(NEW, sequence=8, first=1), A, ""),
    "no try is left": (changed(NEW, next=1), NEW, A, ""),
    "a try of nothing": (changed(NEW, sequence=2, next=7, tries=1), NEW, A, ""),
    "the first copy is damaged": (
        NEW[:3000] + b"x" + NEW[3001:],
        changed(NEW, first=1),
        B,
        "copy 1 of the order is damaged",
    ),
    "the second copy is damaged": (
        changed(NEW, first=1),
        bytes(4096),
        B,
        "copy 2 of the order is damaged",
    ),
    "the newer copy is torn": (
        NEW,
        TRIAL_OF_B[:512] + NEW[512:],
        A,
        "copy 2 of the order is damaged",
    ),
    "both are zeros": (bytes(4096), bytes(4096), A, "the order is lost"),
    "both are noise": (b"\xff" * 4096, b"\xa5" * 4096, A, "the order is lost"),
    "both are of the future": (
        changed(NEW, version=2, first=1),
        changed(NEW, version=3, first=1),
        A,
        "copy 2 of the order is of a newer version",
    ),
    "a slot that nobody has": (changed(NEW, sequence=9, first=2), NEW, A, "copy 1 of the order is"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_slot_that_starts(name: str, tmp_path: Path) -> None:
    first, second, expected, message = CASES[name]
    disk = Disk(tmp_path / "disk", first, second)
    said = disk.boot()
    assert started(said) == expected
    assert message in said
    # Nothing was tried, and nothing is written.
    assert (disk.copy(0), disk.copy(1)) == (first, second)


def test_a_try_is_used_up_before_it_begins(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk", TRIAL_OF_B, NEW)
    said = disk.boot()
    assert "compos: slot B, on trial" in said
    assert started(said) == TRIED_B
    # Over the older copy; the checksum is right.
    assert disk.copy(0) == TRIAL_OF_B
    assert disk.copy(1) == changed(TRIAL_OF_B, sequence=8, tries=0, started=1)
    assert started(disk.boot()) == A


def test_a_try_that_cannot_be_noted_is_none(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk", NEW, TRIAL_OF_B)
    said = disk.boot(read_only=True)
    assert "the try cannot be noted on the disk" in said
    assert started(said) == A


def no_mark(_: bytes) -> tuple[int, bytes]:
    return 0, bytes(512)


def wrong_checksum(sector: bytes) -> tuple[int, bytes]:
    return 0, sector[:150] + bytes((sector[150] ^ 1,)) + sector[151:]


def no_kernel(_: bytes) -> tuple[int, bytes]:
    return 1, bytes(1024)


def beyond_the_disk(sector: bytes) -> tuple[int, bytes]:
    places = (Place(512 << 30, 4096), Place(512, 3), Place(512, 3))
    return 0, with_boot_header(sector, places)


DAMAGES = {
    "no mark": (no_mark, "it has no system that a BIOS can start"),
    "wrong checksum": (wrong_checksum, "it has no system that a BIOS can start"),
    "no kernel": (no_kernel, "there is no Linux kernel where one should be"),
    "beyond the disk": (beyond_the_disk, "cannot read the medium"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_does_not_load_makes_way(name: str, tmp_path: Path) -> None:
    damage: Callable[[bytes], tuple[int, bytes]]
    damage, message = DAMAGES[name]
    disk = Disk(tmp_path / "disk", NEW, NEW)
    at, content = damage(boot_partition("A")[:512])
    disk.damage(START["A"] + at, content)
    said = disk.boot()
    assert message in said
    assert started(said) == B
    at, content = damage(boot_partition("B")[:512])
    disk.damage(START["B"] + at, content)
    assert "no slot starts" in disk.boot()


def test_a_trial_of_nothing_is_no_start(tmp_path: Path) -> None:
    """Slot A is told that B was not started at all."""
    disk = Disk(tmp_path / "disk", NEW, TRIAL_OF_B)
    disk.damage(START["B"], bytes(512))
    assert started(disk.boot()) == A
    assert disk.copy(0) == changed(TRIAL_OF_B, sequence=8, tries=0, started=255)
