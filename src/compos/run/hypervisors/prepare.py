"""From what the user asks for to each hypervisor's plan: programs found, the state directory
filled.

May touch: the state directory, disk files that the user names, PATH.
"""

from __future__ import annotations

import gzip
import platform
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from compos.errors import RunError
from compos.output.place import put_file
from compos.run.boot import Boot, find_boot
from compos.run.disks import Disk, make_disks
from compos.run.hypervisors.plan import Guest, Plan, guest_name
from compos.run.hypervisors.run import find_program, output_of
from compos.run.metadata import write_metadata
from compos.run.network import mac_address
from compos.run.state import make_state

if TYPE_CHECKING:
    from compos.image.store import Store

__all__ = ["Wanted", "hyperv", "libvirt", "vbox", "virtualization", "vmware"]

MAX_KERNEL = 512 << 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a user says; empty means: the usual one. `mem` is in MiB."""

    path: Path
    kind: str = ""
    name: str = ""
    state: Path | None = None
    cpus: int = 1
    mem: int = 1024
    disks: tuple[Disk, ...] = ()
    metadata: bytes = b""
    uefi: bool = False
    gui: bool = False
    keep: bool = False


def vbox(wanted: Wanted, program: str, networking: tuple[str, ...]) -> Plan:
    """VirtualBox's. Raises `RunError`, such as `machine-exists` for somebody else's machine."""
    from compos.run.hypervisors.vbox import is_ours, parse_network, plan

    networks = tuple(map(parse_network, networking))
    manage = find_program(program, "Install VirtualBox, or name VBoxManage with --vboxmanage.")
    guest = _guest(wanted, "vdi")
    information = output_of((manage, "showvminfo", guest.name, "--machinereadable"))
    if information is not None and not is_ours(information):
        raise RunError(
            "machine-exists",
            f"there is a machine {guest.name} that compos has not made",
            place="--name",
            hint="Choose another name.",
        )
    return plan(guest, program=manage, networks=networks, replaces=information is not None)


def vmware(wanted: Wanted) -> Plan:
    """VMware's."""
    from compos.run.hypervisors.vmware import plan

    hint = "Install VMware Workstation or Fusion, and put its programs into PATH."
    vmrun = find_program("vmrun", hint)
    made = any(disk.size for disk in wanted.disks)
    manager = find_program("vmware-vdiskmanager", hint) if made else ""
    path = wanted.path
    if not path.is_file() and (disk := path.with_name(f"{path.name}.vmdk")).is_file():
        state = wanted.state or path.with_name(f"{path.name}-state")
        wanted = replace(wanted, path=disk, state=state)
    guest = _guest(wanted, "vmdk")
    return plan(guest, vmrun=vmrun, diskmanager=manager, fusion=sys.platform == "darwin")


def hyperv(wanted: Wanted, switch: str) -> Plan:
    """Hyper-V's."""
    from compos.run.hypervisors.hyperv import plan

    hint = "Run compos in the Windows Subsystem for Linux."
    find_program("powershell.exe", hint)
    wslpath = find_program("wslpath", hint)
    guest = _guest(replace(wanted, kind="iso"), "vhdx")
    paths = {}
    for path in (guest.boot.iso, *(disk.path for disk in guest.disks)):
        if path:
            # `wslpath` wants files that exist; the folder does.
            folder = (output_of((wslpath, "-w", str(path.absolute().parent))) or "").strip()
            paths[path] = f"{folder}\\{path.name}"
    return plan(guest, paths, switch=switch)


def virtualization(wanted: Wanted, program: str, networking: str, shares: tuple[Path, ...]) -> Plan:
    """The plan of macOS's own framework."""
    from compos.run.hypervisors.virtualization import NETWORKS, plan

    if networking not in NETWORKS:
        raise RunError(
            "networking-syntax",
            f"--networking {networking} is not valid",
            hint=f"Use {' or '.join(NETWORKS)}.",
        )
    vfkit = find_program(program, "Install vfkit (brew install vfkit), or name it with --vfkit.")
    disks = tuple(replace(disk, format="raw") if disk.size else disk for disk in wanted.disks)
    guest = _guest(replace(wanted, kind="kernel", disks=disks), "raw", make_disks)
    kernel = guest.boot.kernel or Path()
    mac = mac_address(guest.state) if networking != "none" else None
    folders = tuple(folder.absolute() for folder in shares)
    plain = _plain_kernel(kernel, guest.state)
    return plan(guest, program=vfkit, kernel=plain, mac=mac, shares=folders)


