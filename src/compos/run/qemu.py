"""QEMU's command line for a built system: from options to the virtual machine that they ask for.

May touch: `PATH` (finding the program). Reference: cli.md 4.2; its defects are put right.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from compos.errors import RunError
from compos.run.boot import Boot
from compos.run.disks import Disk
from compos.run.firmware import Firmware
from compos.run.guests import Slot
from compos.run.links import Link
from compos.run.network import Publish, SharedNetwork
from compos.run.shares import socket_path
from compos.run.tpm import tpm_socket
from compos.run.virtual_machine import (
    ARCHITECTURES,
    Channel,
    Console,
    Drive,
    HostFolder,
    VirtualMachine,
    arguments,
)

__all__ = ["Options", "command_line", "find_qemu", "guest_arch", "virtual_machine"]

CD_INDEX = 2
"""Where QEMU puts the first CD; disks leave it out."""


EXEC_WORD = "compos.exec"
"""What init finds on the kernel's command line where it is to run commands of the host's."""
EXEC_CHANNEL = "org.compos.exec"
EXEC_CHANNELS = 4
"""Commands that run at the same time."""

NICKNAMES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that decides the command line. `mem` is in MiB; `accel` is QEMU's name, or several
    with colons.

    `shares` are folders that the guest may mount, served by the program `virtiofsd`; with the
    program `swtpm` it has a TPM, with `tpm12` one of 1.2. `folders` are shared by 9p. A `detached`
    guest runs in the background, and goes on without us unless it is `tied`. In the folder of its
    `slot` are the sockets by which it is controlled; with `exec` commands can be run in it.
    """

    boot: Boot
    state: Path
    mac: str | None
    arch: str = "x86_64"
    accel: str = "tcg"
    cpus: int = 1
    mem: int = 1024
    disks: tuple[Disk, ...] = ()
    metadata: Path | None = None
    publish: tuple[Publish, ...] = ()
    networking: str = "user"
    links: tuple[Link, ...] = ()
    networks: tuple[SharedNetwork, ...] = ()
    firmware: Firmware | None = None
    gui: bool = False
    usb: bool = False
    no_reboot: bool = False
    devices: tuple[str, ...] = ()
    shares: tuple[Path, ...] = ()
    virtiofsd: str = ""
    folders: tuple[HostFolder, ...] = ()
    vsock: int | None = None
    swtpm: str = ""
    tpm12: bool = False
    snapshot: bool = False
    state_disk: Path | None = None
    detached: bool = False
    tied: bool = False
    exec: bool = False
    slot: Slot | None = None
    qemu: str = ""

    @property
    def console(self) -> Path:
        """Where the console goes, of a guest on the terminal besides that."""
        return self.state / "console.log"

    @property
    def pid_file(self) -> Path:
        """Where QEMU writes its process id."""
        return self.state / "qemu.pid"


def guest_arch(name: str) -> str:
    """QEMU's name of an architecture, given that or Go's. Raises `RunError` (`arch-unknown`)."""
    arch = NICKNAMES.get(name, name)
    if arch not in ARCHITECTURES:
        raise RunError(
            "arch-unknown",
            f"the architecture {name!r} is not supported",
            hint=f"Use one of: {', '.join(ARCHITECTURES)}.",
        )
    return arch


def find_qemu(
    arch: str, given: str | None, which: Callable[[str], str | None] = shutil.which
) -> str:
    """The QEMU program for `arch`. Raises `RunError` (`qemu-missing`)."""
    program = given or ARCHITECTURES[arch].program
    found = which(program)
    if found is None:
        raise RunError(
            "qemu-missing",
            f"{program} is not installed",
            hint=f"Install Debian's package {ARCHITECTURES[arch].package}, or set the program with "
            "--qemu.",
        )
    return found


def command_line(options: Options) -> list[str]:
    """The whole argument list, the program first."""
    return arguments(virtual_machine(options))


def virtual_machine(options: Options) -> VirtualMachine:
    """The machine that `options` ask for."""
    boot = options.boot
    cmdline = boot.cmdline
    if boot.disk and not boot.initrd:
        cmdline = f"{cmdline} root={ARCHITECTURES[options.arch].disk}".strip()
    if options.exec and boot.kernel and not boot.uefi:
        cmdline = f"{cmdline} {EXEC_WORD}".strip()
    console: Console | Path = Console.WINDOW if options.gui else Console.TERMINAL
    slot = options.slot
    return VirtualMachine(
        options.arch,
        options.qemu,
        options.accel,
        options.cpus,
        options.mem,
        kernel=boot.kernel,
        initrd=boot.initrd,
        cmdline=cmdline,
        firmware=options.firmware,
        drives=_drives(options),
        boot_order="d" if boot.iso else "",
        networking=options.networking,
        bootfile="" if boot.uefi else boot.url,
        publish=options.publish,
        mac=options.mac,
        links=options.links,
        networks=options.networks,
        folders=options.folders,
        vsock=options.vsock,
        shares=tuple(socket_path(options.state, number) for number in range(len(options.shares))),
        tpm=tpm_socket(options.state) if options.swtpm else None,
        tpm12=options.tpm12,
        console=options.console if options.detached else console,
        console_log=None if options.detached or options.gui else options.console,
        console_socket=slot.console if slot and options.detached else None,
        monitor=slot.monitor if slot else None,
        channels=_channels(slot) if slot and options.exec else (),
        snapshot=options.snapshot,
        state_disk=options.state_disk,
        usb=options.usb,
        reboot=not options.no_reboot,
        devices=options.devices,
        detached=options.detached and not options.tied,
        pid_file=options.pid_file,
    )


def _channels(slot: Slot) -> tuple[Channel, ...]:
    return tuple(
        Channel(f"{EXEC_CHANNEL}.{number}", slot.exec_socket(number))
        for number in range(EXEC_CHANNELS)
    )


def _drives(options: Options) -> tuple[Drive, ...]:
    """What is booted first, then the disks, then the CDs; the disks' indexes go around the CDs'."""
    disks = (*([options.boot.disk] if options.boot.disk else []), *options.disks)
    cds = [path for path in (options.boot.iso, options.metadata) if path]
    made = []
    index = -1
    for disk in disks:
        index += 1
        if cds and index == CD_INDEX:
            index += 1
        made.append(Drive(disk.path, disk.format, index=index))
    for position, path in enumerate(cds):
        number = max(index, CD_INDEX) + position if position else CD_INDEX
        made.append(Drive(path, "raw", cd=True, index=number))
    return tuple(made)
