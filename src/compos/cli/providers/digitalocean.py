"""`compos push digitalocean` and `compos run digitalocean`."""

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


@click.command("digitalocean")
@click.option("--region", metavar="REGION", required=True, help="Region, such as fra1.")
@click.option(
    "--bucket",
    metavar="SPACE",
    required=True,
    help="Space that DigitalOcean fetches the disk from, in the same region.",
)
@click.option(
    "--img-name",
    metavar="NAME",
    default="",
    help="Exact name of the image [the file's name and 12 digits of its digest].",
)
@push_options
def push(
    *,
    push: PushOptions,
    command: PushCommand,
    region: str,
    bucket: str,
    img_name: str,
) -> None:
    """Make a custom image of DigitalOcean, and print its id.

    Credentials are DIGITALOCEAN_TOKEN (or DIGITALOCEAN_ACCESS_TOKEN), and for the Space
    SPACES_ACCESS_KEY_ID and SPACES_SECRET_ACCESS_KEY.
    """

    def connect(notes: Path) -> Provider:
        from compos.cloud.digitalocean.session import connect as to_digitalocean

        return to_digitalocean(bucket=bucket, name=img_name, region=region, show=command.show)

    push_to("digitalocean", push, command, connect)


@click.command("digitalocean")
@click.option(
    "--ssh-key",
    metavar="ID",
    default="",
    help="Key of the account, by id or fingerprint; Droplets of custom images have to have one.",
)
@run_options(size="s-1vcpu-1gb", size_flag="--machine", zone_flag="--region")
def run(
    *,
    request: MachineRequest,
    command: RunCommand,
    ssh_key: str,
) -> None:
    """Run a Droplet of IMAGE: an image's id or name, or the newest that was pushed under a name.

    It runs in the image's region, unless --region names another one that has the image. The token
    is DIGITALOCEAN_TOKEN. DigitalOcean does not tell what a Droplet prints.
    """
    from compos.cloud.digitalocean.session import connect_machines

    run_on(
        "digitalocean",
        connect_machines(show=command.show),
        request._replace(key=ssh_key),
        command,
    )
