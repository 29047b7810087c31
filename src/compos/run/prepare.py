"""From what the user asks for to QEMU's options: what was said is checked, then the state directory
is filled.

May touch: the state directory, disk files that the user names; tries ports and, once a boot of this
machine, KVM.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from compos.arithmetic import align_up
from compos.errors import RunError
from compos.run.accel import choose_accel
from compos.run.boot import Boot, find_boot, network_boot
from compos.run.disks import Disk, make_disks
from compos.run.firmware import find_firmware
from compos.run.guests import Record, Slot, guests, take_slot
from compos.run.links import take_links
from compos.run.metadata import write_metadata
from compos.run.network import (
    Publish,
    SharedNetwork,
    check_free,
    mac_address,
    shared_network,
)
from compos.run.qemu import Options, find_qemu, guest_arch
from compos.run.shares import find_virtiofsd
from compos.run.snapshots import STATE_DISK, make_state_disk
from compos.run.state import make_state
from compos.run.tpm import find_swtpm
from compos.run.virtual_machine import HostFolder
from compos.trust.key_set import KeySet

if TYPE_CHECKING:
    from compos.image.store import Store

__all__ = ["RunRequest", "prepare"]

KERNEL_ROOM = 48
"""MiB that a kernel takes for itself before it unpacks anything."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a user says; empty means: the usual one. `store` returns the one that has the KVM
    probe's verdict, and may raise `ImageError`; `mem` is in MiB.

    `firmware` names one and asks for UEFI; `uefi` alone takes the system's. `secure_boot` is a
    folder of keys, and asks for a firmware that has them enrolled and starts nothing else.
    With a `url` the machine boots from the network, and `path` means nothing. `metadata` goes onto
    a CD. Each of `links` is the folder of a cable to another guest, each of `networks` the name of
    a network of several. `folders` are shared by 9p, `shares` by virtiofs. `name` is what the guest
    is called while it runs. With `exec` commands can be run in it. With `snapshots` its state can
    be kept and put back; no disk is written to then. A `detached` guest goes on when this process
    has ended, unless it is `tied` to it.
    """

    path: Path
    store: Callable[[], Store]
    url: str = ""
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
    links: tuple[Path, ...] = ()
    uefi: bool = False
    firmware: Path | None = None
    secure_boot: Path | None = None
    gui: bool = False
    usb: bool = False
    no_reboot: bool = False
    devices: tuple[str, ...] = ()
    shares: tuple[Path, ...] = ()
    virtiofsd: str = ""
    tpm: bool = False
    tpm12: bool = False
    networks: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    vsock: int | None = None
    snapshot: bool = False
    snapshots: bool = False
    detached: bool = False
    tied: bool = False
    exec: bool = False
    name: str = ""


def prepare(request: RunRequest) -> Options:
    """Check `request`, make its state directory, disks and address, and choose the accelerator.
    Raises `RunError`."""
    arch = guest_arch(request.arch or platform.machine())
    boot = network_boot(request.url) if request.url else find_boot(request.path, kind=request.kind)
    if request.publish and request.networking != "user":
        raise RunError(
            "publish-networking",
            "ports can be published only with user networking",
            place=f"--networking {request.networking}",
            hint="Remove --networking, or connect to the guest at its own address.",
        )
    _check_memory(boot, request.mem)
    if boot.url:
        _check_network(request, boot, arch)
    if request.gui and request.detached:
        raise RunError(
            "detached-gui",
            "a detached guest cannot have a window",
            hint="Remove --gui or --detached.",
        )
    program = find_qemu(arch, request.qemu)
    virtiofsd = find_virtiofsd(program, request.virtiofsd) if request.shares else ""
    swtpm = find_swtpm(arch, old=request.tpm12) if request.tpm or request.tpm12 else ""
    check_free(request.publish)
    state = request.state or boot.prefix.with_name(f"{boot.prefix.name}-state")
    make_state(state)
    # Only PCs have a BIOS; a kernel that QEMU loads itself needs neither.
    uefi = (
        request.uefi
        or bool(request.firmware)
        or bool(request.secure_boot)
        or boot.uefi
        or (boot.kernel is None and arch != "x86_64")
    )
    keys = KeySet(request.secure_boot) if request.secure_boot else None
    metadata = state / "data.iso" if request.metadata else None
    if metadata:
        write_metadata(request.metadata, metadata)
    options = Options(
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
        firmware=find_firmware(arch, request.firmware, state, keys=keys, url=boot.url)
        if uefi
        else None,
        gui=request.gui,
        usb=request.usb,
        no_reboot=request.no_reboot,
        devices=request.devices,
        shares=request.shares,
        virtiofsd=virtiofsd,
        swtpm=swtpm,
        tpm12=request.tpm12,
        detached=request.detached,
        tied=request.tied,
        qemu=program,
        accel=choose_accel(program, boot.kernel, arch, request.store, asked=request.accel),
        networks=_networks(request, state),
        folders=_folders(request.folders),
        vsock=request.vsock,
        # QEMU keeps states of qcow2 only: each writable disk gets one of those in front.
        snapshot=request.snapshot or request.snapshots,
        state_disk=state / STATE_DISK if request.snapshots else None,
        exec=request.exec,
    )
    _check_free_state(state)
    if options.state_disk:
        make_state_disk(options.state_disk)
    # Last: what has been taken is given back only by `launch`.
    slot = take_slot(request.name, boot.prefix.name)
    try:
        slot.write(_record(slot, request, options))
        links = take_links(
            [(folder, mac_address(state, card)) for card, folder in enumerate(request.links, 1)]
        )
    except BaseException:
        slot.give_up()
        raise
    return replace(options, slot=slot, links=links)


def _check_free_state(state: Path) -> None:
    """Two guests would share their disks, addresses and console."""
    for guest in guests():
        if guest.runs and guest.record.state == str(state.absolute()):
            raise RunError(
                "state-in-use",
                f"the guest {guest.record.name} is running with this state directory",
                place=str(state),
                hint=f"End it with compos stop {guest.record.name}, or name another one with "
                "--state.",
            )


def _networks(request: RunRequest, state: Path) -> tuple[SharedNetwork, ...]:
    first = len(request.links) + 1
    return tuple(
        shared_network(name, mac_address(state, card))
        for card, name in enumerate(request.networks, first)
    )


def _folders(paths: tuple[Path, ...]) -> tuple[HostFolder, ...]:
    for path in paths:
        if not path.is_dir():
            raise RunError("share-missing", "the folder to share does not exist", place=str(path))
    return tuple(HostFolder(path.absolute(), f"9p{number}") for number, path in enumerate(paths))


def _record(slot: Slot, request: RunRequest, options: Options) -> Record:
    return Record(
        slot.name,
        str(request.path.absolute()),
        str(options.state.absolute()),
        options.arch,
        options.mem,
        options.cpus,
        time.time(),
        console=str(options.console.absolute()) if options.detached else "",
        publish=tuple(
            f"{rule.address}:{rule.host}:{rule.guest}/{rule.protocol}" for rule in options.publish
        ),
        exec=options.exec,
        secure_boot=request.secure_boot is not None,
        tpm=request.tpm or request.tpm12,
    )


def _check_network(request: RunRequest, boot: Boot, arch: str) -> None:
    """What boots from the network is told where, in ways that not every machine has."""
    bios = not boot.uefi
    reason = ""
    if bios and (arch != "x86_64" or request.uefi or request.firmware or request.secure_boot):
        reason = "UEFI firmware boots only programs, whose names end in .efi"
    elif bios and request.networking != "user":
        reason = "only QEMU's user network tells iPXE what to boot"
    elif request.firmware:
        reason = "firmware that is given has no variables that say what to boot"
    elif request.networking == "none":
        reason = "there is no network"
    if reason:
        raise RunError(
            "netboot-firmware",
            reason,
            place=boot.url,
            hint="Boot /boot.ipxe with the BIOS, /boot.efi with UEFI, and remove --fw and "
            "--networking.",
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
