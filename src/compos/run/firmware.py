"""UEFI firmware for a guest: where distributions keep it, and the guest's own copy of its
variables.

May touch: the state directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compos.errors import RunError
from compos.output.place import put_file

__all__ = ["Firmware", "find_firmware"]

SHARE = Path("/usr/share")
KNOWN = {
    # Debian's places first, then Fedora's and Arch's, then the builds that QEMU itself ships.
    "x86_64": (
        ("OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_VARS_4M.fd"),
        ("OVMF/OVMF_CODE.fd", "OVMF/OVMF_VARS.fd"),
        ("edk2/ovmf/OVMF_CODE.fd", "edk2/ovmf/OVMF_VARS.fd"),
        ("edk2/x64/OVMF_CODE.4m.fd", "edk2/x64/OVMF_VARS.4m.fd"),
        ("qemu/edk2-x86_64-code.fd", "qemu/edk2-i386-vars.fd"),
    ),
    "aarch64": (
        ("AAVMF/AAVMF_CODE.fd", "AAVMF/AAVMF_VARS.fd"),
        ("edk2/aarch64/QEMU_EFI-pflash.raw", "edk2/aarch64/vars-template-pflash.raw"),
        ("qemu/edk2-aarch64-code.fd", "qemu/edk2-arm-vars.fd"),
    ),
    "riscv64": (
        ("qemu-efi-riscv64/RISCV_VIRT_CODE.fd", "qemu-efi-riscv64/RISCV_VIRT_VARS.fd"),
        ("qemu/edk2-riscv-code.fd", "qemu/edk2-riscv-vars.fd"),
    ),
}
PACKAGES = {"x86_64": "ovmf", "aarch64": "qemu-efi-aarch64", "riscv64": "qemu-efi-riscv64"}


@dataclass(frozen=True, slots=True)
class Firmware:
    """A flash image, read-only, and the file that keeps this guest's boot variables."""

    code: Path
    variables: Path | None = None


def find_firmware(arch: str, given: Path | None, state: Path, share: Path = SHARE) -> Firmware:
    """The firmware `given`, else the first that is installed, its variables kept in
    `state/efi-vars.fd`.

    A given image has no variables that last: it may be one that carries its own. Raises `RunError`
    (`firmware-missing`).
    """
    if given:
        if not given.is_file():
            raise RunError(
                "firmware-missing",
                "the firmware file does not exist",
                place=str(given),
                hint=_hint(arch),
            )
        return Firmware(given)
    for code, template in KNOWN[arch]:
        if (share / code).is_file() and (share / template).is_file():
            variables = state / "efi-vars.fd"
            if not variables.exists():
                put_file(variables, (share / template).read_bytes(), secret=True)
            return Firmware(share / code, variables)
    raise RunError(
        "firmware-missing", f"no UEFI firmware for {arch} is installed", hint=_hint(arch)
    )


def _hint(arch: str) -> str:
    return f"Install Debian's package {PACKAGES[arch]}, or set the firmware file with --fw."
