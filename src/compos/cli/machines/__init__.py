"""The hypervisors of `compos run` besides QEMU: one file each, imported when it is called."""

from __future__ import annotations

from importlib import import_module

import click

__all__ = ["MACHINES", "machine_command"]

MACHINES = {
    "cloud-hypervisor": "cloud-hypervisor, on Linux with KVM.",
    "firecracker": "Firecracker, on Linux with KVM.",
    "hyperv": "Hyper-V, from the Windows Subsystem for Linux.",
    "libvirt": "libvirt: QEMU as a domain, by virsh.",
    "vbox": "VirtualBox.",
    "virtualization": "macOS's Virtualization framework, by vfkit.",
    "vmware": "VMware Workstation or Fusion.",
}
"""What `--help` says of each."""


def machine_command(name: str) -> click.Command:
    """The command of one of `MACHINES`, imported now."""
    module = name.replace("-", "_")
    command: click.Command = getattr(import_module(f"compos.cli.machines.{module}"), module)
    return command
