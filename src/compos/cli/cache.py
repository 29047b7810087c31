"""`compos cache`: what the store holds, and making room."""

from __future__ import annotations

from typing import Any

import click

from compos.cli.settings import global_options, settings_of

__all__ = ["cache"]


@click.group
def cache() -> None:
    """List and clean the store of images and derived results."""


@cache.command("ls")
@click.argument("ignored", nargs=-1, expose_value=False)
@global_options
def list_images(**options: Any) -> None:
    """List the images in the store: name and digest of the root manifest."""
    from compos.image.store import Store

    store = Store(settings_of(options).store_root)
    entries = [(name, entry.digest) for entry in store.entries() if (name := entry.annotations.get(NAME))]
    width = max([80, *(len(name) for name, _ in entries)])
    click.echo(f"{'image name':<{width}} root manifest hash")
    for name, digest in entries:
        click.echo(f"{name:<{width}} {digest}")


NAME = "org.opencontainers.image.ref.name"


@cache.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@global_options
def remove(names: tuple[str, ...], **options: Any) -> None:
    """Remove images by their stored names; blobs that others use stay."""
    from compos.image.reference import Reference
    from compos.image.store import Store

    store = Store(settings_of(options).store_root)
    store.remove(*(str(Reference.parse(name)) for name in names))


@cache.command("clean")
@click.argument("ignored", nargs=-1, expose_value=False)
@global_options
def clean(**options: Any) -> None:
    """Remove everything: images and derived results."""
    from compos.image.store import Store

    Store(settings_of(options).store_root).clean()
