"""`compos run virtualization`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from compos.cli.machines.options import DATA, GUI, VIRTIOFS, machine_options
from compos.cli.settings import Settings

if TYPE_CHECKING:
    from compos.run.hypervisors.prepare import Wanted

__all__ = ["virtualization"]


@click.command("virtualization")
@machine_options
@DATA
@GUI
@click.option("--kernel", is_flag=True, hidden=True, help="For LinuxKit's sake: always so.")
@click.option(
    "--networking",
    default="vmnet",
    show_default=True,
    metavar="MODE",
    help="Network of the guest: vmnet or none.",
)
@VIRTIOFS
@click.option(
    "--vfkit", default="vfkit", show_default=True, metavar="PROGRAM", help="The vfkit program."
)
def virtualization(
    wanted: Wanted,
    *,
    kernel: bool,
    networking: str,
    virtiofs: tuple[Path, ...],
    vfkit: str,
    settings: Settings,
) -> None:
    """Boot PATH-kernel and PATH-initrd.img in macOS's Virtualization framework."""
    from compos.run.hypervisors.prepare import virtualization as prepare
    from compos.run.hypervisors.run import carry_out

    carry_out(prepare(wanted, vfkit, networking, virtiofs))
