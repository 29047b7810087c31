"""`compos push azure` and `compos run azure`."""

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


@click.command("azure")
@click.option(
    "--resource-group", metavar="NAME", required=True, help="Resource group, which exists."
)
@click.option(
    "--storage-account", metavar="NAME", required=True, help="Storage account, which exists."
)
@click.option(
    "--container", metavar="NAME", default="compos", show_default=True, help="Container for blobs."
)
@click.option(
    "--img-name",
    metavar="NAME",
    default="",
    help="Exact name of the image [the file's name and 12 digits of its digest].",
)
@click.option("--gallery", metavar="NAME", default="", help="Make a version in this gallery.")
@click.option(
    "--definition", metavar="NAME", default="", help="Image of the gallery [the file's name]."
)
@click.option("--version", "version", metavar="X.Y.Z", default="", help="The version [1.0.0].")
@click.option("--blob-only", is_flag=True, help="Only upload the blob, as LinuxKit does.")
@push_options
def push(
    *,
    push: PushOptions,
    command: PushCommand,
    resource_group: str,
    storage_account: str,
    container: str,
    img_name: str,
    gallery: str,
    definition: str,
    version: str,
    blob_only: bool,
) -> None:
    """Make a managed image, or a version in a gallery, and print its id.

    The subscription is AZURE_SUBSCRIPTION_ID. Credentials are those that azure-identity finds:
    AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, a managed identity, `az login`. Only
    pages that are not zeros are sent.
    """
    if (definition or version) and not gallery:
        raise click.UsageError("--definition and --version require --gallery")

    def connect(notes: Path) -> Provider:
        from compos.cloud.azure.image import AzureImages, AzureOptions
        from compos.cloud.azure.session import connect as to_azure

        options = AzureOptions(
            resource_group,
            storage_account,
            container,
            img_name,
            gallery,
            definition,
            version,
            blob_only,
        )
        return AzureImages(to_azure(show=command.show), options)

    push_to("azure", push, command, connect)


@click.command("azure")
@click.option(
    "--resource-group",
    "--resourceGroupName",
    "group",
    metavar="NAME",
    required=True,
    help="Resource group; it is made if it is not there.",
)
@click.option(
    "--location", default="westus", show_default=True, metavar="NAME", help="Where to run it."
)
@click.option(
    "--accountName", "account", hidden=True, help="For LinuxKit's sake: the image is there."
)
@click.option("--ssh-key", type=click.Path(path_type=Path), metavar="FILE", help="Public key.")
@run_options(size="Standard_B1s")
def run(
    *,
    request: MachineRequest,
    command: RunCommand,
    group: str,
    location: str,
    account: str | None,
    ssh_key: Path | None,
) -> None:
    """Run a machine of IMAGE: an image's id or name, or the newest that was pushed under a name."""
    from compos.cloud.azure.machine import AzureMachines, VmOptions
    from compos.cloud.azure.session import connect as to_azure

    run_on(
        "azure",
        AzureMachines(to_azure(show=command.show), VmOptions(group, location)),
        request._replace(key=ssh_key.read_text().strip() if ssh_key else ""),
        command,
    )
