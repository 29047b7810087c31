"""Power cuts while a machine with UEFI firmware updates itself: `make slot-cuts`.

A guest streams version 1.1.0 from a web server into slot B with RAUC, restarts, and finds it good.
What its disk and its firmware's flash memory are asked for is recorded in one sequence. Both are
then made as a power cut leaves them at random moments: with any fate of what no flush of the disk
has made durable, and of the byte of the flash memory that is being written. Of each, the slots must
be what RAUC extracts from the bundle, or what was there before, and e2fsprogs must find the data.
Which slot starts, its variables say; where they cannot be read, firmware says it, and so it does of
some of each kind, and what it starts the next time. COMPOS_SLOT_CUTS says how many cuts [200]. The
table goes to `build/slot-cuts-uefi.md`.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest

from compos.boot.efi_signatures import Variable
from compos.boot.variable_store import contents_of
from compos.run.firmware import find_firmware
from compos.testing.console import Console
from tests.boot.power.cuts import BLOCKS, Cut, Recorded, copy
from tests.boot.power.recording import SECTOR, Recording
from tests.boot.power.server import Server
from tests.boot.updating import Workshop, serving
from tests.guest import Guest
from tests.output.test_verified_disks import partitions

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

COUNT = int(os.environ.get("COMPOS_SLOT_CUTS", "200"))
TABLE = Path(__file__).resolve().parents[2] / "build" / "slot-cuts-uefi.md"
SIZE = 640 << 20
"""Of the disk. In a recording, and in the files of cuts, the flash memory is behind it."""
SAMPLE = 3
GLOBAL = UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
"""Of firmware's own variables (UEFI specification 2.10, 3.3)."""
KEPT = "written before the update"

YAML = """
kernel:
  image: compos/kernel:v1
  cmdline: console=ttyS0 quiet cryptomgr.notests=1
  modules: [auto]
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: dhcpcd
    image: compos/dhcpcd:v1
    command: ["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]
services:
  - name: data
    image: compos/busybox:v1
    binds: ["/var/lib/data:/var/lib/data", "/dev/console:/dev/console"]
    command:
      - /bin/sh
      - -c
      - >-
        cd /var/lib/data; [ -e kept ] || {{ echo {kept} > kept; sync; }};
        echo "data: $(cat kept)" > /dev/console; sleep 1000000
slots: {{boot: 32m, system: 128m}}
disk: {{mountpoint: /var/lib/data}}
update:
  compatible: gateway
  version: {version}
  keyring: {keys}/update.crt
  source: "http://10.0.2.2:{port}/os.raucb"
  every: 1m
  restart: true
"""


class Machine(Guest):
    """A machine with the disk and the flash memory that QEMU's options `disk` and `flash` name.
    Without a network, firmware is faster."""

    def __init__(
        self, folder: Path, disk: str, flash: str, log: Path, *, network: bool = True
    ) -> None:
        code = find_firmware("x86_64", None, folder).code
        self.log = log
        self._console = Console(log, lambda: self.process.poll() is None)
        command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=single"]
        command += ["-nographic", "-m", "1024"]
        command += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}"]
        command += ["-drive", f"if=pflash,unit=1,format=raw,{flash}"]
        command += ["-drive", f"{disk},format=raw,if=none,id=d0", "-device", "ide-hd,drive=d0"]
        card = ["-device", "virtio-net-pci,netdev=n0,romfile=", "-netdev", "user,id=n0"]
        command += card if network else ["-net", "none"]
        with log.open("wb") as console:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=console)


