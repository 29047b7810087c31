"""A virtual machine as data, and the arguments of QEMU that make it: what `run`, the tests and the
benchmarks boot.

Pure. `ARGUMENTS` is the whole command line, one function for each part of the machine: a new part
is a field, a function, and its place there. Source: qemu(1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from compos.run.firmware import Firmware
from compos.run.links import Link
from compos.run.network import LOOPBACK, Publish, SharedNetwork
from compos.run.tpm import tpm_device

__all__ = [
    "ARCHITECTURES",
    "BUSES",
    "STATE_NODE",
    "Architecture",
    "Channel",
    "Console",
    "Drive",
    "HostFolder",
    "VirtualMachine",
    "arguments",
]

STATE_NODE = "vmstate"
"""What QEMU calls the file that snapshots of the machine are in."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What an architecture's virtual machine needs. `cpu` is what QEMU emulates well; None leaves
    the choice to QEMU.

    `interface` is how drives are attached that name no bus, empty where QEMU's own choice is right:
    its riscv64 machine would leave them out. `disk` is what Linux calls the first of them,
    `console` the serial port.
    """

    program: str
    package: str
    machine: str
    interface: str
    disk: str
    console: str
    cpu: str | None = None
    emulation: str = "tcg"


ARCHITECTURES = {
    # With a thread for each CPU, a guest on QEMU 7.2 now and then meets the breakpoint with which
    # its kernel patches code after it is gone: `Oops: int3` in 1 of 19 boots with two CPUs, in 0 of
    # 12 with one thread. The price where much starts at once: 22 s instead of 17 until the services
    # of examples/web.yml ran. `--accel tcg,thread=multi` takes the risk.
    "x86_64": Architecture(
        "qemu-system-x86_64",
        "qemu-system-x86",
        "q35",
        "",
        "/dev/sda",
        "ttyS0",
        emulation="tcg,thread=single",
    ),
    # `max` is three times slower to boot than this one under TCG (ecosystem survey).
    "aarch64": Architecture(
        "qemu-system-aarch64",
        "qemu-system-arm",
        "virt",
        "virtio",
        "/dev/vda",
        "ttyAMA0",
        "cortex-a57",
    ),
    "riscv64": Architecture(
        "qemu-system-riscv64", "qemu-system-misc", "virt", "virtio", "/dev/vda", "ttyS0"
    ),
}
"""By QEMU's names."""

BUSES = {
    "virtio": ("virtio-blk-pci,drive={id}",),
    "sata": ("ide-hd,drive={id}",),
    "sata-cd": ("ide-cd,drive={id}",),
    "scsi-cd": ("virtio-scsi-pci", "scsi-cd,drive={id}"),
    "nvme": ("nvme,drive={id},serial={id}",),
    "usb": ("qemu-xhci", "usb-storage,drive={id},removable=on"),
}
"""The devices that attach a drive, by what it hangs on: controllers, then the drive itself."""


@dataclass(frozen=True, slots=True)
class Drive:
    """A disk, or a CD, in a file; QEMU finds out its `format` when that is empty.

    It hangs on one of `BUSES`, firmware then boots from the first such drive; without a `bus` QEMU
    attaches it by its `index`. With `snapshot` the file stays as it is: what is written is gone
    with the machine.
    """

    path: Path
    format: str = ""
    cd: bool = False
    bus: str = ""
    index: int | None = None
    snapshot: bool = False


@dataclass(frozen=True, slots=True)
class Channel:
    """A port of virtio-serial, which the guest finds by its `name`; QEMU listens at `socket`."""

    name: str
    socket: Path


@dataclass(frozen=True, slots=True)
class HostFolder:
    """A folder of this machine that the guest mounts by 9p under `tag`."""

    path: Path
    tag: str


