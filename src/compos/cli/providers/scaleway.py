"""`compos push scaleway` and `compos run scaleway`."""

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


@click.command("scaleway")
@click.option(
    "--bucket",
    metavar="NAME",
    required=True,
    help="Bucket of object storage, in the zone's region, that the disk is imported from.",
)
@click.option(
    "--img-name",
    metavar="NAME",
    envvar="SCW_IMAGE_NAME",
    default="",
    help="Exact name of the image [the file's name and 12 digits of its digest].",
)
@click.option("--zone", metavar="ZONE", default="", help="Zone [SCW_DEFAULT_ZONE, fr-par-1].")
@click.option("--project-id", metavar="ID", default="", help="Project [SCW_DEFAULT_PROJECT_ID].")
@push_options
def push(
    *,
    push: PushOptions,
    command: PushCommand,
    bucket: str,
    img_name: str,
    zone: str,
    project_id: str,
) -> None:
    """Make an image of Scaleway, and print its id.

    Credentials are SCW_ACCESS_KEY and SCW_SECRET_KEY, or those of scw's configuration. LinuxKit's
    builder machine is not needed: the disk is imported from a bucket, and removed from there again.
    """

    def connect(notes: Path) -> Provider:
        from compos.cloud.scaleway.session import connect as to_scaleway

        return to_scaleway(
            bucket=bucket, name=img_name, zone=zone, project=project_id, show=command.show
        )

    push_to("scaleway", push, command, connect)


@click.command("scaleway")
@click.option("--instance-name", metavar="NAME", default="", help="Name of the machine [--name].")
@click.option("--project-id", metavar="ID", default="", help="Project [SCW_DEFAULT_PROJECT_ID].")
@click.option("--ssh-key", type=click.Path(path_type=Path), metavar="FILE", help="Public key.")
@click.option("--clean", is_flag=True, hidden=True, help="LinuxKit's word for --rm.")
@click.option("--no-attach", is_flag=True, hidden=True, help="For LinuxKit's sake.")
@run_options(size="DEV1-S", size_flag="--instance-type", variables=("SCW_RUN_TYPE", ""))
def run(
    *,
    request: MachineRequest,
    command: RunCommand,
    instance_name: str,
    project_id: str,
    ssh_key: Path | None,
    clean: bool,
    no_attach: bool,
) -> None:
    """Run an Instance of IMAGE: an image's id or name, or the newest that was pushed under a name.

    Credentials are SCW_ACCESS_KEY and SCW_SECRET_KEY, or those of scw's configuration, as is the
    zone. Scaleway does not tell what an Instance prints.
    """
    from compos.cloud.scaleway.session import connect_machines

    run_on(
        "scaleway",
        connect_machines(zone=request.zone, project=project_id, show=command.show),
        request._replace(
            name=instance_name or request.name,
            key=ssh_key.read_text().strip() if ssh_key else "",
        ),
        command._replace(remove=command.remove or clean),
    )
