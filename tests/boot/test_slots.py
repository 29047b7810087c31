"""A new version in slot B that panics: firmware starts the old one, which says why. The other ways
to fail are those of `make slots` (slot_trials.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.boot.slot_versions import PANICS, Versions, boot

pytestmark = pytest.mark.xdist_group("boot-disks")


def test_a_version_that_panics_is_taken_back(tmp_path: Path) -> None:
    versions = Versions(tmp_path, {"2.0": PANICS})
    with boot(versions) as guest:
        guest.expect("slots: slot A is good", 180)
        versions.write(guest, "2.0")
        guest.type("reboot\n")
        guest.expect("slots: slot B is on trial for 60 s", 180)
        # What the kernel has said is in the firmware's variables.
        guest.expect("slots: slot B was tried and failed: .*: sysrq triggered crash", 180)
        guest.prompt()
        table = guest.run("slot status").splitlines()
        assert any(line.split()[:5] == ["A", "1.0", "good", "runs", "next"] for line in table)
        assert any(line.split()[:5] == ["B", "-", "bad", "-", "-"] for line in table)
        assert guest.power_off() == 0
