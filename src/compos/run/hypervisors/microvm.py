"""Firecracker and cloud-hypervisor: small hypervisors for KVM that boot a kernel by themselves.

May touch: the state directory; starts the hypervisor. Sources: Firecracker, docs/getting-started.md
and its API (swagger); cloud-hypervisor(1).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compos.errors import RunError
from compos.image.json_document import parse_json
from compos.output.place import put_file
from compos.run.boot import find_boot
from compos.run.disks import Disk

__all__ = ["HYPERVISORS", "MicroVm", "cloud_hypervisor_line", "firecracker_line", "run_microvm"]


@dataclass(frozen=True, slots=True)
class MicroVm:
    """What a guest is to have; `memory` is in MiB. `tap` is an interface of this machine, with the
    guest's address `mac`; `vsock` is the guest's address (CID), whose socket is in `state`."""

    prefix: Path
    state: Path
    cpus: int = 1
    memory: int = 1024
    disks: tuple[Disk, ...] = ()
    tap: str = ""
    mac: str = ""
    vsock: int | None = None


def firecracker_line(machine: MicroVm) -> list[str]:
    """The command line; the machine's description is written to the state directory. Raises
    `RunError` (`boot-missing`, `boot-damaged`)."""
    source = machine.prefix.with_name(f"{machine.prefix.name}-firecracker.json")
    try:
        description = parse_json(source.read_bytes())
        changed = _description(machine, description, source.parent.absolute())
    except FileNotFoundError as error:
        raise RunError(
            "boot-missing",
            "the file to boot does not exist",
            place=str(source),
            hint="Build it first: compos build -f firecracker FILE.yml",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            "boot-damaged",
            f"this is not a description of a machine for Firecracker: {error}",
            place=str(source),
            hint="Build it again.",
        ) from error
    target = machine.state / "firecracker.json"
    put_file(target, json.dumps(changed, indent=2).encode(), secret=True)
    return ["--no-api", "--config-file", str(target)]


def _description(machine: MicroVm, given: Any, folder: Path) -> dict[str, Any]:
    boot = dict(given["boot-source"])
    for name in ("kernel_image_path", "initrd_path"):
        boot[name] = str(folder / boot[name])
    drives = [{**one, "path_on_host": str(folder / one["path_on_host"])} for one in given["drives"]]
    drives += [
        {
            "drive_id": f"disk{number}",
            "path_on_host": str(disk.path.absolute()),
            "is_root_device": False,
            "is_read_only": False,
        }
        for number, disk in enumerate(machine.disks)
    ]
    changed = {
        **given,
        "boot-source": boot,
        "drives": drives,
        "machine-config": {"vcpu_count": machine.cpus, "mem_size_mib": machine.memory},
    }
    if machine.tap:
        card = {"iface_id": "eth0", "guest_mac": machine.mac, "host_dev_name": machine.tap}
        changed["network-interfaces"] = [card]
    if machine.vsock is not None:
        socket = str((machine.state / "vsock").absolute())
        changed["vsock"] = {"guest_cid": machine.vsock, "uds_path": socket}
    return changed


def cloud_hypervisor_line(machine: MicroVm) -> list[str]:
    """The command line, for kernel and initrd. Raises as `find_boot`."""
    boot = find_boot(machine.prefix, kind="kernel")
    line = ["--kernel", str(boot.kernel), "--initramfs", str(boot.initrd)]
    line += ["--cmdline", boot.cmdline] if boot.cmdline else []
    line += ["--cpus", f"boot={machine.cpus}", "--memory", f"size={machine.memory}M"]
    line += ["--rng", "src=/dev/urandom", "--serial", "tty", "--console", "off"]
    if machine.disks:
        line += ["--disk", *(f"path={disk.path}" for disk in machine.disks)]
    if machine.tap:
        line += ["--net", f"tap={machine.tap},mac={machine.mac}"]
    if machine.vsock is not None:
        line += ["--vsock", f"cid={machine.vsock},socket={machine.state / 'vsock'}"]
    return line


HYPERVISORS: dict[str, Callable[[MicroVm], list[str]]] = {
    "firecracker": firecracker_line,
    "cloud-hypervisor": cloud_hypervisor_line,
}
"""Programs, and what makes their command lines."""


def run_microvm(
    program: str,
    machine: MicroVm,
    *,
    which: Callable[[str], str | None] = shutil.which,
    start: Callable[[Sequence[str]], int] = subprocess.call,
) -> int:
    """Run `machine` in the foreground, its console being this terminal; returns the program's exit
    status. Raises `RunError` (`hypervisor-missing`, `microvm-disk`)."""
    found = which(program)
    if found is None:
        raise RunError(
            "hypervisor-missing",
            f"{program} is not installed",
            hint="Debian has no package; install a release of the project's.",
        )
    for disk in machine.disks:
        if disk.format not in ("", "raw") or "," in str(disk.path):
            raise RunError(
                "microvm-disk",
                f"{program} takes raw disks only, without commas in their names",
                place=str(disk.path),
                hint="Use --disk PATH,size=…,format=raw.",
            )
    return start([found, *HYPERVISORS[program](machine)])
