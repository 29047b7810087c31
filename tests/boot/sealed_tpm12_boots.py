"""What opens a data partition that is sealed to a TPM 1.2, and what does not, one boot a case: `make
sealed-boots`. The first two boots are those of `test_sealed_tpm12.py`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from compos.api.keys import new_keys
from tests.boot.sealed import ASKED, OPENED, STARTED, Machine, build, in_root
from tests.boot.sealed_boots import (
    Sealed,
    first_boot,
    install,
    require_opened,
    require_refused,
    write,
)
from tests.guest import Guest

OLD = "--tpm12"


def in_copy(sealed: Sealed, folder: Path, keys: Path | None = None) -> tuple[Machine, Path]:
    machine, image = sealed.copy(folder, keys=keys)
    return Machine(machine.state, keys or sealed.keys, tpm=OLD), image


def made(folder: Path, disk: str) -> Sealed:
    """A machine that has sealed."""
    keys = folder / "keys"
    new_keys(keys)
    image = build(folder, keys, disk=disk)
    machine = Machine(folder / "state", keys, tpm=OLD)
    return Sealed(folder, keys, image, first_boot(machine, image, folder / "console"))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    return made(tmp_path_factory.mktemp("sealed"), 'tpm: "1.2"')


def test_the_unchanged_machine(sealed: Sealed, tmp_path: Path) -> None:
    require_opened(*in_copy(sealed, tmp_path), tmp_path / "log")


def test_an_update_signed_with_the_same_keys(sealed: Sealed, tmp_path: Path) -> None:
    machine, image = in_copy(sealed, tmp_path)
    install(image, build(tmp_path, sealed.keys, disk='tpm: "1.2"', cmdline="version=2"))
    require_opened(machine, image, tmp_path / "log")


def test_other_keys_in_the_firmware(sealed: Sealed, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    new_keys(keys)
    machine, image = in_copy(sealed, tmp_path, keys)
    (machine.state / "efi-vars-secure.fd").unlink()
    install(image, build(tmp_path, keys, disk='tpm: "1.2"'))
    console = require_refused(machine, image, tmp_path / "log")
    assert "PCR 7 is not what it was: Secure Boot" in console


def test_the_disk_in_another_machine(sealed: Sealed, tmp_path: Path) -> None:
    """The recovery key opens it there, seals it to the other TPM, and the next boot needs none."""
    _, image = in_copy(sealed, tmp_path)
    machine = Machine(tmp_path / "other", sealed.keys, tpm=OLD)
    with machine.boot(image, tmp_path / "log") as guest:
        guest.expect("the TPM does not open it", 300)
        guest.expect("this is another TPM")
        guest.expect(ASKED)
        guest.type(f"{sealed.recovery}\n")
        guest.expect("Seal the key to the machine as it is now")
        guest.type("yes\n")
        guest.expect("sealed to the machine as it is now")
        guest.expect(STARTED)
        guest.prompt()
        assert "kept" in guest.run(in_root("cat /var/lib/data/file"))
        assert guest.power_off() == 0
    require_opened(machine, image, tmp_path / "again")


def test_a_machine_with_a_tpm_20(sealed: Sealed, tmp_path: Path) -> None:
    _, image = in_copy(sealed, tmp_path)
    with Machine(tmp_path / "other", sealed.keys).boot(image, tmp_path / "log") as guest:
        guest.expect("the TPM does not open it: no TPM 1.2", 300)
        guest.expect(ASKED)
    assert OPENED not in guest.text()


def test_without_secure_boot_another_program(tmp_path: Path) -> None:
    """Bound to PCR 4, no Secure Boot: the firmware has measured the unified kernel image."""
    keys, state = tmp_path / "keys", tmp_path / "state"
    new_keys(keys)
    disk = 'tpm: "1.2"\n  pcrs: [4]'
    image = build(tmp_path, keys, disk=disk)
    options = ("--uefi", OLD, "--state", str(state))
    with Guest(image, *options, log=tmp_path / "first") as guest:
        guest.expect("sealing a new key", 300)
        write(guest)
    (tmp_path / "next").mkdir()
    install(image, build(tmp_path / "next", keys, disk=disk, cmdline="version=2"))
    with Guest(image, *options, log=tmp_path / "second") as guest:
        guest.expect("the TPM does not open it", 300)
        guest.expect("PCR 4 is not what it was: the boot programs")
        guest.expect(ASKED)
        guest.process.terminate()


def test_a_pin(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    new_keys(keys)
    image = build(tmp_path, keys, disk='tpm: "1.2"\n  pin: true')
    machine = Machine(tmp_path / "state", keys, tpm=OLD)
    with machine.boot(image, tmp_path / "first") as guest:
        for question in ("New PIN", "The same PIN"):
            guest.expect(question, 300)
            guest.type("13579\n")
        write(guest)
    with machine.boot(image, tmp_path / "second") as guest:
        for answer in ("1234", "13579"):
            guest.expect("PIN of the data partition: ", 300)
            guest.type(f"{answer}\n")
        guest.expect(OPENED, 120)
        guest.expect(STARTED)
    assert "13579" not in guest.text()


def test_a_cleared_tpm(sealed: Sealed, tmp_path: Path) -> None:
    machine, image = in_copy(sealed, tmp_path)
    shutil.rmtree(machine.state / "tpm12")
    console = require_refused(machine, image, tmp_path / "log")
    assert "this is another TPM, or it was cleared" in console
