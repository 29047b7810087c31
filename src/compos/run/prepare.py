"""From what the user asks for to QEMU's options: what was said is checked, then the state directory
is filled.

May touch: the state directory, disk files that the user names; tries ports and, once a boot of this
machine, KVM.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compos.arithmetic import align_up
from compos.errors import RunError
from compos.run.accel import choose_accel
from compos.run.boot import Boot, find_boot
from compos.run.disks import Disk, make_disks
from compos.run.firmware import find_firmware
from compos.run.metadata import write_metadata
from compos.run.network import Publish, check_free, mac_address
from compos.run.qemu import Options, find_qemu, guest_arch
from compos.run.shares import find_virtiofsd

if TYPE_CHECKING:
    from compos.image.store import Store

__all__ = ["RunRequest", "prepare"]

KERNEL_ROOM = 48
"""MiB that a kernel takes for itself before it unpacks anything."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a user says; empty means: the usual one. `store` returns the one that has the KVM
    probe's verdict, and may raise `ImageError`; `mem` is in MiB.

    `firmware` names one and asks for UEFI; `uefi` alone takes the system's. `metadata` goes onto a
    CD.
    """

    path: Path
    store: Callable[[], Store]
    kind: str = ""
    arch: str = ""
    accel: str = ""
    qemu: str = ""
    state: Path | None = None
    cpus: int = 1
    mem: int = 1024
    disks: tuple[Disk, ...] = ()
    metadata: bytes = b""
    publish: tuple[Publish, ...] = ()
    networking: str = "user"
    uefi: bool = False
    firmware: Path | None = None
    gui: bool = False
    usb: bool = False
    no_reboot: bool = False
    devices: tuple[str, ...] = ()
    shares: tuple[Path, ...] = ()
    virtiofsd: str = ""
    detached: bool = False


def prepare(request: RunRequest) -> Options:
    """Check `request`, make its state directory, disks and address, and choose the accelerator.
    Raises `RunError`."""
    arch = guest_arch(request.arch or platform.machine())
    boot = find_boot(request.path, kind=request.kind)
    if request.publish and request.networking != "user":
        raise RunError(
            "publish-networking",
            "ports can be published only with user networking",
            place=f"--networking {request.networking}",
            hint="Remove --networking, or connect to the guest at its own address.",
        )
    _check_memory(boot, request.mem)
    if request.gui and request.detached:
        raise RunError(
            "detached-gui",
            "a detached guest cannot have a window",
            hint="Remove --gui or --detached.",
        )
    program = find_qemu(arch, request.qemu)
    virtiofsd = find_virtiofsd(program, request.virtiofsd) if request.shares else ""
    check_free(request.publish)
    state = request.state or boot.prefix.with_name(f"{boot.prefix.name}-state")
    state.parent.mkdir(parents=True, exist_ok=True)
    # The guest's console, its disks and its metadata are the user's own.
    state.mkdir(mode=0o700, exist_ok=True)
    _check_owner(state)
    # Only PCs have a BIOS; a kernel that QEMU loads itself needs neither.
    uefi = (
        request.uefi
        or bool(request.firmware)
        or boot.uefi
        or (boot.kernel is None and arch != "x86_64")
    )
    metadata = state / "data.iso" if request.metadata else None
    if metadata:
        write_metadata(request.metadata, metadata)
    return Options(
        boot,
        state,
        None if request.networking == "none" else mac_address(state),
        arch=arch,
        cpus=request.cpus,
        mem=request.mem,
        disks=make_disks(request.disks, state),
        metadata=metadata,
        publish=request.publish,
        networking=request.networking,
        firmware=find_firmware(arch, request.firmware, state) if uefi else None,
        gui=request.gui,
        usb=request.usb,
        no_reboot=request.no_reboot,
        devices=request.devices,
        shares=request.shares,
        virtiofsd=virtiofsd,
        detached=request.detached,
        qemu=program,
        accel=choose_accel(program, boot.kernel, arch, request.store, asked=request.accel),
    )


def _check_owner(state: Path) -> None:
    """What others put there, a link for a disk, QEMU would write to."""
    status = state.stat()
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o002:
        raise RunError(
            "state-foreign",
            "other users can write to the state folder",
            place=str(state),
            hint="Choose another folder with --state, or make it writable only for you: chown, "
            "chmod o-w.",
        )


def _check_memory(boot: Boot, mem: int) -> None:
    """A root in memory is there twice at first, packed and unpacked: less than that ends with files
    missing."""
    if boot.initrd is None or boot.kernel is None:
        return
    needed = (boot.kernel.stat().st_size + 2 * boot.initrd.stat().st_size >> 20) + KERNEL_ROOM
    if mem < needed:
        raise RunError(
            "memory-too-small",
            f"this system needs at least {needed} MiB to be unpacked, but the machine would have "
            f"{mem}",
            place=str(boot.initrd),
            hint=f"Use --mem {align_up(needed, 256)}, or build with the root on a disk: compos "
            "build --root erofs.",
        )
