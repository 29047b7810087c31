"""`compos metadata`: CDs and disks with a guest's metadata."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from compos.cli.settings import with_flags

__all__ = ["metadata"]

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group
def metadata() -> None:
    """Create metadata images for guests."""


@metadata.command
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.argument("text", metavar="TEXT")
def create(file: Path, text: str) -> None:
    """Write the ISO image FILE with one file, `config`, that contains TEXT: user data, or JSON that
    describes files."""
    from compos.run.metadata import write_metadata

    write_metadata(text.encode("utf-8", "surrogateescape"), file)


def _instance_flags(network: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """What both data sources take; `network` names the form of network configuration."""
    flags = [
        click.argument("file", type=click.Path(path_type=Path), metavar="FILE"),
        click.option(
            "--user-data", type=_FILE, metavar="PATH", help="User data: cloud-config, JSON, any."
        ),
        click.option("--hostname", default="", metavar="NAME", help="The guest's host name."),
        click.option(
            "--ssh-key",
            type=_FILE,
            multiple=True,
            metavar="PATH",
            help="File with public keys that may log in; repeatable.",
        ),
        click.option("--network-config", type=_FILE, metavar="PATH", help=network),
        click.option(
            "--vendor-data", type=_FILE, metavar="PATH", help="Vendor data, for cloud-init."
        ),
        click.option(
            "--instance-id",
            default="",
            metavar="ID",
            help="The instance's id [follows from the contents].",
        ),
        click.option(
            "--format",
            "form",
            type=click.Choice(("iso", "fat")),
            default="iso",
            show_default=True,
            help="A CD, or a disk.",
        ),
    ]
    return lambda function: with_flags(function, flags)


@metadata.command
@_instance_flags("Network configuration, version 1 or 2 (netplan), in YAML.")
def nocloud(file: Path, **options: Any) -> None:
    """Write FILE as the disk of cloud-init's data source NoCloud, with the label `cidata`."""
    _write("nocloud", file, options)


@metadata.command("config-drive")
@_instance_flags("Network configuration: OpenStack's network_data.json.")
def config_drive(file: Path, **options: Any) -> None:
    """Write FILE as OpenStack's config drive, with the label `config-2`."""
    _write("config-drive", file, options)


def _write(source: str, file: Path, options: dict[str, Any]) -> None:
    from compos.run.datasource import Instance, write_datasource

    def read(name: str) -> bytes:
        path: Path | None = options[name]
        return path.read_bytes() if path else b""

    keys = tuple(
        line
        for path in options["ssh_key"]
        for line in map(str.strip, path.read_text("utf-8", "replace").splitlines())
        if line and not line.startswith("#")
    )
    instance = Instance(
        read("user_data"),
        options["hostname"],
        keys,
        read("network_config"),
        read("vendor_data"),
        options["instance_id"],
    )
    write_datasource(instance, source, options["form"], file)
