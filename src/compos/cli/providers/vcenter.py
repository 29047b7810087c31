"""`compos push vcenter`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from compos.cli.providers.options import push_options, push_to, show_call

if TYPE_CHECKING:
    from compos.api.push import PushOptions
    from compos.cloud.model import Provider

__all__ = ["push"]


@click.command("vcenter")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "--url",
    metavar="URL",
    envvar="VCURL",
    default="",
    help="Address of vCenter [VCURL]; user and password are VCUSER and VCPASSWORD.",
)
@click.option(
    "--library",
    metavar="NAME",
    default="compos",
    show_default=True,
    help="Content library; it is made on the datastore if it is not there.",
)
@click.option("--datastore", metavar="NAME", envvar="VCDATASTORE", default="", help="[VCDATASTORE]")
@click.option(
    "--img-name",
    metavar="NAME",
    default="",
    help="Exact name of the item [the file's name and 12 digits of its digest].",
)
@push_options
def push(
    sources: tuple[str, ...],
    *,
    push: PushOptions,
    dry_run: bool,
    as_json: bool,
    url: str,
    library: str,
    datastore: str,
    img_name: str,
) -> None:
    """Put an OVA into a content library of vCenter, and print the item's id.

    LinuxKit copies an ISO to a datastore, over SOAP and with any certificate; compos uses the REST
    API of vSphere 7 and later, and trusts the system's certificates and those of --cert-file.
    """
    if not url and not dry_run:
        raise click.UsageError("missing --url [VCURL]")

    def connect(notes: Path) -> Provider:
        from compos.cloud.vcenter.image import VcenterOptions
        from compos.cloud.vcenter.session import connect as to_vcenter

        return to_vcenter(
            VcenterOptions(library, datastore, img_name),
            url=url,
            certificates=push.build.images.certificates,
            show=show_call if dry_run else None,
        )

    push_to("vcenter", sources, push, connect, as_json=as_json, dry_run=dry_run)
