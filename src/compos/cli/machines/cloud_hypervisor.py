"""`compos run cloud-hypervisor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compos.cli.machines.microvm_options import microvm_options

if TYPE_CHECKING:
    from compos.run.hypervisors.microvm import MicroVm

__all__ = ["cloud_hypervisor"]


@click.command("cloud-hypervisor")
@microvm_options
def cloud_hypervisor(machine: MicroVm) -> int:
    """Boot PREFIX-kernel with PREFIX-initrd.img in cloud-hypervisor, which needs KVM.

    The console is your terminal.
    """
    from compos.run.hypervisors.microvm import run_microvm

    return run_microvm("cloud-hypervisor", machine)
