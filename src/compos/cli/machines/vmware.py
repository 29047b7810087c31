"""`compos run vmware`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compos.cli.machines.options import GUI, NAME, UEFI, machine_options
from compos.cli.settings import Settings

if TYPE_CHECKING:
    from compos.run.hypervisors.prepare import Wanted

__all__ = ["vmware"]


@click.command("vmware")
@machine_options
@NAME
@GUI
@UEFI
def vmware(wanted: Wanted, *, settings: Settings) -> None:
    """Boot PATH.vmdk in VMware Workstation or Fusion.

    The command returns as soon as the machine runs; its console is written to console.log in the
    state directory.
    """
    from compos.run.hypervisors.prepare import vmware as prepare
    from compos.run.hypervisors.run import carry_out

    carry_out(prepare(wanted))
