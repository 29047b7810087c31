"""The command `slot` on a disk and firmware's variables in a folder; efibootmgr reads what it has
written."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from compos.boot.slot_block import RESERVED
from compos.disk.gpt import ESP, GptPartition, guid_partition_table
from tests.bricks.drivers import driver

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
BOOTED = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
RECORD = "ComposSlots-79bf3c4e-9c5e-4e2f-a3d5-52ab8dbb2f1c"
ATTRIBUTES = struct.pack("<I", 7)
SECTORS = 4096
IDS = {"A": UUID(int=0xA << 64 | 1), "B": UUID(int=0xB << 64 | 2)}
START = {"A": 64, "B": 1024}


class Machine:
    """A machine that firmware has started from slot A of its disk; slot B has a system, too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables = folder / "efivars"
        for name in ("efivars", "block", "dev"):
            (folder / name).mkdir()
        self.disk("sda", IDS)
        self.boot("A")

    def disk(self, name: str, ids: dict[str, UUID], *, block: int = 512) -> None:
        (self.folder / "block" / name / "queue").mkdir(parents=True)
        (self.folder / "block" / name / "queue" / "logical_block_size").write_text(f"{block}\n")
        partitions = [
            GptPartition(START[slot], 960, ESP, ids[slot], f"boot-{slot.lower()}") for slot in ids
        ]
        partitions.append(GptPartition(2048, 256, RESERVED, UUID(int=8), "slots"))
        head, _ = guid_partition_table(partitions, SECTORS, UUID(int=7))
        (self.folder / "dev" / name).write_bytes(head)
        for number in range(len(ids)):
            (self.folder / "block" / f"{name}{number + 1}").mkdir()
            (self.folder / "block" / f"{name}{number + 1}" / "partition").write_text("1\n")
            fat = bytes(510) + b"\x55\xaa"
            (self.folder / "dev" / f"{name}{number + 1}").write_bytes(fat)

    def boot(self, slot: str) -> None:
        """Firmware starts this slot, and BootNext is used up."""
        text = str(IDS[slot]).upper().encode("utf-16-le") + b"\0\0"
        (self.variables / BOOTED).write_bytes(ATTRIBUTES + text)
        (self.variables / f"BootNext-{GLOBAL}").unlink(missing_ok=True)

    def slot(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run(
            [driver("slots"), str(self.folder), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    def order(self) -> list[int]:
        data = (self.variables / f"BootOrder-{GLOBAL}").read_bytes()[4:]
        return [number for (number,) in struct.iter_unpack("<H", data)]

    def set_order(self, *numbers: int) -> None:
        data = b"".join(struct.pack("<H", number) for number in numbers)
        (self.variables / f"BootOrder-{GLOBAL}").write_bytes(ATTRIBUTES + data)

    def next(self) -> int | None:
        path = self.variables / f"BootNext-{GLOBAL}"
        return struct.unpack("<H", path.read_bytes()[4:])[0] if path.exists() else None

    def efibootmgr(self) -> str:
        environment = {**os.environ, "EFIVARFS_PATH": f"{self.variables}/"}
        line = ["efibootmgr", "-v"]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
        return done.stdout


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_trial_is_the_next_boot_and_not_the_order(machine: Machine) -> None:
    machine.slot("set-state", "A", "good")
    machine.slot("set-primary", "B")
    order = machine.order()
    assert machine.next() == order[1]
    assert machine.slot("get-primary") == "B\n"
    assert machine.slot("get-current") == "A\n"
    assert [machine.slot("get-state", slot) for slot in "AB"] == ["good\n", "bad\n"]
    found = machine.efibootmgr()
    assert f"BootNext: {order[1]:04X}" in found
    assert f"BootOrder: {order[0]:04X},{order[1]:04X}" in found
    for number, slot in zip(order, "AB", strict=True):
        place = f"HD({'AB'.index(slot) + 1},GPT,{IDS[slot]},{START[slot]:#x},0x3c0)"
        program = r"/File(\EFI\BOOT\BOOTX64.EFI)"
        assert f"Boot{number:04X}* compos {slot}\t{place}{program}" in found
    # Firmware starts A again: B has failed, and nobody had to change anything.
    machine.boot("A")
    assert machine.slot("get-primary") == "A\n"


def test_what_is_good_comes_first(machine: Machine) -> None:
    machine.slot("set-primary", "B")
    machine.boot("B")
    first = machine.order()
    machine.slot("set-state", "B", "good")
    assert machine.order() == first[::-1]
    assert machine.slot("get-state", "B") == "good\n"
    assert machine.slot("get-primary") == "B\n"


def test_a_slot_that_is_written_is_not_started(machine: Machine) -> None:
    """RAUC's order: bad, written, primary. A cut in between starts the old slot."""
    machine.slot("set-primary", "B")
    machine.slot("set-state", "B", "bad")
    assert machine.next() is None
    assert machine.slot("get-primary") == "A\n"


def test_going_back_is_a_trial_too(machine: Machine) -> None:
    machine.boot("B")
    machine.slot("set-state", "B", "good")
    machine.slot("set-primary", "A")
    assert machine.slot("get-primary") == "A\n"
    assert machine.order()[0] != machine.next()
    # Staying takes that back.
    machine.slot("set-primary", "B")
    assert machine.next() is None
    assert machine.slot("get-primary") == "B\n"


def test_entries_of_others_stay(machine: Machine) -> None:
    other = (
        ATTRIBUTES + struct.pack("<IH", 1, 4) + "other".encode("utf-16-le") + b"\0\0\x7f\xff\4\0"
    )
    for number in (0, 1, 3):
        (machine.variables / f"Boot{number:04X}-{GLOBAL}").write_bytes(other)
    machine.set_order(3, 0, 1)
    machine.slot("set-primary", "B")
    assert machine.order() == [2, 4, 3, 0, 1]
    machine.slot("set-primary", "B")
    assert machine.order() == [2, 4, 3, 0, 1]
    assert (machine.variables / f"Boot0003-{GLOBAL}").read_bytes() == other


def test_an_entry_for_another_disk_is_put_right(machine: Machine) -> None:
    machine.slot("set-primary", "B")
    before = machine.order()
    moved = (machine.folder / "dev" / "sda").read_bytes()
    head, _ = guid_partition_table(
        [
            GptPartition(START[slot] + 8, 900, ESP, IDS[slot], f"boot-{slot.lower()}")
            for slot in IDS
        ],
        SECTORS,
        UUID(int=7),
    )
    assert len(moved) == len(head)
    (machine.folder / "dev" / "sda").write_bytes(head)
    machine.slot("set-primary", "B")
    assert machine.order() == before
    assert f"HD(2,GPT,{IDS['B']},{START['B'] + 8:#x},0x384)" in machine.efibootmgr()


def test_the_disk_that_was_started_counts(machine: Machine) -> None:
    others = {"A": UUID(int=0xC), "B": UUID(int=0xD)}
    machine.disk("aaa", others)
    machine.slot("set-primary", "B")
    assert str(others["A"]) not in machine.efibootmgr()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "usage"),
        (("get-state",), 2, "usage"),
        (("get-state", "C"), 2, "usage"),
        (("set-state", "B", "fine"), 2, "usage"),
        (("set-primary", "B", "now"), 2, "usage"),
    ],
)
def test_what_means_nothing(
    arguments: tuple[str, ...], status: int, message: str, machine: Machine
) -> None:
    before = sorted(machine.variables.iterdir())
    assert message in machine.slot(*arguments, status=status)
    assert sorted(machine.variables.iterdir()) == before


