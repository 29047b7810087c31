"""The command `slot` on a machine that a BIOS has started: everything is in the block on the disk,
which our loader reads, too; and the block as a copy of what UEFI firmware knows."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from compos.boot.bios import Place
from compos.boot.slot_block import BLOCK_COPIES, BLOCK_SIZE, first_block, with_boot_header
from tests.bricks.test_slots import ATTRIBUTES, IDS, RECORD, Machine

SYSTEM = with_boot_header(bytes(510) + b"\x55\xaa", [Place(512, 1)] * 3)
NEW = first_block(list(IDS.values()))
CHECKSUM = BLOCK_SIZE - 4


class Bios(Machine):
    """As `Machine`, without UEFI. Each slot's partition has a header for our loader."""

    def boot(self, slot: str, *, trial: bool = False) -> None:
        word = f"compos.slot={IDS[slot]}{',trial' if trial else ''}"
        (self.folder / "cmdline").write_text(f"quiet compos.slots=300 {word}\n")
        if (self.folder / "efivars").exists():
            (self.folder / "efivars").rmdir()
        for number in (1, 2):
            (self.folder / "dev" / f"sda{number}").write_bytes(SYSTEM)
        if not (self.folder / "dev" / "sda3").exists():
            self.write(NEW, NEW)

    def write(self, *copies: bytes) -> None:
        data = bytearray(BLOCK_COPIES[1] + BLOCK_SIZE)
        for at, copy in zip(BLOCK_COPIES, copies, strict=True):
            data[at : at + BLOCK_SIZE] = copy
        (self.folder / "dev" / "sda3").write_bytes(data)

    def copies(self) -> list[bytes]:
        data = (self.folder / "dev" / "sda3").read_bytes()
        return [data[at : at + BLOCK_SIZE] for at in BLOCK_COPIES]

    def newest(self) -> bytes:
        return max((copy for copy in self.copies() if is_whole(copy)), key=sequence)

    def order(self) -> list[int]:
        """First, next, tries and started."""
        return list(self.newest()[16:20])


def is_whole(copy: bytes) -> bool:
    marked = copy[:12] == b"COMPSLOT\1\0\0\0"
    return marked and copy[CHECKSUM:] == struct.pack("<I", zlib.crc32(copy[:CHECKSUM]))


def sequence(copy: bytes) -> int:
    assert is_whole(copy)
    return int.from_bytes(copy[12:16], "little")


@pytest.fixture
def machine(tmp_path: Path) -> Bios:
    return Bios(tmp_path)


def test_a_trial_is_one_start(machine: Bios) -> None:
    machine.slot("set-state", "A", "good")
    machine.slot("set-primary", "B")
    assert machine.order() == [0, 1, 1, 255]
    assert machine.slot("get-primary") == "B\n"
    assert machine.slot("get-current") == "A\n"
    assert [machine.slot("get-state", slot) for slot in "AB"] == ["good\n", "bad\n"]
    machine.boot("B", trial=True)
    machine.slot("set-state", "B", "good")
    assert machine.order()[0] == 1
    # Going back is a trial, too; staying takes it back.
    machine.slot("set-primary", "A")
    assert machine.order()[:3] == [1, 0, 1]
    machine.slot("set-primary", "B")
    assert machine.order()[:3] == [1, 255, 0]


def test_a_slot_that_is_written_is_not_started(machine: Bios) -> None:
    machine.slot("set-primary", "B")
    machine.slot("set-state", "B", "bad")
    assert machine.order() == [0, 255, 0, 255]
    assert machine.slot("get-primary") == "A\n"


def test_the_older_copy_is_written_over(machine: Bios) -> None:
    for _ in range(4):
        before = machine.copies()
        machine.slot("set-version", "B", "2.0.0")
        after = machine.copies()
        (changed,) = (i for i in (0, 1) if before[i] != after[i])
        assert sequence(before[changed]) <= sequence(before[1 - changed])
        assert sequence(after[changed]) == sequence(before[1 - changed]) + 1