def libvirt(
    wanted: Wanted,
    uri: str,
    *,
    arch: str,
    accel: str,
    networking: str,
    store: Callable[[], Store],
) -> Plan:
    """libvirt's. `accel` is `kvm`, `tcg`, or empty to find out; `store` has the verdict."""
    from compos.run.accel import choose_accel
    from compos.run.hypervisors.libvirt import parse_network, plan
    from compos.run.qemu import find_qemu, guest_arch

    network = parse_network(networking)
    machine = guest_arch(arch or platform.machine())
    hint = "Install Debian's packages libvirt-clients and libvirt-daemon-driver-qemu."
    virsh = find_program("virsh", hint)
    qemu = find_qemu(machine, None)
    guest = _guest(wanted, "img", make_disks)
    if output_of((virsh, "--connect", uri, "domid", "--", guest.name)) is not None:
        raise RunError(
            "machine-exists",
            f"libvirt runs a machine {guest.name}",
            place=uri,
            hint=f"Choose another --name, or end it: virsh --connect {uri} destroy {guest.name}",
        )
    mac = mac_address(guest.state) if networking != "none" else None
    chosen = choose_accel(qemu, guest.boot.kernel, machine, store, asked=accel)
    # Firmware starts what has no BIOS.
    if guest.boot.uefi or (guest.boot.kernel is None and machine != "x86_64"):
        guest = guest._replace(uefi=True)
    short = "kvm" if chosen.startswith("kvm") else "tcg"
    return plan(guest, program=virsh, uri=uri, arch=machine, accel=short, network=network, mac=mac)


def _guest(
    wanted: Wanted,
    suffix: str,
    make: Callable[[tuple[Disk, ...], Path], tuple[Disk, ...]] | None = None,
) -> Guest:
    """The machine, its state directory made; disks without a path are `disk.SUFFIX` there. `make`
    makes those that are missing; otherwise the hypervisor does."""
    boot = find_boot(wanted.path, kind=wanted.kind)
    name = guest_name(wanted.name, boot)
    state = (wanted.state or boot.prefix.with_name(f"{boot.prefix.name}-state")).absolute()
    make_state(state)
    disks = tuple(
        replace(disk, path=state / (f"disk{number or ''}.{suffix}"))
        if disk.path == Path()
        else replace(disk, path=disk.path.absolute())
        for number, disk in enumerate(wanted.disks)
    )
    if make:
        disks = make(disks, state)
    for disk in disks:
        if not disk.path.exists() and not disk.size:
            raise RunError(
                "disk-missing",
                "the disk does not exist",
                place=str(disk.path),
                hint="Add size=… to create it.",
            )
    metadata = state / "data.iso" if wanted.metadata else None
    if metadata:
        write_metadata(wanted.metadata, metadata)
    return Guest(
        name,
        _absolute(boot),
        state,
        wanted.cpus,
        wanted.mem,
        disks,
        metadata,
        uefi=wanted.uefi or boot.uefi,
        gui=wanted.gui,
        keep=wanted.keep,
    )


def _absolute(boot: Boot) -> Boot:
    """The hypervisors' programs may have another folder."""
    return replace(
        boot,
        kernel=boot.kernel and boot.kernel.absolute(),
        initrd=boot.initrd and boot.initrd.absolute(),
        iso=boot.iso and boot.iso.absolute(),
        disk=boot.disk and replace(boot.disk, path=boot.disk.path.absolute()),
    )


def _plain_kernel(kernel: Path, state: Path) -> Path:
    """The kernel, decompressed into the state directory if it is compressed by gzip."""
    with kernel.open("rb") as stream:
        if stream.read(2) != b"\x1f\x8b":
            return kernel.absolute()
        stream.seek(0)
        try:
            with gzip.GzipFile(fileobj=stream) as unpacked:
                data = unpacked.read(MAX_KERNEL + 1)
        except (EOFError, OSError, zlib.error):
            data = b""
    if not data or len(data) > MAX_KERNEL:
        raise RunError("kernel-damaged", "the kernel cannot be decompressed", place=str(kernel))
    plain = state / "kernel"
    put_file(plain, data)
    return plain
