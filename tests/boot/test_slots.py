"""A new version in slot B that panics: UEFI or the BIOS loader starts the old one, which says why.
The other ways to fail are those of `make slots` (slot_trials.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.boot.slot_versions import PANICS, Versions, boot

pytestmark = pytest.mark.xdist_group("boot-disks")


# Under UEFI, what the kernel has said is in the firmware's variables.
REASONS = {"raw-efi": ".*: sysrq triggered crash", "raw-bios": "it stopped before it was good"}


@pytest.mark.parametrize("form", REASONS)
def test_a_version_that_panics_is_taken_back(form: str, tmp_path: Path) -> None:
    versions = Versions(tmp_path, {"2.0": PANICS}, form=form)
    with boot(versions) as guest:
        guest.expect("slots: slot A is good", 180)
        versions.write(guest, "2.0")
        guest.type("reboot\n")
        guest.expect("slots: slot B is on trial for 60 s", 180)
        guest.expect(f"slots: slot B was tried and failed: {REASONS[form]}", 180)
        guest.prompt()
        table = guest.run("slot status").splitlines()
        assert any(line.split()[:5] == ["A", "1.0", "good", "runs", "next"] for line in table)
        assert any(line.split()[:5] == ["B", "-", "bad", "-", "-"] for line in table)
        assert guest.power_off() == 0
