"""macOS's Virtualization framework, by vfkit.

Pure. Source: vfkit's doc/usage.md. LinuxKit calls the framework itself, with cgo.
"""

from __future__ import annotations

from pathlib import Path

from compos.errors import RunError
from compos.run.hypervisors.plan import Guest, Plan, Step

__all__ = ["NETWORKS", "plan"]

NETWORKS = ("vmnet", "none")


def plan(
    guest: Guest,
    *,
    program: str,
    kernel: Path,
    mac: str | None,
    shares: tuple[Path, ...] = (),
) -> Plan:
    """One command, whose standard input and output are the console. `kernel` is not compressed."""
    boot = guest.boot
    if boot.kernel is None or boot.initrd is None or boot.disk:
        raise RunError(
            "disk-format",
            "the framework boots a kernel with its initrd here",
            place=str(boot.prefix),
            hint="Build them: compos build -f kernel+initrd FILE.yml",
        )
    words = [program, "--cpus", str(guest.cpus), "--memory", str(guest.mem)]
    words += ["--kernel", str(kernel), "--initrd", str(boot.initrd)]
    words += ["--kernel-cmdline", f"{boot.cmdline} console=hvc0".strip()]
    devices = ["virtio-serial,stdio", "virtio-rng", "virtio-balloon"]
    devices += [f"virtio-net,nat,mac={mac}"] if mac else []
    for disk in guest.disks:
        if disk.format not in ("raw", ""):
            raise RunError(
                "disk-format",
                "the framework knows raw disks only",
                place=str(disk.path),
                hint="Use --disk …,format=raw.",
            )
        devices.append(f"virtio-blk,path={_value(disk.path)}")
    if guest.metadata:
        devices.append(f"usb-mass-storage,path={_value(guest.metadata)},readonly")
    devices += [
        f"virtio-fs,sharedDir={_value(folder)},mountTag=virtiofs{number}"
        for number, folder in enumerate(shares)
    ]
    words += [word for device in devices for word in ("--device", device)]
    words += ["--gui"] if guest.gui else []
    return Plan((Step(tuple(words)),))


def _value(path: Path) -> str:
    """A path in a list of options, in which vfkit knows no way to say a comma."""
    if "," in str(path):
        raise RunError("disk-path", "vfkit takes no path with a comma", place=str(path))
    return str(path)
