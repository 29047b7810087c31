"""QEMU's command line for a built system: a pure function of options.

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
from compos.run.shares import share_arguments

__all__ = [
    "MACHINES",
    "Guest",
    "Options",
    "command_line",
    "find_qemu",
    "guest_arch",
    "machine_arguments",
]

CD_INDEX = 2
"""Where QEMU puts the first CD; disks leave it out."""


@dataclass(frozen=True, slots=True)
class Guest:
    """What an architecture's virtual machine needs. `cpu` is what QEMU emulates well; None leaves
    the choice to QEMU.

    `bus` is how drives are attached, empty where QEMU's own choice is right: its riscv64 machine
    would leave them out. `disk` is what Linux calls the first of them, `console` the serial port.
    """

    program: str
    package: str
    machine: str
    bus: str
    disk: str
    console: str
    cpu: str | None = None
    emulation: str = "tcg"


MACHINES = {
    # With a thread for each CPU, a guest on QEMU 7.2 now and then meets the breakpoint with which
    # its kernel patches code after it is gone: `Oops: int3` in 1 of 19 boots with two CPUs, in 0 of
    # 12 with one thread. The price where much starts at once: 22 s instead of 17 until the services
    # of examples/web.yml ran. `--accel tcg,thread=multi` takes the risk.
    "x86_64": Guest(
        "qemu-system-x86_64",
        "qemu-system-x86",
        "q35",
        "",
        "/dev/sda",
        "ttyS0",
        emulation="tcg,thread=single",
    ),
    # `max` is three times slower to boot than this one under TCG (ecosystem survey).
    "aarch64": Guest(
        "qemu-system-aarch64",
        "qemu-system-arm",
        "virt",
        "virtio",
        "/dev/vda",
        "ttyAMA0",
        "cortex-a57",
    ),
    "riscv64": Guest(
        "qemu-system-riscv64", "qemu-system-misc", "virt", "virtio", "/dev/vda", "ttyS0"
    ),
}
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
    if arch not in MACHINES:
        raise RunError(
            "arch-unknown",
            f"there is no machine for {name!r}",
            hint=f"Architectures are: {', '.join(MACHINES)}.",
        )
    return arch


def find_qemu(
    arch: str, given: str | None, which: Callable[[str], str | None] = shutil.which
) -> str:
    """The QEMU program for `arch`. Raises `RunError` (`qemu-missing`)."""
    program = given or MACHINES[arch].program
    found = which(program)
    if found is None:
        raise RunError(
            "qemu-missing",
            f"{program} is not installed",
            hint=f"Install Debian's package {MACHINES[arch].package}, or name the program with "
            "--qemu.",
        )
    return found


def command_line(options: Options) -> list[str]:
    """The whole argument list, the program first."""
    guest = MACHINES[options.arch]
    line = [options.qemu or guest.program, "-smp", str(options.cpus), "-m", str(options.mem)]
    line += ["-pidfile", str(options.pid_file)]
    line += machine_arguments(options.arch, options.accel)
    line += [
        "-object",
        "rng-random,id=rng0,filename=/dev/urandom",
        "-device",
        "virtio-rng-pci,rng=rng0",
    ]
    line += _drives(options)
    if options.firmware:
        line += _flash(options.firmware)
    line += _kernel(options.boot, guest)
    line += _network(options)
    line += share_arguments(options.state, len(options.shares), options.mem)
    line += _display(options)
    if options.usb:
        line += ["-usb"]
    if options.no_reboot:
        line += ["-no-reboot"]
    for device in options.devices:
        line += ["-device", device]
    return line


def machine_arguments(arch: str, accel: str) -> list[str]:
    """Machine, CPU and accelerators. `host` is for a certain hardware one; `max` is what a list
    that may end in TCG can do."""
    guest = MACHINES[arch]
    certain = accel.startswith(("kvm", "hvf")) and ":" not in accel
    cpu = "host" if certain else "max" if ":" in accel else guest.cpu
    # Only KVM knows the host's interrupt controller; `max` is the best of whatever is taken in the
    # end.
    gic = {"kvm": ",gic-version=host"}.get(accel, ",gic-version=max" if ":" in accel else "")
    line = ["-cpu", cpu] if cpu else []
    line += ["-machine", f"{guest.machine}{gic if arch == 'aarch64' else ''}"]
    for name in accel.split(":"):
        line += ["-accel", guest.emulation if name == "tcg" else name]
    return line


def _display(options: Options) -> list[str]:
    """The console: this terminal, QEMU's window, or a file for a guest that outlives this
    process."""
    if options.detached:
        path = str(options.console).replace(",", ",,")
        return [
            "-display",
            "none",
            "-chardev",
            f"file,id=console,path={path}",
            "-serial",
            "chardev:console",
            "-daemonize",
        ]
    return [] if options.gui else ["-nographic"]


def _kernel(boot: Boot, guest: Guest) -> list[str]:
    if boot.kernel is None:
        return []
    line = ["-kernel", str(boot.kernel)]
    cmdline = boot.cmdline
    if boot.initrd:
        line += ["-initrd", str(boot.initrd)]
    if boot.disk and not boot.initrd:
        cmdline = f"{cmdline} root={guest.disk}".strip()
    return [*line, "-append", cmdline] if cmdline else line


def _drives(options: Options) -> list[str]:
    line = []
    bus = f",if={MACHINES[options.arch].bus}" if MACHINES[options.arch].bus else ""
    cds = [path for path in (options.boot.iso, options.metadata) if path]
    index = -1
    for disk in (*([options.boot.disk] if options.boot.disk else []), *options.disks):
        index += 1
        if cds and index == CD_INDEX:
            index += 1
        form = f",format={disk.format}" if disk.format else ""
        line += ["-drive", f"file={_escaped(disk.path)}{form},index={index},media=disk{bus}"]
    if options.boot.iso is not None:
        line += ["-boot", "d"]
    for position, path in enumerate(cds):
        number = max(index, CD_INDEX) + position if position else CD_INDEX
        line += ["-drive", f"file={_escaped(path)},format=raw,index={number},media=cdrom{bus}"]
    return line


def _flash(firmware: Firmware) -> list[str]:
    line = ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_escaped(firmware.code)}"]
    if firmware.variables:
        line += ["-drive", f"if=pflash,unit=1,format=raw,file={_escaped(firmware.variables)}"]
    return line


def _network(options: Options) -> list[str]:
    if options.networking == "none":
        return ["-net", "none"]
    kind, _, name = options.networking.partition(",")
    if kind == "tap":
        backend = f"tap,id=t0,ifname={name},script=no,downscript=no"
    elif kind == "bridge":
        backend = f"bridge,id=t0,br={name}"
    else:
        backend = "user,id=t0" + "".join(
            f",hostfwd={rule.protocol}:{rule.address}:{rule.host}-:{rule.guest}"
            for rule in options.publish
        )
    mac = f",mac={options.mac}" if options.mac else ""
    # Nothing boots from the network here, and Debian's qemu-system-arm does not bring the boot ROM.
    return ["-device", f"virtio-net-pci,netdev=t0,romfile={mac}", "-netdev", backend]


def _escaped(path: Path) -> str:
    """A file name in a drive's option: QEMU reads two commas as one, and `NAME:` in front as a
    protocol."""
    text = str(path)
    local = f"./{text}" if ":" in text and not path.is_absolute() else text
    return local.replace(",", ",,")
