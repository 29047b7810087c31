"""What becomes of new versions in slot B: `make slots`. Each test begins and ends in slot A of one
guest; at last the power is cut, and a good version stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.boot.slot_versions import BROKEN, HALTS, HANGS, UNHEALTHY, Versions, boot
from tests.guest import Guest

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

FAILURES = {
    "2.1": (UNHEALTHY, "service web is unhealthy"),
    "2.2": (HALTS, "wrong: exit status 3"),
    "2.3": (HANGS, r"it stopped before it was good \(a panic, a hang or a power cut\)"),
    "2.4": (BROKEN, "it did not find its root: /dev/sd.4: erofs: I/O error"),
}


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    others = {name: more for name, (more, _) in FAILURES.items()}
    return Versions(tmp_path_factory.mktemp("slots"), {**others, "2.0": ""})


@pytest.fixture(scope="module")
def guest(versions: Versions) -> Iterator[Guest]:
    with boot(versions) as running:
        running.expect("slots: slot A is good", 180)
        yield running


@pytest.mark.parametrize("name", FAILURES)
def test_what_fails_is_taken_back(name: str, versions: Versions, guest: Guest) -> None:
    versions.write(guest, name)
    guest.type("reboot\n")
    guest.expect(f"slots: slot B was tried and failed: {FAILURES[name][1]}", 300)


def test_what_firmware_does_not_start_is_told(versions: Versions, guest: Guest) -> None:
    versions.write(guest, "2.0")
    # The program is damaged where firmware looks first; the file system is not.
    guest.run("dd if=/dev/zero of=/dev/disk/by-partlabel/boot-b bs=64k seek=1 count=64; sync")
    guest.type("reboot\n")
    guest.expect("slots: slot B was tried and failed: firmware did not start it", 300)


def test_a_power_cut_on_trial_and_a_version_that_stays(versions: Versions, guest: Guest) -> None:
    guest.prompt()
    assert guest.power_off() == 0
    with boot(versions) as running:
        running.expect("services started", 180)
        versions.write(running, "2.0")
        running.type("reboot\n")
        running.expect("slots: slot B is on trial", 180)
        running.type("\x01x")
        running.process.wait(60)
    with boot(versions) as running:
        running.expect("slots: slot B was tried and failed: .*power cut", 180)
        versions.write(running, "2.0")
        running.type("reboot\n")
        running.expect("slots: slot B is good", 180)
        running.prompt()
        assert "B" in running.run("slot get-current").split()
        running.type("reboot\n")
        running.expect("services started", 180)
        running.prompt()
        assert ["A", "1.0", "good", "-", "-", "-"] in status(running)
        assert ["B", "2.0", "good", "runs", "next", "-"] in status(running)
        assert running.power_off() == 0


def status(guest: Guest) -> list[list[str]]:
    """The lines of `slot status`, by their words."""
    return [line.split() for line in guest.run("slot status").splitlines()]