class Console(Enum):
    """Where the first serial port goes, if not to a file."""

    TERMINAL = "terminal"
    """This terminal, with QEMU's monitor behind ctrl-a c."""
    OUTPUT = "output"
    """Standard input and output, and nothing else there."""
    WINDOW = "window"
    """One of QEMU's own."""


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """A machine for QEMU to make. `memory` is in MiB; `accelerator` is QEMU's name, or several with
    colons.

    `networking` is user, `tap,NAME`, `bridge,NAME` or none; `publish` forwards ports of the first
    kind, which also tells the BIOS to boot what is at the URL `bootfile`. Each of `links` is one
    more network card, and each of `networks`, which are ports of multicast groups. `shares` are
    sockets of virtiofsd, `folders` are shared by 9p, `tpm` is a socket of swtpm (`tpm12`: of a TPM
    1.2). `vsock` is the guest's address (CID). What a console on the terminal shows goes to
    `console_log`, too. Without `defaults` there are no devices but those
    said here. A `detached` QEMU goes on in the background, its process in `pid_file`; it listens at
    `monitor` (QMP), and for a console that is a file, at `console_socket`. With `snapshot` no disk
    is written to. Snapshots of the whole machine go to the qcow2 `state_disk` (`run.snapshots`).
    `devices` are more arguments of `-device`.
    """

    architecture: str = "x86_64"
    program: str = ""
    accelerator: str = "tcg"
    cpus: int = 1
    memory: int = 1024
    kernel: Path | None = None
    initrd: Path | None = None
    cmdline: str = ""
    firmware: Firmware | None = None
    drives: tuple[Drive, ...] = ()
    boot_order: str = ""
    networking: str = "user"
    publish: tuple[Publish, ...] = ()
    bootfile: str = ""
    mac: str | None = None
    links: tuple[Link, ...] = ()
    networks: tuple[SharedNetwork, ...] = ()
    shares: tuple[Path, ...] = ()
    folders: tuple[HostFolder, ...] = ()
    vsock: int | None = None
    tpm: Path | None = None
    tpm12: bool = False
    console: Console | Path = Console.OUTPUT
    console_log: Path | None = None
    console_socket: Path | None = None
    monitor: Path | None = None
    channels: tuple[Channel, ...] = ()
    snapshot: bool = False
    state_disk: Path | None = None
    defaults: bool = True
    usb: bool = False
    reboot: bool = True
    devices: tuple[str, ...] = ()
    detached: bool = False
    pid_file: Path | None = None

    @property
    def model(self) -> Architecture:
        """The row of `ARCHITECTURES`."""
        return ARCHITECTURES[self.architecture]


def arguments(machine: VirtualMachine) -> list[str]:
    """The whole argument list, the program first."""
    program = machine.program or machine.model.program
    return [program, *(word for part in ARGUMENTS for word in part(machine))]


def _size(machine: VirtualMachine) -> list[str]:
    return ["-smp", str(machine.cpus), "-m", str(machine.memory)]


def _pid_file(machine: VirtualMachine) -> list[str]:
    return ["-pidfile", str(machine.pid_file)] if machine.pid_file else []


def _processor(machine: VirtualMachine) -> list[str]:
    """Machine, CPU and accelerators. `host` is for a certain hardware one; `max` is what a list
    that may end in TCG can do."""
    accelerator, model = machine.accelerator, machine.model
    several = ":" in accelerator
    certain = accelerator.startswith(("kvm", "hvf")) and not several
    cpu = "host" if certain else "max" if several else model.cpu
    # Only KVM knows the host's interrupt controller; `max` is the best of whatever is taken in the
    # end.
    gic = {"kvm": ",gic-version=host"}.get(accelerator, ",gic-version=max" if several else "")
    line = ["-cpu", cpu] if cpu else []
    secure = machine.firmware is not None and machine.firmware.secure
    options = gic if machine.architecture == "aarch64" else ""
    options += ",smm=on" if secure and machine.architecture == "x86_64" else ""
    line += ["-machine", f"{model.machine}{options}"]
    for name in accelerator.split(":"):
        line += ["-accel", model.emulation if name == "tcg" else name]
    return line


def _defaults(machine: VirtualMachine) -> list[str]:
    return [] if machine.defaults else ["-nodefaults"]


def _entropy(_: VirtualMachine) -> list[str]:
    source = "rng-random,id=rng0,filename=/dev/urandom"
    return ["-object", source, "-device", "virtio-rng-pci,rng=rng0"]


def _drives(machine: VirtualMachine) -> list[str]:
    """Disks, the boot order, CDs; those on a bus by themselves."""
    plain = [drive for drive in machine.drives if not drive.bus]
    line = [word for drive in plain if not drive.cd for word in _indexed(machine, drive)]
    line += ["-boot", machine.boot_order] if machine.boot_order else []
    line += [word for drive in plain if drive.cd for word in _indexed(machine, drive)]
    on_buses = [drive for drive in machine.drives if drive.bus]
    for number, drive in enumerate(on_buses):
        name = f"drive{number}"
        line += ["-drive", ",".join(("if=none", f"id={name}", *_media(drive)))]
        *controllers, device = BUSES[drive.bus]
        for controller in controllers:
            line += ["-device", controller]
        line += ["-device", f"{device.format(id=name)},bootindex={number + 1}"]
    return line


