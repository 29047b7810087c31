"""UEFI firmware for a guest: where distributions keep it, and the guest's own copy of its
variables.

May touch: the state directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compos.errors import RunError
from compos.output.place import put_file

if TYPE_CHECKING:
    from compos.trust.key_set import KeySet

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
SECURE = {
    "x86_64": (
        ("OVMF/OVMF_CODE_4M.secboot.fd", "OVMF/OVMF_VARS_4M.fd"),
        ("OVMF/OVMF_CODE.secboot.fd", "OVMF/OVMF_VARS.fd"),
        ("edk2/ovmf/OVMF_CODE.secboot.fd", "edk2/ovmf/OVMF_VARS.fd"),
        ("edk2/x64/OVMF_CODE.secboot.4m.fd", "edk2/x64/OVMF_VARS.4m.fd"),
    ),
    "aarch64": (("AAVMF/AAVMF_CODE.secboot.fd", "AAVMF/AAVMF_VARS.fd"),),
}
"""Firmware that can check what it starts, with variables that hold no keys yet."""
PACKAGES = {"x86_64": "ovmf", "aarch64": "qemu-efi-aarch64", "riscv64": "qemu-efi-riscv64"}


@dataclass(frozen=True, slots=True)
class Firmware:
    """A flash image, read-only, and the file that keeps this guest's boot variables."""

    code: Path
    variables: Path | None = None
    secure: bool = False
    """Whether only the firmware, in system management mode, may write the variables."""


def find_firmware(
    arch: str,
    given: Path | None,
    state: Path,
    share: Path = SHARE,
    *,
    keys: KeySet | None = None,
    url: str = "",
) -> Firmware:
    """The firmware `given`, else the first that is installed, its variables kept in
    `state/efi-vars.fd`.

    With `keys`, it is one that enforces Secure Boot, and these keys are enrolled in the variables,
    which are then kept in `state/efi-vars-secure.fd`. With a `url`, the variables are new ones, in
    `state/efi-vars-netboot.fd`, and say that the program there is booted. A given image has no
    variables that last: it may be one that carries its own. Raises `RunError` (`firmware-missing`,
    `firmware-variables`).
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
    for code, template in SECURE.get(arch, ()) if keys else KNOWN[arch]:
        if (share / code).is_file() and (share / template).is_file():
            kind = "-netboot" if url else "-secure" if keys else ""
            variables = state / f"efi-vars{kind}.fd"
            if url or not variables.exists():
                put_file(variables, _variables(share / template, keys, url), secret=True)
            return Firmware(share / code, variables, secure=keys is not None)
    kind = "UEFI firmware with Secure Boot" if keys else "UEFI firmware"
    raise RunError("firmware-missing", f"no {kind} for {arch} is installed", hint=_hint(arch))


def _variables(template: Path, keys: KeySet | None, url: str) -> bytes:
    data = template.read_bytes()
    if keys is None and not url:
        return data
    from compos.boot.enrolment import enrolled
    from compos.boot.load_option import only_url
    from compos.boot.variable_store import with_variables

    try:
        data = enrolled(data, keys) if keys else data
        return with_variables(data, only_url(url)) if url else data
    except ValueError as error:
        raise RunError(
            "firmware-variables",
            f"nothing can be added to the firmware's variables: {error}",
            place=str(template),
            hint="Use the variables that Debian's package of the firmware has.",
        ) from error


def _hint(arch: str) -> str:
    return f"Install Debian's package {PACKAGES[arch]}, or set the firmware file with --fw."
