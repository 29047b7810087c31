"""What running systems needs: QEMU, acceleration that really works, firmware, and what serves
guests."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from compos.api.access import Access
from compos.api.doctor.finding import Finding, Verdict, package, version
from compos.errors import ComposError, RunError
from compos.progress import Silent, listening

__all__ = ["MACHINES"]

AREA = "run"
KVM_PATIENCE = 60.0
"""Seconds for a kernel that starts under KVM, or hangs, and to unpack it."""


def _own() -> str:
    from compos.run.qemu import NICKNAMES

    return NICKNAMES.get(platform.machine(), platform.machine())


def qemu(access: Access) -> Sequence[Finding]:
    """QEMU for each architecture; without that of this machine nothing runs."""
    from compos.run.virtual_machine import ARCHITECTURES

    found = []
    for name, architecture in ARCHITECTURES.items():
        told = version(architecture.program, "--version")
        number = told.removeprefix("QEMU emulator version ").partition(" ")[0]
        if told:
            found.append(Finding(AREA, f"QEMU {name}", Verdict.OK, number))
            continue
        verdict = Verdict.PROBLEM if name == _own() else Verdict.ABSENT
        text = f"not installed: systems for {name} cannot be run"
        found.append(Finding(AREA, f"QEMU {name}", verdict, text, package(architecture.package)))
    if shutil.which("qemu-img") is None:
        text = "not installed: `run --disk size=…` makes raw disks only"
        found.append(Finding(AREA, "qemu-img", Verdict.ABSENT, text, package("qemu-utils")))
    return found


def kvm(access: Access) -> Sequence[Finding]:
    """Acceleration, tried with a real kernel: an open /dev/kvm says little."""
    from compos.run.accel import choose_accel
    from compos.run.qemu import find_qemu

    try:
        program = find_qemu(_own(), None)
    except RunError as error:
        return [Finding(AREA, "KVM", Verdict.ABSENT, error.message)]
    notices = _Notices()
    with tempfile.TemporaryDirectory() as folder:
        with listening(Silent()):
            kernel = _stored_kernel(access, Path(folder))
        with listening(notices):
            chosen = choose_accel(program, kernel, _own(), lambda: access.store)
    if chosen != "tcg":
        return [Finding(AREA, "KVM", Verdict.OK, f"a kernel starts with {chosen}")]
    text = "; ".join(notices.texts) or "it does not work"
    remedy = "modprobe kvm_intel || modprobe kvm_amd"
    if Path("/dev/kvm").exists():
        usable = os.access("/dev/kvm", os.R_OK | os.W_OK)
        remedy = "enable nested virtualisation in the hypervisor" if usable else "adduser $USER kvm"
    return [Finding(AREA, "KVM", Verdict.ABSENT, text, remedy)]


kvm.patience = KVM_PATIENCE  # type: ignore[attr-defined]


class _Notices(Silent):
    """Keeps notices, and shows no progress."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, text: str) -> None:
        """Keeps it."""
        self.texts.append(text)


KERNEL = "compos/kernel:v1"


def _stored_kernel(access: Access, folder: Path) -> Path | None:
    """The kernel of our brick, if the store has it: nothing is fetched for a test."""
    from compos.api.build import BuildOptions, build
    from compos.image.source import canonical_name

    if access.store.resolve(canonical_name(KERNEL)) is None:
        return None
    source = folder / "kvm.yml"
    source.write_text(f"kernel: {{image: '{KERNEL}', modules: []}}\n")
    try:
        build([str(source)], BuildOptions(images=access.options, folder=folder, sbom=None))
    except ComposError:
        return None
    return folder / "kvm-kernel"


def firmware(access: Access) -> Sequence[Finding]:
    """UEFI for each architecture, with Secure Boot where there is one."""
    from compos.run.firmware import KNOWN, PACKAGES, SECURE, SHARE

    found = []
    for arch, places in KNOWN.items():
        secure = _first(SHARE, SECURE.get(arch, ()))
        plain = _first(SHARE, places)
        if plain:
            with_keys = f"; Secure Boot: {secure}" if secure else "; without Secure Boot"
            found.append(Finding(AREA, f"UEFI {arch}", Verdict.OK, f"{plain}{with_keys}"))
        else:
            text = f"no firmware for UEFI systems of {arch}"
            remedy = package(PACKAGES[arch])
            found.append(Finding(AREA, f"UEFI {arch}", Verdict.ABSENT, text, remedy))
    return found


def _first(share: Path, places: Sequence[tuple[str, str]]) -> str:
    return next(
        (
            code
            for code, variables in places
            if (share / code).is_file() and (share / variables).is_file()
        ),
        "",
    )


def helpers(access: Access) -> Sequence[Finding]:
    """Programs and devices that serve guests."""
    from compos.run.hypervisors.microvm import HYPERVISORS
    from compos.run.qemu import find_qemu
    from compos.run.shares import find_virtiofsd

    found = []
    for name in HYPERVISORS:
        if told := version(name, "--version"):
            found.append(Finding(AREA, name, Verdict.OK, told))
        else:
            text = f"not installed: no run {name}"
            remedy = "install a release of the project's; Debian has none"
            found.append(Finding(AREA, name, Verdict.ABSENT, text, remedy))
    told = version("swtpm", "--version")
    if told:
        found.append(Finding(AREA, "TPM", Verdict.OK, told.partition(",")[0]))
    else:
        text = "swtpm is not installed: no run --tpm"
        found.append(Finding(AREA, "TPM", Verdict.ABSENT, text, package("swtpm")))
    try:
        path = find_virtiofsd(find_qemu(_own(), None), "")
        found.append(Finding(AREA, "virtiofs", Verdict.OK, path))
    except RunError as error:
        text = f"{error.message}: no run --virtiofs, use --9p"
        found.append(Finding(AREA, "virtiofs", Verdict.ABSENT, text, package("virtiofsd")))
    if Path("/dev/vhost-vsock").exists():
        found.append(Finding(AREA, "vsock", Verdict.OK, "/dev/vhost-vsock"))
    else:
        text = "no /dev/vhost-vsock: no run --vsock"
        found.append(Finding(AREA, "vsock", Verdict.ABSENT, text, "modprobe vhost_vsock"))
    return found


MACHINES = (qemu, kvm, firmware, helpers)
