"""`compos push gcp` and `compos run gcp`."""

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


@click.command("gcp")
@click.option(
    "--keys",
    metavar="FILE",
    envvar="CLOUDSDK_COMPUTE_KEYS",
    default="",
    help="Service account's key in JSON [CLOUDSDK_COMPUTE_KEYS, the application default "
    "credentials].",
)
@click.option(
    "--project",
    metavar="ID",
    envvar="CLOUDSDK_CORE_PROJECT",
    default="",
    help="Project [CLOUDSDK_CORE_PROJECT, the credentials' own].",
)
@click.option(
    "--bucket",
    metavar="NAME",
    envvar="CLOUDSDK_IMAGE_BUCKET",
    default="",
    help="Bucket for the archive [CLOUDSDK_IMAGE_BUCKET].",
)
@click.option(
    "--public",
    is_flag=True,
    envvar="CLOUDSDK_IMAGE_PUBLIC",
    help="Leave the archive in the bucket for everybody to read [CLOUDSDK_IMAGE_PUBLIC].",
)
@click.option(
    "--family",
    metavar="NAME",
    envvar="CLOUDSDK_IMAGE_FAMILY",
    default="",
    help="Image family, whose older images are deprecated [CLOUDSDK_IMAGE_FAMILY].",
)
@click.option(
    "--img-name",
    metavar="NAME",
    envvar="CLOUDSDK_IMAGE_NAME",
    default="",
    help="Exact name of the image [the file's name and 12 digits of its digest].",
)
@click.option("--nested-virt", is_flag=True, help="Allow nested virtualization.")
@click.option("--uefi-compatible", is_flag=True, help="UEFI can start the image [if it can].")
@push_options
def push(
    *,
    push: PushOptions,
    command: PushCommand,
    keys: str,
    project: str,
    bucket: str,
    public: bool,
    family: str,
    img_name: str,
    nested_virt: bool,
    uefi_compatible: bool,
) -> None:
    """Make an image of Compute Engine, and print its name.

    Credentials are those that google-auth finds: GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth
    application-default login`, the machine's own.
    """

    def connect(notes: Path) -> Provider:
        from compos.cloud.gcp.image import GcpImages, GcpOptions
        from compos.cloud.gcp.session import connect as to_google

        google = to_google(project=project, keys=keys, show=command.show)
        options = GcpOptions(bucket, img_name, family, public, nested_virt, uefi_compatible)
        return GcpImages(google, options)

    push_to("gcp", push, command, connect)


@click.command("gcp")
@click.option("--keys", metavar="FILE", envvar="CLOUDSDK_COMPUTE_KEYS", default="", hidden=True)
@click.option(
    "--project",
    metavar="ID",
    envvar="CLOUDSDK_CORE_PROJECT",
    default="",
    help="Project [CLOUDSDK_CORE_PROJECT, the credentials' own].",
)
@click.option("--skip-cleanup", is_flag=True, hidden=True, help="For LinuxKit's sake: see --rm.")
@click.option("--nested-virt", is_flag=True, help="Allow nested virtualization.")
@click.option("--vtpm", is_flag=True, help="Add a virtual TPM.")
@click.option("--ssh-key", type=click.Path(path_type=Path), metavar="FILE", help="Public key.")
@click.option(
    "--ssh-user", default="moby", show_default=True, metavar="USER", help="Whom it belongs to."
)
@run_options(
    size="g1-small",
    zone="europe-west1-d",
    variables=("CLOUDSDK_COMPUTE_MACHINE", "CLOUDSDK_COMPUTE_ZONE"),
)
def run(
    *,
    request: MachineRequest,
    command: RunCommand,
    keys: str,
    project: str,
    skip_cleanup: bool,
    nested_virt: bool,
    vtpm: bool,
    ssh_key: Path | None,
    ssh_user: str,
) -> None:
    """Run an instance of IMAGE: an image's name, or the newest that was pushed under a name."""
    from compos.cloud.gcp.machine import GcpMachines, VmOptions
    from compos.cloud.gcp.session import connect as to_google

    google = to_google(project=project, keys=keys, show=command.show)
    run_on(
        "gcp",
        GcpMachines(google, request.zone, VmOptions(nested_virt, vtpm, ssh_user)),
        request._replace(key=ssh_key.read_text().strip() if ssh_key else ""),
        command._replace(remove=command.remove and not skip_cleanup),
    )
