"""`compos push hetzner`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from compos.cli.providers.options import push_options, push_to, show_call

if TYPE_CHECKING:
    from compos.api.push import PushOptions
    from compos.cloud.model import Provider

__all__ = ["push"]


@click.command("hetzner")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
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
    sources: tuple[str, ...],
    *,
    push: PushOptions,
    dry_run: bool,
    as_json: bool,
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
        return to_hetzner(options, show=show_call if dry_run else None)

    push_to("hetzner", sources, push, connect, as_json=as_json, dry_run=dry_run)
