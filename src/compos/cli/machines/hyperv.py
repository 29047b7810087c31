"""`compos run hyperv`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compos.cli.machines.options import KEEP, NAME, machine_options
from compos.cli.settings import Settings

if TYPE_CHECKING:
    from compos.run.hypervisors.prepare import Wanted

__all__ = ["hyperv"]


@click.command("hyperv")
@machine_options
@NAME
@KEEP
@click.option(
    "--switch",
    default="",
    metavar="NAME",
    help="Virtual switch ['Default Switch', else the first external one].",
)
def hyperv(wanted: Wanted, *, switch: str, settings: Settings) -> None:
    """Boot PATH, an ISO for UEFI, in Hyper-V.

    compos runs in the Windows Subsystem for Linux; the console of the guest is your terminal.
    """
    from compos.run.hypervisors.prepare import hyperv as prepare
    from compos.run.hypervisors.run import carry_out

    carry_out(prepare(wanted, switch))
