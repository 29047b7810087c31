"""What becomes of new versions in slot B: `make slots`. Each test begins and ends in slot A of one
guest, under UEFI and under a BIOS; at last the power is cut, a good version stays, and firmware
forgets which one it was. What was seen goes to `build/slot-trials.md`, as a table for
docs/update.md."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot.slot_versions import BROKEN, HALTS, HANGS, PANICS, UNHEALTHY, Versions, boot
from tests.guest import Guest

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

TABLE = Path(__file__).resolve().parents[2] / "build" / "slot-trials.md"
STOPPED = r"it stopped before it was good \(a panic, a hang or a power cut\)"
FAILURES = {
    "the kernel panics": ("2.5", PANICS, STOPPED),
    "a service is unhealthy": ("2.1", UNHEALTHY, "service web is unhealthy"),
    "an `onboot` container fails": ("2.2", HALTS, "000-wrong: exit status 3"),
    "process 1 hangs": ("2.3", HANGS, STOPPED),
    "a bit of the root is wrong": (
        "2.4",
        BROKEN,
        "it did not find its root: /dev/sd.4: erofs: I/O error",
    ),
}
FIRMWARE = {"raw-efi": "UEFI", "raw-bios": "BIOS"}


class Trials:
    """The versions of one kind of firmware, and the guest that tries them, booted when needed."""

    def __init__(self, versions: Versions, rows: list[str]) -> None:
        self.versions = versions
        self._rows = rows
        self._guest: Guest | None = None

    @property
    def guest(self) -> Guest:
        if self._guest is None:
            self._guest = boot(self.versions)
            self._guest.expect("slots: slot A is good", 300)
        return self._guest

    def end(self) -> None:
        if self._guest is not None:
            self._guest.__exit__(None, None, None)
            self._guest = None

    def saw(self, case: str, text: str) -> None:
        self._rows.append(f"| {case} | {FIRMWARE[self.versions.form]} | {text.strip()} |")


@pytest.fixture(scope="module")
def rows() -> Iterator[list[str]]:
    made: list[str] = []
    yield made
    head = ["| on trial | firmware | what slot A says then |", "|---|---|---|"]
    TABLE.write_text("\n".join([*head, *sorted(made)]) + "\n")


@pytest.fixture(scope="module", params=FIRMWARE)
def trials(
    request: pytest.FixtureRequest, rows: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trials]:
    others = {name: more for name, more, _ in FAILURES.values()}
    folder = tmp_path_factory.mktemp("slots")
    made = Trials(Versions(folder, {**others, "2.0": ""}, form=request.param), rows)
    yield made
    made.end()


@pytest.mark.parametrize("case", FAILURES)
def test_what_fails_is_taken_back(case: str, trials: Trials) -> None:
    name, _, reason = FAILURES[case]
    trials.versions.write(trials.guest, name)
    trials.guest.type("reboot\n")
    # Under UEFI, the message of a panic follows.
    found = trials.guest.expect(f"slots: slot B was tried and failed: ({reason}.*)", 400)
    trials.saw(case, found[1])


def test_what_firmware_does_not_start_is_told(trials: Trials) -> None:
    trials.versions.write(trials.guest, "2.0")
    # The program is damaged where firmware looks first; the file system is not.
    damage = "bs=64k seek=1 count=64" if trials.versions.form == "raw-efi" else "bs=512 count=1"
    trials.guest.run(f"dd if=/dev/zero of=/dev/disk/by-partlabel/boot-b {damage}; sync")
    trials.guest.type("reboot\n")
    found = trials.guest.expect("slots: slot B was tried and failed: (firmware did not .*)", 400)
    trials.saw("firmware cannot start it", found[1])


def test_a_power_cut_on_trial_and_a_version_that_stays(trials: Trials) -> None:
    versions = trials.versions
    trials.end()
    with boot(versions) as running:
        running.expect("services started", 300)
        versions.write(running, "2.0")
        running.type("reboot\n")
        running.expect("slots: slot B is on trial", 300)
        running.type("\x01x")
        running.process.wait(60)
    with boot(versions) as running:
        found = running.expect("slots: slot B was tried and failed: (.*power cut.*)", 300)
        trials.saw("the power is cut", found[1])
        versions.write(running, "2.0")
        running.type("reboot\n")
        running.expect("slots: slot B is good", 300)
        running.prompt()
        assert "B" in running.run("slot get-current").split()
        running.type("reboot\n")
        running.expect("services started", 300)
        running.prompt()
        assert ["A", "1.0", "good", "-", "-", "-"] in status(running)
        assert ["B", "2.0", "good", "runs", "next", "-"] in status(running)
        assert running.power_off() == 0
    trials.saw("nothing", "(slot B is good, and starts from now on)")


def test_firmware_that_forgets(trials: Trials) -> None:
    """Slot B is good. New firmware finds slot A first; the disk knows better. Where nothing on the
    disk says so either, what runs stays."""
    versions = trials.versions
    trials.end()
    if versions.form == "raw-efi":
        shutil.rmtree(versions.folder / "state")
        with boot(versions) as running:
            running.expect("firmware has forgotten that slot B is in use; starting it", 300)
            running.expect("services started", 300)
            running.prompt()
            assert "B" in running.run("slot get-current").split()
            assert ["B", "2.0", "good", "runs", "next", "-"] in status(running)
            running.run("dd if=/dev/zero of=/dev/disk/by-partlabel/slots bs=4k count=32; sync")
            assert running.power_off() == 0
        trials.saw("firmware has forgotten slot B", "firmware has forgotten that slot B is in use")
        shutil.rmtree(versions.folder / "state")
    else:
        with boot(versions) as running:
            running.expect("services started", 300)
            running.prompt()
            running.run("dd if=/dev/zero of=/dev/disk/by-partlabel/slots bs=4k count=32; sync")
            assert running.power_off() == 0
    with boot(versions) as running:
        running.expect("slots: slot A is good", 300)
        running.prompt()
        assert "A" in running.run("slot get-primary").split()
        assert running.power_off() == 0
    trials.saw("and so has the disk", "(slot A is good, and starts from now on)")


def status(guest: Guest) -> list[list[str]]:
    """The lines of `slot status`, by their words."""
    return [line.split() for line in guest.run("slot status").splitlines()]
