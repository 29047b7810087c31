"""Where UEFI firmware is found, and that a guest has its own variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run.firmware import Firmware, find_firmware


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
