"""`compos push registry`: a system as an OCI artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from compos.cli.complete import complete_file
from compos.cli.reading import reading_options
from compos.cli.settings import Settings, global_options

if TYPE_CHECKING:
    from compos.api.options import LoadOptions

__all__ = ["push"]


@click.command("registry")
@click.argument(
    "sources", nargs=-1, required=True, metavar="SOURCE...", shell_complete=complete_file
)
@click.option(
    "--img-name",
    metavar="NAME",
    required=True,
    help="Name of the artifact: HOST[:PORT]/REPOSITORY[:TAG].",
)
@click.option(
    "--dir", "folder", metavar="DIR", default=".", help="Folder for what is built [the current]."
)
@click.option(
    "--bootable", is_flag=True, help="Push a container image with a kernel, as bootc has them."
)
@click.option(
    "--rollout",
    metavar="PERCENT",
    help="Of an update (NAME.raucb): how many of the machines take it [100].",
)
@click.option("--dry-run", is_flag=True, help="Print what would be pushed.")
@reading_options
@global_options
def push(
    sources: tuple[str, ...],
    *,
    settings: Settings,
    reading: LoadOptions,
    img_name: str,
    folder: str,
    bootable: bool,
    rollout: str | None,
    dry_run: bool,
) -> None:
    """Push a system as an OCI artifact: kernel, initrd and command line.

    SOURCE is YAML, which is built first, or an archive that was built with `-f oci`, or its prefix;
    or an update, NAME.raucb.
    What the registry has is not sent again. Credentials are those of docker login.
    """
    from compos.api.push import RegistryPush, push_to_registry

    request = RegistryPush(
        settings.images,
        settings.trusted(reading),
        img_name,
        Path(folder),
        dry_run,
        bootable,
        rollout,
    )
    push_to_registry(sources, request)
