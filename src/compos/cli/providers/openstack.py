"""`compos push openstack` and `compos run openstack`."""

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


@click.command("openstack")
@click.option(
    "--img-name",
    metavar="NAME",
    default="",
    help="Exact name of the image [the file's name and 12 digits of its digest].",
)
@click.option("--uefi", is_flag=True, help="Have Nova start the image by UEFI.")
@push_options
def push(
    *,
    push: PushOptions,
    command: PushCommand,
    img_name: str,
    uefi: bool,
) -> None:
    """Make an image of Glance, and print its id.

    The cloud is the one that OS_CLOUD names in clouds.yaml, or OS_AUTH_URL and the other variables.
    """

    def connect(notes: Path) -> Provider:
        from compos.cloud.openstack.image import GlanceImages, GlanceOptions
        from compos.cloud.openstack.session import connect as to_openstack

        cloud = to_openstack(show=command.show)
        return GlanceImages(cloud, GlanceOptions(img_name, uefi))

    push_to("openstack", push._replace(uefi=uefi), command, connect)


@click.command("openstack")
@click.option("--instancename", metavar="NAME", default="", help="Name of the server [--name].")
@click.option("--network", metavar="ID", default="", help="Network [the project's only one].")
@click.option(
    "--sec-groups",
    default="default",
    show_default=True,
    metavar="LIST",
    help="Security groups, separated by commas.",
)
@click.option("--keyname", metavar="NAME", default="", help="Key pair of Nova.")
@run_options(size="m1.tiny", size_flag="--flavor")
def run(
    *,
    request: MachineRequest,
    command: RunCommand,
    instancename: str,
    network: str,
    sec_groups: str,
    keyname: str,
) -> None:
    """Run a server of IMAGE: an image's id or name, or the newest that was pushed under a name."""
    from compos.cloud.openstack.machine import NovaMachines, ServerOptions
    from compos.cloud.openstack.session import connect as to_openstack

    groups = tuple(part.strip() for part in sec_groups.split(",") if part.strip())
    run_on(
        "openstack",
        NovaMachines(to_openstack(show=command.show), ServerOptions(network, groups)),
        request._replace(name=instancename or request.name, key=keyname),
        command,
    )
