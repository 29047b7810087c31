"""QEMU's command line for a built system: a pure function of options, and starting it.

May touch: `PATH` (finding programs), the state directory. Reference: cli.md 4.2; its defects are put right.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from compos.errors import RunError
from compos.run.boot import Boot
from compos.run.disks import Disk
from compos.run.network import Publish

__all__ = ["MACHINES", "Machine", "Options", "command_line", "find_qemu", "launch"]


@dataclass(frozen=True, slots=True)
class Guest:
    """What an architecture's virtual machine needs. `cpu` is what QEMU emulates well; None leaves the choice to QEMU."""

    program: str
    package: str
    machine: str
    cpu: str | None = None


MACHINES = {
    "x86_64": Guest("qemu-system-x86_64", "qemu-system-x86", "q35"),
    # `max` is three times slower to boot than this one under TCG (ecosystem survey).
    "aarch64": Guest("qemu-system-aarch64", "qemu-system-arm", "virt", "cortex-a57"),
    "riscv64": Guest("qemu-system-riscv64", "qemu-system-misc", "virt"),
}


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that decides the command line. `mem` is in MiB; `accel` is QEMU's name."""

    boot: Boot
    state: Path
    mac: str | None
    arch: str = "x86_64"
    accel: str = "tcg"
    cpus: int = 1
    mem: int = 1024
    disks: tuple[Disk, ...] = ()
    publish: tuple[Publish, ...] = ()
    networking: str = "user"
    firmware: Path | None = None
    gui: bool = False
    usb: bool = False
    no_reboot: bool = False
    devices: tuple[str, ...] = ()
    qemu: str = ""


def find_qemu(arch: str, given: str | None, which: Callable[[str], str | None] = shutil.which) -> str:
    """The QEMU program for `arch`. Raises `RunError` (`arch-unknown`, `qemu-missing`)."""
    if arch not in MACHINES:
        raise RunError(
            "arch-unknown", f"there is no machine for {arch!r}", hint=f"Architectures are: {', '.join(MACHINES)}."
        )
    program = given or MACHINES[arch].program
    found = which(program)
    if found is None:
        raise RunError(
            "qemu-missing",
            f"{program} is not installed",
            hint=f"Install Debian's package {MACHINES[arch].package}, or name the program with --qemu.",
        )
    return found


def command_line(options: Options) -> list[str]:
    """The whole argument list, the program first."""
    guest = MACHINES[options.arch]
    line = [options.qemu or guest.program, "-smp", str(options.cpus), "-m", str(options.mem)]
    line += ["-pidfile", str(options.state / "qemu.pid")]
    hardware = options.accel.startswith(("kvm", "hvf"))
    if hardware:
        line += ["-cpu", "host"]
    elif guest.cpu:
        line += ["-cpu", guest.cpu]
    gic = ",gic-version=host" if hardware and options.arch == "aarch64" else ""
    line += ["-machine", f"{guest.machine}{gic},accel={options.accel}"]
    line += ["-object", "rng-random,id=rng0,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng0"]
    line += _drives(options)
    if options.firmware:
        line += ["-drive", f"if=pflash,format=raw,readonly=on,file={_escaped(options.firmware)}"]
    line += options.boot.arguments
    line += _network(options)
    if not options.gui:
        line += ["-nographic"]
    if options.usb:
        line += ["-usb"]
    if options.no_reboot:
        line += ["-no-reboot"]
    for device in options.devices:
        line += ["-device", device]
    return line


def _drives(options: Options) -> list[str]:
    line = []
    index = 0
    for disk in (*options.boot.disks, *options.disks):
        if options.boot.iso is not None and index == 2:
            index = 3  # the CD drive has index 2
        form = f",format={disk.format}" if disk.format else ""
        line += ["-drive", f"file={_escaped(disk.path)}{form},index={index},media=disk"]
        index += 1
    if options.boot.iso is not None:
        line += ["-boot", "d", "-cdrom", str(options.boot.iso)]
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
            f",hostfwd={rule.protocol}:{rule.address}:{rule.host}-:{rule.guest}" for rule in options.publish
        )
    mac = f",mac={options.mac}" if options.mac else ""
    return ["-device", f"virtio-net-pci,netdev=t0{mac}", "-netdev", backend]


def _escaped(path: Path) -> str:
    """A file name inside a comma-separated option: QEMU reads two commas as one."""
    return str(path).replace(",", ",,")


@dataclass(frozen=True, slots=True)
class Machine:
    """A running guest; its console is this process's standard input and output."""

    process: subprocess.Popen[bytes]

    def wait(self) -> int:
        """Wait for QEMU's end. While it runs, ctrl-c belongs to the guest's console. Returns its exit status."""
        while True:
            try:
                return self.process.wait()
            except KeyboardInterrupt:
                continue

    def stop(self) -> None:
        """End QEMU now."""
        self.process.terminate()
        self.process.wait()


def launch(options: Options) -> Machine:
    """Start QEMU. Raises `RunError`."""
    try:
        return Machine(subprocess.Popen(command_line(options)))
    except OSError as error:
        raise RunError("qemu-failed", f"QEMU cannot be started: {error.strerror}", place=options.qemu) from error
