"""`compos run libvirt`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compos.cli.machines.options import DATA, GUI, KEEP, NAME, UEFI, machine_options
from compos.cli.settings import Settings

if TYPE_CHECKING:
    from compos.run.hypervisors.prepare import Wanted

__all__ = ["libvirt"]


@click.command("libvirt")
@machine_options
@NAME
@KEEP
@GUI
@UEFI
@DATA
@click.option("--iso", is_flag=True, help="Boot PATH as a CD [if it ends in .iso].")
@click.option(
    "--connect",
    default="qemu:///session",
    show_default=True,
    envvar="LIBVIRT_DEFAULT_URI",
    metavar="URI",
    help="libvirt's connection [LIBVIRT_DEFAULT_URI].",
)
@click.option(
    "--networking",
    default="user",
    show_default=True,
    metavar="MODE",
    help="Network of the guest: user, network,NAME, bridge,NAME or none.",
)
@click.option(
    "--accel",
    default="",
    metavar="NAME",
    help="kvm or tcg [kvm if a guest really runs with it].",
)
@click.option("--arch", default="", metavar="ARCH", help="Architecture of the guest.")
def libvirt(
    wanted: Wanted,
    *,
    connect: str,
    networking: str,
    accel: str,
    arch: str,
    settings: Settings,
) -> None:
    """Boot PATH as a domain of libvirt: the prefix of built files, an ISO, or a disk image.

    The guest's console is your terminal; ctrl-a x ends it. libvirt forgets the domain when it
    ends.
    """
    from compos.api.access import Access
    from compos.run.hypervisors.prepare import libvirt as prepare
    from compos.run.hypervisors.run import carry_out

    access = Access(settings.images)
    plan = prepare(
        wanted,
        connect,
        arch=arch,
        accel=accel,
        networking=networking,
        store=lambda: access.store,
    )
    carry_out(plan)
