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
from compos.run.network import Publish
from compos.run.shares import socket_path
from compos.run.virtual_machine import (
    ARCHITECTURES,
    Console,
    Drive,
    VirtualMachine,
    arguments,
)

__all__ = ["Options", "command_line", "find_qemu", "guest_arch", "virtual_machine"]

CD_INDEX = 2
"""Where QEMU puts the first CD; disks leave it out."""


NICKNAMES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that decides the command line. `mem` is in MiB; `accel` is QEMU's name, or several
    with colons.

    `shares` are folders that the guest may mount, served by the program `virtiofsd`. A `detached`
    guest goes on without us.
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
    firmware: Firmware | None = None
    gui: bool = False
    usb: bool = False
    no_reboot: bool = False
    devices: tuple[str, ...] = ()
    shares: tuple[Path, ...] = ()
    virtiofsd: str = ""
    detached: bool = False
    qemu: str = ""

    @property
    def console(self) -> Path:
        """Where the console of a detached guest goes."""
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
    console: Console | Path = Console.WINDOW if options.gui else Console.TERMINAL
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
        publish=options.publish,
        mac=options.mac,
        shares=tuple(socket_path(options.state, number) for number in range(len(options.shares))),
        console=options.console if options.detached else console,
        usb=options.usb,
        reboot=not options.no_reboot,
        devices=options.devices,
        detached=options.detached,
        pid_file=options.pid_file,
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