class Update:
    """What was recorded, from `began` on while the update ran, and what the slots' partitions have
    in each version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        disk, flash, bundle = self._record()
        before = folder / "before.img"
        # The first boot has made the data partition.
        _, found = partitions(disk)
        self.parts = {one["name"]: (one["start"] * SECTOR, one["size"] * SECTOR) for one in found}
        out = folder / "extracted"
        line: list[str | Path] = ["rauc", "extract", "--keyring", folder / "keys/update.crt"]
        subprocess.run([*line, bundle, out], check=True, capture_output=True)
        self.whole = {"A": self.contents(before, "A")}
        self.whole["B"] = tuple(
            self._digest((out / f"{kind}.img").read_bytes(), self.parts[f"{kind}-b"][1])
            for kind in ("boot", "system")
        )
        assert self.whole["B"] != self.whole["A"]
        assert self.contents(disk, "A") == self.whole["A"]
        assert self.contents(disk, "B") == self.whole["B"]
        disk.unlink()
        flash.unlink()

    def _record(self) -> tuple[Path, Path, Path]:
        """Runs the update: the disk, the flash memory and the bundle."""
        folder, recording = self.folder, Recording()
        with serving() as (web, port):
            shop = Workshop(folder, YAML, "--size", f"{SIZE >> 20}M", port=port, kept=KEPT)
            disk = shop.build("1.0.0", "raw-efi")
            bundle = shop.build("1.1.0", "update")
            flash = find_firmware("x86_64", None, folder).variables
            assert flash is not None
            copy(disk, folder / "before.img")
            with (folder / "before.img").open("r+b") as stream:
                assert stream.seek(0, os.SEEK_END) == SIZE
                stream.write(flash.read_bytes())
            with (
                Server(disk, folder / "disk.sock", recording=recording) as one,
                Server(
                    flash, folder / "flash.sock", recording=recording, base=SIZE, kept=True
                ) as two,
                Machine(
                    folder,
                    f"file=nbd+unix:///?socket={one.path}",
                    f"file=nbd+unix:///?socket={two.path}",
                    folder / "console",
                ) as guest,
            ):
                guest.expect(f"data: {KEPT}", 600)
                guest.expect("slots: slot A is good", 600)
                self.began = recording.moment
                web.files["/os.raucb"] = bundle.read_bytes()
                guest.expect("slots: slot B is on trial", 1200)
                guest.expect("slots: slot B is good", 900)
        self.recorded = Recorded(folder / "before.img", recording)
        return disk, flash, bundle

    def contents(self, disk: Path, slot: str) -> tuple[str, ...]:
        """Digests of the slot's partitions."""
        found = []
        with disk.open("rb") as stream:
            for kind in ("boot", "system"):
                start, size = self.parts[f"{kind}-{slot.lower()}"]
                stream.seek(start)
                found.append(self._digest(stream.read(size), size))
        return tuple(found)

    def _digest(self, content: bytes, size: int) -> str:
        """Of what a partition of `size` bytes has if nothing but zeros is behind `content`."""
        total = hashlib.sha256(content)
        total.update(bytes(size - len(content)))
        return total.hexdigest()

    def data(self, disk: Path) -> str:
        """The file that was written before, as e2fsprogs finds it."""
        image = self.folder / "data.img"
        start, size = self.parts["data"]
        line = ["dd", f"if={disk}", f"of={image}", "bs=1M", "conv=sparse"]
        places = [f"skip={start}", f"count={size}", "iflag=skip_bytes,count_bytes"]
        subprocess.run([*line, *places], check=True, capture_output=True)
        # 1: the journal was replayed.
        checked = subprocess.run(["e2fsck", "-fp", image], capture_output=True, text=True)
        assert checked.returncode in (0, 1), checked.stdout
        subprocess.run(["e2fsck", "-fn", image], capture_output=True, check=True)
        line = ["debugfs", "-R", "cat /kept", str(image)]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()


class Starts(NamedTuple):
    """What firmware starts, and what it starts the next time if that was slot B."""

    first: str
    then: str = ""

    def __str__(self) -> str:
        return {"": self.first, "B": "B"}.get(self.then, "B on trial, then A")


class Firmware:
    """Starts SAMPLE disks of each kind, and all whose variables cannot be read."""

    def __init__(self, update: Update) -> None:
        self.update = update
        self.known: dict[str, list[Starts]] = {}

    def starts(self, cut: Path, *, whole: bool) -> Starts:
        """Which slot starts. Disks are of one kind if their variables name the same slot, and slot
        B is `whole` or not."""
        slot = named(cut)
        kind = f"{slot} {whole}"
        known = self.known.setdefault(kind, [])
        if not slot or len(known) < SAMPLE:
            image = self.update.folder / "started.img"
            copy(cut, image)
            first = self._start(image)
            known.append(Starts(first, self._start(image) if first == "B" else ""))
            assert not slot or (known[-1].first == slot[0] and known[-1] == known[0]), kind
        return known[-1]

    def _start(self, cut: Path) -> str:
        """The slot that firmware says it starts; it may write its variables."""
        with machine(self.update, cut, network=False) as guest:
            return guest.expect(r'BdsDxe: starting Boot.... "compos ([AB])"', 300)[1]