def _indexed(machine: VirtualMachine, drive: Drive) -> list[str]:
    interface = [f"if={machine.model.interface}"] if machine.model.interface else []
    return ["-drive", ",".join((*_media(drive), *interface))]


def _media(drive: Drive) -> list[str]:
    return [
        f"file={_file(drive.path)}",
        *([f"format={drive.format}"] if drive.format else ()),
        *([f"index={drive.index}"] if drive.index is not None else ()),
        f"media={'cdrom' if drive.cd else 'disk'}",
        *(["snapshot=on"] if drive.snapshot else ()),
    ]


def _firmware(machine: VirtualMachine) -> list[str]:
    if machine.firmware is None:
        return []
    code, variables = machine.firmware.code, machine.firmware.variables
    line = ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_file(code)}"]
    if variables:
        line += ["-drive", f"if=pflash,unit=1,format=raw,file={_file(variables)}"]
    if machine.firmware.secure and machine.architecture == "x86_64":
        # The system could write its own keys into the variables otherwise; in the sleep state S3
        # the firmware's protection is gone.
        line += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
        line += ["-global", "ICH9-LPC.disable_s3=1"]
    return line


def _kernel(machine: VirtualMachine) -> list[str]:
    if machine.kernel is None:
        return []
    line = ["-kernel", str(machine.kernel)]
    line += ["-initrd", str(machine.initrd)] if machine.initrd else []
    return [*line, "-append", machine.cmdline] if machine.cmdline else line


def _network(machine: VirtualMachine) -> list[str]:
    if machine.networking == "none":
        return ["-net", "none"]
    kind, _, name = machine.networking.partition(",")
    if kind == "tap":
        backend = f"tap,id=t0,ifname={name},script=no,downscript=no"
    elif kind == "bridge":
        backend = f"bridge,id=t0,br={name}"
    else:
        backend = "user,id=t0" + "".join(
            f",hostfwd={rule.protocol}:{rule.address}:{rule.host}-:{rule.guest}"
            for rule in machine.publish
        )
        backend += f",bootfile={machine.bootfile}" if machine.bootfile else ""
    mac = f",mac={machine.mac}" if machine.mac else ""
    # UEFI firmware needs no boot ROM (iPXE's), and Debian's qemu-system-arm does not bring it.
    rom = "bootindex=1" if machine.bootfile else "romfile="
    return ["-device", f"virtio-net-pci,netdev=t0,{rom}{mac}", "-netdev", backend]


def _links(machine: VirtualMachine) -> list[str]:
    """The cards behind the first one, in their order."""
    line = []
    for number, link in enumerate(machine.links, 1):
        line += ["-device", f"virtio-net-pci,netdev=t{number},romfile=,mac={link.mac}"]
        ends = "".join(
            f",{end}.type=unix,{end}.path={_escaped(path)}"
            for end, path in (("local", link.own), ("remote", link.other))
        )
        line += ["-netdev", f"dgram,id=t{number}{ends}"]
    return line


def _networks(machine: VirtualMachine) -> list[str]:
    """The cards behind those of the links."""
    line = []
    for number, network in enumerate(machine.networks, len(machine.links) + 1):
        line += ["-device", f"virtio-net-pci,netdev=t{number},romfile=,mac={network.mac}"]
        group = f"mcast={network.group}:{network.port},localaddr={LOOPBACK}"
        line += ["-netdev", f"socket,id=t{number},{group}"]
    return line


def _shares(machine: VirtualMachine) -> list[str]:
    """Folders under the tags `virtiofsN`; the guest's memory is shared with their daemons."""
    if not machine.shares:
        return []
    memory = f"memory-backend-memfd,id=mem,size={machine.memory}M,share=on"
    line = ["-object", memory, "-numa", "node,memdev=mem"]
    for number, socket in enumerate(machine.shares):
        line += ["-chardev", f"socket,id=char{number},path={_escaped(socket)}"]
        line += ["-device", f"vhost-user-fs-pci,chardev=char{number},tag=virtiofs{number}"]
    return line


