"""`compos run firecracker`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compos.cli.machines.microvm_options import microvm_options

if TYPE_CHECKING:
    from compos.run.hypervisors.microvm import MicroVm

__all__ = ["firecracker"]


@click.command("firecracker")
@microvm_options
def firecracker(machine: MicroVm) -> int:
    """Boot PREFIX in Firecracker, which needs KVM.

    The format firecracker makes what it boots, PREFIX-firecracker.json. The console is your
    terminal.
    """
    from compos.run.hypervisors.microvm import run_microvm

    return run_microvm("firecracker", machine)
