"""`compos run vbox`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compos.cli.machines.options import GUI, KEEP, NAME, UEFI, machine_options
from compos.cli.settings import Settings

if TYPE_CHECKING:
    from compos.run.hypervisors.prepare import Wanted

__all__ = ["vbox"]


@click.command("vbox")
@machine_options
@NAME
@KEEP
@GUI
@UEFI
@click.option("--iso", is_flag=True, help="Boot PATH as a CD [if it ends in .iso].")
@click.option(
    "--vboxmanage",
    default="VBoxManage",
    show_default=True,
    metavar="PROGRAM",
    help="VirtualBox's command-line program.",
)
@click.option(
    "--networking",
    multiple=True,
    metavar="SPEC",
    help="Network card: [type=]TYPE[,adapter=NAME]; repeatable [VirtualBox's NAT].",
)
def vbox(
    wanted: Wanted, *, vboxmanage: str, networking: tuple[str, ...], settings: Settings
) -> None:
    """Boot PATH, an ISO or a disk (.vmdk, .vhd, .vdi), in VirtualBox.

    The guest's console is your terminal; ctrl-a x ends it. Only machines that compos has made are
    replaced or removed, and their disks stay.
    """
    from compos.run.hypervisors.prepare import vbox as prepare
    from compos.run.hypervisors.run import carry_out

    carry_out(prepare(wanted, vboxmanage, networking))