def _folders(machine: VirtualMachine) -> list[str]:
    """What the guest creates has the owner and mode that it says, kept in attributes: QEMU needs no
    right for that, and makes no device and no setuid program on this machine."""
    line = []
    for number, folder in enumerate(machine.folders):
        options = f"id=folder{number},path={_escaped(folder.path)},security_model=mapped-xattr"
        line += ["-fsdev", f"local,{options}"]
        line += ["-device", f"virtio-9p-pci,fsdev=folder{number},mount_tag={folder.tag}"]
    return line


def _vsock(machine: VirtualMachine) -> list[str]:
    return (
        [] if machine.vsock is None else ["-device", f"vhost-vsock-pci,guest-cid={machine.vsock}"]
    )


def _tpm(machine: VirtualMachine) -> list[str]:
    if machine.tpm is None:
        return []
    return [
        *("-chardev", f"socket,id=tpmchar,path={_escaped(machine.tpm)}"),
        *("-tpmdev", "emulator,id=tpm,chardev=tpmchar"),
        *("-device", f"{tpm_device(machine.architecture, old=machine.tpm12)},tpmdev=tpm"),
    ]


def _console(machine: VirtualMachine) -> list[str]:
    if isinstance(machine.console, Path):
        file = f"file,id=console,path={_escaped(machine.console)}"
        if machine.console_socket:
            place = f"path={_escaped(machine.console_socket)},server=on,wait=off"
            file = f"socket,id=console,{place},logfile={_escaped(machine.console)}"
        return ["-display", "none", "-chardev", file, "-serial", "chardev:console"]
    terminal = []
    if machine.console_log:
        log = f"stdio,id=console,mux=on,signal=off,logfile={_escaped(machine.console_log)}"
        terminal = ["-chardev", log, "-serial", "chardev:console", "-mon", "chardev=console"]
    elif machine.monitor:
        # With a monitor of our own, QEMU would not put one behind the terminal's ctrl-a by itself.
        terminal = ["-serial", "mon:stdio"]
    return {
        Console.TERMINAL: ["-nographic", *terminal],
        # Without graphics SeaBIOS, too, speaks on the serial port.
        Console.OUTPUT: ["-nographic", "-monitor", "none", "-serial", "stdio"],
        Console.WINDOW: [],
    }[machine.console]


def _monitor(machine: VirtualMachine) -> list[str]:
    if machine.monitor is None:
        return []
    return ["-qmp", f"unix:{_escaped(machine.monitor)},server=on,wait=off"]


def _channels(machine: VirtualMachine) -> list[str]:
    if not machine.channels:
        return []
    line = ["-device", "virtio-serial-pci"]
    for number, channel in enumerate(machine.channels):
        place = f"path={_escaped(channel.socket)},server=on,wait=off"
        line += ["-chardev", f"socket,id=channel{number},{place}"]
        line += ["-device", f"virtserialport,chardev=channel{number},name={channel.name}"]
    return line


def _state_disk(machine: VirtualMachine) -> list[str]:
    """No device of the guest's: QEMU alone writes to it."""
    if machine.state_disk is None:
        return []
    file = f"file.driver=file,file.filename={_escaped(machine.state_disk)}"
    return ["-blockdev", f"driver=qcow2,node-name={STATE_NODE},{file}"]


def _others(machine: VirtualMachine) -> list[str]:
    line = ["-daemonize"] if machine.detached else []
    line += ["-snapshot"] if machine.snapshot else []
    line += ["-usb"] if machine.usb else []
    line += [] if machine.reboot else ["-no-reboot"]
    for device in machine.devices:
        line += ["-device", device]
    return line


ARGUMENTS: tuple[Callable[[VirtualMachine], list[str]], ...] = (
    _size,
    _pid_file,
    _processor,
    _defaults,
    _entropy,
    _drives,
    _firmware,
    _kernel,
    _network,
    _links,
    _networks,
    _shares,
    _folders,
    _vsock,
    _tpm,
    _console,
    _monitor,
    _channels,
    _state_disk,
    _others,
)
"""The parts of the command line in their order, which is that of devices on the PCI bus."""


def _file(path: Path) -> str:
    """A file name in a drive's option: `NAME:` in front would be a protocol."""
    text = str(path)
    return _escaped(f"./{text}" if ":" in text and not path.is_absolute() else text)


def _escaped(text: Path | str) -> str:
    """A value in a list of options: QEMU reads two commas as one."""
    return str(text).replace(",", ",,")