def named(cut: Path) -> str:
    """The slot that the variables name, and whether that is only for once; empty if they cannot be
    read, as in the middle of a write."""
    with cut.open("rb") as stream:
        stream.seek(SIZE)
        flash = stream.read()
    try:
        once = contents_of(flash, Variable("BootNext", GLOBAL))
        entry = once or contents_of(flash, Variable("BootOrder", GLOBAL)) or b""
        number = int.from_bytes(entry[:2], "little")
        option = contents_of(flash, Variable(f"Boot{number:04X}", GLOBAL)) or b""
    except ValueError:
        return ""
    text = option[6:].decode("utf-16-le", "replace").partition("\0")[0]
    return text.removeprefix("compos ") + " once" * bool(once) if text.startswith("compos ") else ""


def machine(update: Update, cut: Path, *, network: bool) -> Machine:
    """Goes on with what is left after a cut."""
    flash = cut.stat().st_size - SIZE
    # Both are in one file.
    places = ((0, SIZE), (SIZE, flash))
    parts = [f"file={cut},file.locking=off,offset={at},size={size}" for at, size in places]
    disk, log = f"{parts[0]},cache=unsafe", update.folder / "start.log"
    return Machine(update.folder, disk, parts[1], log, network=network)


@pytest.fixture(scope="module")
def update(tmp_path_factory: pytest.TempPathFactory) -> Update:
    return Update(tmp_path_factory.mktemp("cuts"))


def chosen(update: Update) -> list[Cut]:
    """Most requests are writes into slot B and bytes of the flash memory. A third of the cuts is at
    any of them, a third at those of the disk, a third around the changes of block and variables."""
    recording, draw = update.recorded.recording, random.Random(COUNT)
    start, size = update.parts["slots"]
    changes = [one for one in recording.changes() if one.answered > update.began]
    on_disk = [one.answered for one in changes if one.offset < SIZE]
    near = [one.answered for one in changes if start <= one.offset < start + size]
    # Between writes of the flash memory that are of two variables the disk is asked for something,
    # or time passes; what is near the end of one is near the start of the next.
    flashed = [one.answered for one in changes if one.offset >= SIZE]
    near += [a for a, b in pairwise(flashed) if b - a > 2]
    every = [one for one in recording.moments() if one > update.began]
    cuts = []
    for number in range(COUNT):
        moment = draw.choice((every, on_disk, near)[number % 3])
        moment += draw.randrange(-4, 5) if number % 3 == 2 else draw.randrange(2)
        seed = draw.randrange(1 << 30) if number % 4 else None
        cuts.append(Cut(moment, seed, draw.choice(BLOCKS)))
    return cuts


def test_one_of_two_versions_starts_whole(update: Update) -> None:
    firmware = Firmware(update)
    seen: Counter[str] = Counter()
    examples: dict[str, Path] = {}
    half = 0
    cut_image = update.folder / "cut.img"
    for cut in chosen(update):
        update.recorded.make(cut, cut_image)
        whole = {slot: update.contents(cut_image, slot) == update.whole[slot] for slot in "AB"}
        assert whole["A"], cut
        half += not whole["B"]
        assert update.data(cut_image) == KEPT, cut
        starts = firmware.starts(cut_image, whole=whole["B"])
        assert whole[starts.first], (cut, starts)
        seen[str(starts)] += 1
        if str(starts) not in examples:
            examples[str(starts)] = cut_image.rename(update.folder / f"{len(examples)}.img")
    kinds = {"A", "B on trial, then A", "B"}
    assert set(seen) == kinds if COUNT >= 200 else set(seen) <= kinds
    for what, example in examples.items():
        with machine(update, example, network=True) as guest:
            guest.expect(f'BdsDxe: starting Boot.... "compos {what[0]}"', 300)
            guest.expect(f"data: {KEPT}", 600)
    rows = ["| what starts after the cut | cuts |", "|---|---|"]
    rows += [f"| {what} | {count} |" for what, count in sorted(seen.items())]
    rows += [f"| slot B was not whole, and was not started | {half} |"]
    started = sum(map(len, firmware.known.values()))
    rows += [f"| firmware was started to see it | {started} |"]
    with suppress(FileExistsError):
        TABLE.parent.mkdir()
    TABLE.write_text("\n".join(rows) + "\n")
