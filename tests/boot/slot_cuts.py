"""Power cuts while a machine with a BIOS updates itself: `make slot-cuts`.

A guest writes version 2 into slot B, has it tried, and finds it good, on a disk that records what
it is asked for. The disk is then made as a power cut leaves it at random moments, with any fate of
what no flush has made durable, and given to the BIOS again: it must start a slot, that slot must
have one of the two versions whole, and after a trial that is cut short the next start must be the
old one. COMPOS_SLOT_CUTS says how many cuts [200]. The table goes to `build/slot-cuts.md`.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from compos.testing.console import Console
from tests.boot.power.cuts import Cut, Recorded, copy
from tests.boot.power.recording import SECTOR
from tests.boot.power.server import Server
from tests.boot.slot_versions import Versions
from tests.guest import Guest
from tests.output.test_verified_disks import partitions

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

COUNT = int(os.environ.get("COMPOS_SLOT_CUTS", "200"))
TABLE = Path(__file__).resolve().parents[2] / "build" / "slot-cuts.md"
QEMU = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-nographic", "-net", "none"]
MIB = 1 << 20


class RecordedGuest(Guest):
    """A guest whose disk is on a socket."""

    def __init__(self, socket: Path, store: Path, log: Path) -> None:
        self.log = log
        self._console = Console(log, lambda: self.process.poll() is None)
        drives = (f"file=nbd+unix:///?socket={socket},format=raw", f"file={store},format=raw")
        command = [*QEMU, "-m", "1024"]
        for number, drive in enumerate(drives):
            command += ["-drive", f"{drive},if=none,id=d{number}"]
            command += ["-device", f"ide-hd,drive=d{number},bus=ide.{number}"]
        with log.open("wb") as console:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=console)


class Update:
    """What was recorded, and what the slots' partitions have in each version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        versions = Versions(folder, {"2.0": ""}, form="raw-bios")
        before = folder / "before.img"
        copy(versions.disk, before)
        with (
            Server(versions.disk, folder / "disk.sock") as server,
            RecordedGuest(server.path, versions.store, folder / "console") as guest,
        ):
            guest.expect("slots: slot A is good", 600)
            versions.write(guest, "2.0")
            guest.type("reboot\n")
            guest.expect("slots: slot B is on trial", 600)
            guest.expect("slots: slot B is good", 600)
            guest.prompt()
            assert guest.power_off() == 0
        self.recorded = Recorded(before, server.recording)
        _, self.found = partitions(before)
        self.before, after = before.read_bytes(), versions.disk.read_bytes()
        self.whole = {"A": self.contents(self.before, "A"), "B": self.contents(after, "B")}
        assert self.contents(after, "A") == self.whole["A"]

    def contents(self, disk: bytes | bytearray, slot: str) -> list[bytes]:
        """The slot's partitions."""
        return [
            bytes(disk[one["start"] * SECTOR : (one["start"] + one["size"]) * SECTOR])
            for one in self.found[:4]
            if one["name"].endswith(slot.lower())
        ]

    def made(self, cut: Cut) -> bytearray:
        """The disk after `cut`."""
        disk = bytearray(self.before)
        for change in self.recorded.left(cut):
            end = change.offset + change.length
            disk[change.offset : end] = bytes(change.length) if change.data is None else change.data
        return disk


def start(disk: Path, log: Path) -> tuple[str, bool]:
    """The slot that the BIOS starts, and whether that is its trial; the loader may write."""
    drive = f"file={disk},format=raw,if=none,id=d0,cache=unsafe"
    command = [*QEMU, "-m", "256", "-drive", drive, "-device", "ide-hd,drive=d0,bus=ide.0"]
    with log.open("wb") as out:
        machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out)
    try:
        console = Console(log, lambda: machine.poll() is None)
        pattern = r"compos: slot ([AB])(, on trial)?\s+compos: loading \."
        found = console.wait(re.compile(pattern), 300)
    finally:
        machine.kill()
        machine.wait()
    return found[1], bool(found[2])


class Judge:
    """Starts each disk that differs in what the loader reads once."""

    def __init__(self, update: Update) -> None:
        self.update = update
        self.known: dict[str, list[tuple[str, bool]]] = {}

    def starts(self, disk: bytearray) -> list[tuple[str, bool]]:
        """Which slot starts; and after a trial, which one starts then."""
        read = hashlib.sha256(disk[:MIB])
        for one in self.update.found[:2]:
            read.update(disk[one["start"] * SECTOR : (one["start"] + 1) * SECTOR])
        key = read.hexdigest()
        if key not in self.known:
            image = self.update.folder / "cut.img"
            image.write_bytes(disk)
            log = self.update.folder / "start.log"
            first = start(image, log)
            self.known[key] = [first, start(image, log)] if first[1] else [first]
        return self.known[key]


@pytest.fixture(scope="module")
def update(tmp_path_factory: pytest.TempPathFactory) -> Update:
    return Update(tmp_path_factory.mktemp("cuts"))


def chosen(update: Update) -> list[Cut]:
    """Cuts at all times; most requests are writes into slot B, so as many again are those around
    the changes of the block."""
    every = list(update.recorded.cuts(seeds=2))
    block = range(update.found[4]["start"] * SECTOR, (update.found[4]["start"] + 1024) * SECTOR)
    times = [one.came for one in update.recorded.recording.changes() if one.offset in block]
    near = [cut for cut in every if any(abs(cut.moment - time) < 8 for time in times)]
    draw = random.Random(COUNT)
    count = min(COUNT // 2, len(near))
    return draw.sample(near, count) + draw.sample(every, min(COUNT - count, len(every)))


def test_one_of_two_versions_starts_whole(update: Update) -> None:
    judge = Judge(update)
    seen: Counter[str] = Counter()
    for cut in chosen(update):
        disk = update.made(cut)
        starts = judge.starts(disk)
        for slot, _ in starts:
            assert update.contents(disk, slot) == update.whole[slot], (cut, starts)
        if starts[0][1]:
            assert [slot for slot, _ in starts] == ["B", "A"], cut
        seen[", then ".join(f"{slot}{' on trial' * trial}" for slot, trial in starts)] += 1
    assert set(seen) == {"A", "B on trial, then A", "B"}
    rows = ["| what starts after the cut | cuts |", "|---|---|"]
    rows += [f"| {what} | {count} |" for what, count in sorted(seen.items())]
    rows += [f"| different disks for the loader | {len(judge.known)} |"]
    TABLE.write_text("\n".join(rows) + "\n")