def test_failures_are_those_of_a_version(machine: Machine) -> None:
    machine.slot("set-version", "B", "2.0.0")
    text = (machine.variables / RECORD).read_text()
    line = f"slot\tB\tbad\t{IDS['B']}\t2.0.0\t"
    assert f"{line}0\t\n" in text
    (machine.variables / RECORD).write_text(text.replace(f"{line}0\t", f"{line}3\tit panicked"))
    assert machine.slot("get-failures", "B") == "3\n"
    assert machine.slot("get-reason", "B") == "it panicked\n"
    assert "it panicked" in machine.slot("status")
    # Written again, it is the same version.
    machine.slot("set-version", "B", "2.0.0")
    assert machine.slot("get-failures", "B") == "3\n"
    assert "it panicked" not in machine.slot("status")
    machine.slot("set-version", "B", "2.0.1")
    assert machine.slot("get-failures", "B") == "0\n"
    assert machine.slot("get-version", "B") == "2.0.1\n"
    assert machine.slot("get-reason", "B") == "\n"
    (machine.variables / RECORD).write_text(text.replace(f"{line}0\t", f"{line}9999999999999\t"))
    assert machine.slot("get-failures", "B") == "99\n"
    assert "slot A runs" in machine.slot("set-version", "A", "2.0.0", status=1)


def test_an_empty_slot_is_not_tried(machine: Machine) -> None:
    (machine.folder / "dev" / "sda2").write_bytes(bytes(4096))
    assert "slot B has no system" in machine.slot("set-primary", "B", status=1)
    assert machine.next() is None


def test_a_machine_without_slots(machine: Machine) -> None:
    (machine.folder / "dev" / "sda").write_bytes(bytes(4096))
    assert "no disk has the partitions boot-a and boot-b" in machine.slot("status", status=1)


HOSTILE = {
    "empty": b"",
    "short": b"\7",
    "bare": b"\7\0\0\0",
    "noise": ATTRIBUTES + b"\xff" * 4000,
    "long": ATTRIBUTES + b"\xff" * 70000,
    "few fields": ATTRIBUTES + b"compos-slots\t1\n" + b"slot\tA\tgood\n" * 100,
    "control": ATTRIBUTES + b"compos-slots\t1\nslot\tA\tgood\t" + b"x" * 1500 + b"\t\t0\t\x1b[2J\n",
    "tabs": ATTRIBUTES + b"compos-slots\t1\ntrial\tB\t" + b"\t" * 500,
    "zeros": ATTRIBUTES + bytes(100),
}


@pytest.mark.parametrize("contents", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("name", ["ComposSlots", "BootOrder", "BootNext", "Boot0000"])
def test_variables_that_somebody_else_has_written(
    name: str, contents: bytes, machine: Machine
) -> None:
    path = RECORD if name == "ComposSlots" else f"{name}-{GLOBAL}"
    (machine.variables / path).write_bytes(contents)
    assert "\x1b" not in machine.slot("status")
    machine.slot("set-primary", "B")
    assert machine.slot("get-primary") == "B\n"
    machine.boot("A")
    assert machine.slot("get-primary") == "A\n"


@pytest.mark.parametrize(
    ("at", "contents"),
    [
        (512 + 72, b"\xff" * 8),
        (512 + 80, b"\xff" * 4),
        (512 + 84, b"\xff" * 4),
        (512 + 84, bytes(4)),
    ],
)
def test_tables_that_are_damaged(at: int, contents: bytes, machine: Machine) -> None:
    path = machine.folder / "dev" / "sda"
    data = bytearray(path.read_bytes())
    data[at : at + len(contents)] = contents
    path.write_bytes(data)
    assert "no disk has the partitions" in machine.slot("status", status=1)
