"""`compos pkg manifest`, or `index`, and `compos pkg remote-tag`: names at registries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compos.cli.pkg.options import naming_options
from compos.cli.settings import Settings, global_options
from compos.cli.switches import Command

if TYPE_CHECKING:
    from compos.package.naming import Naming

__all__ = ["manifest", "remote_tag"]


@click.command(cls=Command)
@click.argument("folder", metavar="DIR")
@click.option("--release", metavar="TAG", help="Also do so for this tag.")
@click.option(
    "--registry",
    metavar="REGISTRY",
    help="Registry that the package was pushed to, HOST[:PORT]/PATH [its own].",
)
@naming_options
@global_options
def manifest(
    folder: str, *, settings: Settings, naming: Naming, release: str | None, registry: str | None
) -> None:
    """Have the registry join the images of a package that are tagged for single architectures.

    Architectures that are missing are left out; what the package's index has of others stays.
    """
    from pathlib import Path

    from compos.api.access import Access
    from compos.cli.pkg.report import say_published
    from compos.package.publish import published_as
    from compos.package.recipe import load_recipe
    from compos.package.release import releases, require_publishable
    from compos.package.remote_index import join
    from compos.package.tag import version_of

    access = Access(settings.images)
    recipe = load_recipe(Path(folder), naming)
    target = published_as(recipe, registry)
    tags = releases(recipe, release) if release is not None else ()
    if tags:
        require_publishable(recipe, version_of(recipe.folder, recipe.extra_sources, recipe.naming))
    for tag in (target.tag, *tags):
        say_published(join(access.store, access.registry, target._replace(tag=tag)))


@click.command("remote-tag", cls=Command)
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--release", hidden=True, expose_value=False)
@global_options
def remote_tag(source: str, target: str, *, settings: Settings) -> None:
    """Have the name TO at a registry stand for the image or index FROM, for all platforms.

    Within a repository only the name is set; otherwise everything is copied. A name without a tag
    means latest.
    """
    from compos.api.access import Access
    from compos.image.reference import Reference
    from compos.image.registries.push import push_target
    from compos.image.registries.tags import copy

    access = Access(settings.images)
    found = Reference.parse(source)
    if not found.tag and not found.digest:
        found = found._replace(tag="latest")
    named = push_target(target)
    digest, new = copy(access.store, access.registry, found, named)
    click.echo(f"{named} {digest} {'tagged' if new else 'up to date'}")
