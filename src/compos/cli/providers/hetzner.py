"""`compos push hetzner` and `compos run hetzner`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from compos.cli.providers.options import (
    PushCommand,
    RunCommand,
    push_options,
    push_to,
    run_on,
    run_options,
)

if TYPE_CHECKING:
    from compos.api.push import PushOptions
    from compos.cloud.machine import MachineRequest
    from compos.cloud.model import Provider

__all__ = ["push", "run"]


@click.command("hetzner")
@click.option(
    "--img-name",
    metavar="NAME",
    default="",
    help="Exact description of the snapshot [the file's name and 12 digits of its digest].",
)
@click.option(
    "--server-type",
    metavar="TYPE",
    default="",
    help="Type of the machine that writes the disk; its disk bounds the image's [cx23, cax11].",
)
@click.option(
    "--location",
    metavar="NAME",
    default="fsn1",
    show_default=True,
    help="Where that machine is; snapshots are everywhere.",
)
@push_options
def push(
    *,
    push: PushOptions,
    command: PushCommand,
    img_name: str,
    server_type: str,
    location: str,
) -> None:
    """Make a snapshot of Hetzner Cloud, and print its id.

    The token is HCLOUD_TOKEN. Hetzner takes no disks: a machine is made for some minutes, the disk
    is written to it over ssh in its rescue system and read back there, and a snapshot is made.
    """

    def connect(notes: Path) -> Provider:
        from compos.cloud.hetzner.image import HetznerOptions
        from compos.cloud.hetzner.session import connect as to_hetzner

        options = HetznerOptions(img_name, server_type, location)
        return to_hetzner(options, show=command.show)

    push_to("hetzner", push, command, connect)


@click.command("hetzner")
@click.option("--network", metavar="ID", default="", help="Network; --no-public requires one.")
@click.option("--ssh-key", metavar="NAME", default="", help="Key of the project, by name or id.")
@run_options(size="cx23", size_flag="--server-type", zone="fsn1", zone_flag="--location")
def run(
    *,
    request: MachineRequest,
    command: RunCommand,
    network: str,
    ssh_key: str,
) -> None:
    """Run a server of IMAGE: a snapshot's id or description, or the newest that was pushed under a
    name.

    The token is HCLOUD_TOKEN. Hetzner does not tell what a server prints.
    """
    from compos.cloud.hetzner.machine import ServerOptions
    from compos.cloud.hetzner.session import connect_machines

    run_on(
        "hetzner",
        connect_machines(ServerOptions(network), show=command.show),
        request._replace(key=ssh_key),
        command,
    )
