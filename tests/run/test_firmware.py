"""Where UEFI firmware is found, and that a guest has its own variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.api.keys import new_keys
from compos.errors import RunError
from compos.run.firmware import Firmware, find_firmware
from compos.trust.key_set import KeySet


def install(share: Path, *names: str) -> None:
    for name in names:
        (share / name).parent.mkdir(parents=True, exist_ok=True)
        (share / name).write_text(name)


def test_the_first_whole_pair_is_taken(tmp_path: Path) -> None:
    share, state = tmp_path / "share", tmp_path
    install(
        share,
        "OVMF/OVMF_CODE_4M.fd",
        "OVMF/OVMF_CODE.fd",
        "OVMF/OVMF_VARS.fd",
        "qemu/edk2-x86_64-code.fd",
    )
    variables = tmp_path / "efi-vars.fd"
    assert find_firmware("x86_64", None, state, share) == Firmware(
        share / "OVMF/OVMF_CODE.fd", variables
    )
    assert variables.read_text() == "OVMF/OVMF_VARS.fd"
    variables.write_text("what the guest set")
    find_firmware("x86_64", None, state, share)
    assert variables.read_text() == "what the guest set"


def test_a_given_one_is_taken_as_it_is(tmp_path: Path) -> None:
    install(tmp_path, "my.fd")
    assert find_firmware("x86_64", tmp_path / "my.fd", tmp_path, tmp_path) == Firmware(
        tmp_path / "my.fd"
    )


@pytest.mark.parametrize(
    ("arch", "package"),
    [("x86_64", "ovmf"), ("aarch64", "qemu-efi-aarch64"), ("riscv64", "qemu-efi-riscv64")],
)
def test_none_names_the_package(tmp_path: Path, arch: str, package: str) -> None:
    for given in (None, tmp_path / "missing.fd"):
        with pytest.raises(RunError) as caught:
            find_firmware(arch, given, tmp_path, tmp_path)
        assert caught.value.id == "firmware-missing"
        assert package in (caught.value.hint or "")


@pytest.mark.slow
def test_secure_boot_has_firmware_and_variables_of_its_own(tmp_path: Path) -> None:
    new_keys(tmp_path / "keys")
    keys = KeySet(tmp_path / "keys")
    install(tmp_path / "share", "OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_CODE_4M.secboot.fd")
    template = tmp_path / "share/OVMF/OVMF_VARS_4M.fd"
    template.write_bytes(Path("/usr/share/OVMF/OVMF_VARS_4M.fd").read_bytes())
    found = find_firmware("x86_64", None, tmp_path, tmp_path / "share", keys=keys)
    variables = tmp_path / "efi-vars-secure.fd"
    code = tmp_path / "share/OVMF/OVMF_CODE_4M.secboot.fd"
    assert found == Firmware(code, variables, secure=True)
    assert keys.certified("PK").certificate in variables.read_bytes()
    # What the guest has changed stays.
    variables.write_bytes(b"changed")
    find_firmware("x86_64", None, tmp_path, tmp_path / "share", keys=keys)
    assert variables.read_bytes() == b"changed"


@pytest.mark.slow
def test_secure_boot_without_what_it_needs(tmp_path: Path) -> None:
    new_keys(tmp_path / "keys")
    keys = KeySet(tmp_path / "keys")
    install(tmp_path, "OVMF/OVMF_CODE_4M.secboot.fd", "OVMF/OVMF_VARS_4M.fd")
    for arch, id in (("x86_64", "firmware-variables"), ("riscv64", "firmware-missing")):
        with pytest.raises(RunError) as caught:
            find_firmware(arch, None, tmp_path, tmp_path, keys=keys)
        assert caught.value.id == id
    assert not (tmp_path / "efi-vars-secure.fd").exists()