@pytest.mark.parametrize("length", range(0, BLOCK_SIZE, 512))
def test_a_write_that_is_torn(length: int, machine: Bios) -> None:
    machine.slot("set-version", "B", "2.0.0")
    before = machine.copies()
    machine.slot("set-primary", "B")
    after = machine.copies()
    machine.write(*(new[:length] + old[length:] for new, old in zip(after, before, strict=True)))
    assert machine.slot("get-primary") == "A\n"
    assert machine.slot("get-version", "B") == "2.0.0\n"


LOST = {"zeros": bytes(BLOCK_SIZE), "ones": b"\xff" * BLOCK_SIZE, "torn": NEW[:8] + bytes(4088)}


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_both_copies_are_lost(lost: bytes, machine: Bios) -> None:
    machine.boot("B")
    machine.write(lost, lost)
    # What runs is what starts.
    assert machine.slot("get-primary") == "B\n"
    machine.slot("set-primary", "A")
    assert machine.order() == [1, 0, 1, 255]


def with_checksum(copy: bytes) -> bytes:
    return copy[:CHECKSUM] + struct.pack("<I", zlib.crc32(copy[:CHECKSUM]))


HOSTILE = {
    "length": with_checksum(NEW[:20] + b"\xff" * 4 + NEW[24:]),
    "slots": with_checksum(NEW[:16] + b"\7\7\7\7" + NEW[20:]),
    "no text": with_checksum(NEW[:20] + bytes(4) + NEW[24:]),
    "noise": with_checksum(NEW[:20] + b"\xff\7\0\0" + b"\xff" * 4068),
    "future": with_checksum(NEW[:8] + b"\2" + NEW[9:]),
}


@pytest.mark.parametrize("contents", HOSTILE.values(), ids=HOSTILE)
def test_a_block_that_somebody_else_has_written(contents: bytes, machine: Bios) -> None:
    machine.write(contents, contents)
    assert "\xff" not in machine.slot("status")
    machine.slot("set-primary", "B")
    assert machine.slot("get-primary") == "B\n"


def test_what_a_bios_cannot_start_is_not_tried(machine: Bios) -> None:
    before = machine.copies()
    for contents in (bytes(510) + b"\x55\xaa", SYSTEM[:160] + b"x" + SYSTEM[161:]):
        (machine.folder / "dev" / "sda2").write_bytes(contents)
        said = machine.slot("set-primary", "B", status=1)
        assert "slot B has no system that a BIOS can start" in said
    assert machine.copies() == before


def test_the_disk_keeps_what_firmware_forgets(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    disk = tmp_path / "dev" / "sda3"
    disk.write_bytes(NEW.ljust(BLOCK_COPIES[1], b"\0") + NEW)
    machine.slot("set-version", "B", "2.0.0")
    kept = (machine.variables / RECORD).read_bytes()
    (machine.variables / RECORD).unlink()
    assert machine.slot("get-version", "B") == "2.0.0\n"
    # What is older does not count: the disk was in another machine meanwhile.
    machine.slot("set-version", "B", "3.0.0")
    (machine.variables / RECORD).write_bytes(kept)
    assert machine.slot("get-version", "B") == "3.0.0\n"
    disk.write_bytes(bytes(BLOCK_COPIES[1] + BLOCK_SIZE))
    assert machine.slot("get-version", "B") == "2.0.0\n"
    # Nor does the record of another disk, however new it is.
    other = kept.replace(str(IDS["A"]).encode(), b"x" * 36).replace(
        str(IDS["B"]).encode(), b"y" * 36
    )
    disk.write_bytes(NEW.ljust(BLOCK_COPIES[1], b"\0") + NEW)
    (machine.variables / RECORD).write_bytes(
        other.replace(b"first\tA\t1", b"first\tA\t999") + b"first\tA\t999\n"
    )
    assert machine.slot("get-version", "B") == "\n"
    assert kept[:4] == ATTRIBUTES
