"""A new version in slot B that panics: UEFI or the BIOS loader starts the old one, which says why.
The other ways to fail are those of `make slots` (slot_trials.py). And firmware that has forgotten
which slot is in use."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from uuid import UUID

import pytest

from compos.boot.slot_block import first_block
from tests.boot.slot_versions import PANICS, Versions, boot
from tests.output.test_verified_disks import SECTOR, part, partitions

pytestmark = pytest.mark.xdist_group("boot-disks")


# Under UEFI, what the kernel has said is in the firmware's variables.
REASONS = {"raw-efi": ".*: sysrq triggered crash", "raw-bios": "it stopped before it was good"}


@pytest.mark.parametrize("form", ["raw-efi", pytest.param("raw-bios", marks=pytest.mark.wide)])
def test_a_version_that_panics_is_taken_back(form: str, tmp_path: Path) -> None:
    versions = Versions(tmp_path, {"2.0": PANICS}, form=form)
    with boot(versions) as guest:
        guest.expect("slots: slot A is good", 180)
        versions.write(guest, "2.0")
        guest.type("reboot\n")
        guest.expect("slots: slot B is on trial for 120 s", 180)
        guest.expect(f"slots: slot B was tried and failed: {REASONS[form]}", 180)
        guest.prompt()
        table = guest.run("slot status").splitlines()
        assert any(line.split()[:5] == ["A", "1.0", "good", "runs", "next"] for line in table)
        assert any(line.split()[:5] == ["B", "-", "bad", "-", "-"] for line in table)
        assert guest.power_off() == 0


@pytest.mark.wide
def test_firmware_that_has_forgotten_is_told_again(tmp_path: Path) -> None:
    """Slot B is in use, which only the disk knows: new firmware finds slot A first."""
    versions = Versions(tmp_path, {})
    _, found = partitions(versions.disk)
    by_name = {one["name"]: one for one in found}
    with versions.disk.open("r+b") as disk:
        for kind in ("boot", "system"):
            content = part(versions.disk, by_name[f"{kind}-a"], "part").read_bytes()
            disk.seek(by_name[f"{kind}-b"]["start"] * SECTOR)
            disk.write(content)
        ids = [UUID(by_name[name]["uuid"]) for name in ("boot-a", "boot-b")]
        block = bytearray(first_block(ids).replace(b"\tbad\t", b"\tgood\t"))
        del block[-6:-4]
        block[16] = 1
        block[20:24] = struct.pack("<I", len(block[24:].split(b"\0")[0]))
        block[-4:] = struct.pack("<I", zlib.crc32(block[:-4]))
        disk.seek(by_name["slots"]["start"] * SECTOR)
        disk.write(block)
    with boot(versions) as guest:
        guest.expect("firmware has forgotten that slot B is in use; starting it", 600)
        guest.expect('loading Boot.... "compos B"', 300)
        guest.prompt(600)
        assert guest.run("slot get-current").split().count("B") == 1
        assert guest.power_off() == 0
