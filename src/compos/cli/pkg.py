"""`compos pkg`: packages (bricks) as images."""

from __future__ import annotations

from typing import Any

import click

from compos.cli.settings import global_options, settings_of

__all__ = ["pkg"]


@click.group
def pkg() -> None:
    """Build packages (bricks) as images."""


@pkg.command
@click.argument("folders", nargs=-1, required=True, metavar="DIR...")
@click.option("--platforms", metavar="LIST", help="linux/ARCH,... [this machine's].")
@click.option("--debian-mirror", metavar="URL", help="Debian mirror [COMPOS_DEBIAN_MIRROR, apt's].")
@click.option("--force", is_flag=True, help="Build even if the store has the package already.")
@global_options
def build(folders: tuple[str, ...], **options: Any) -> None:
    """Build the packages in DIR... into the store."""
    settings = settings_of(options)
    from pathlib import Path

    from compos.cli.images import builder, open_store
    from compos.image.platform import Platform
    from compos.package.recipe import RECIPE, load_recipe, named, recipe_key
    from compos.progress import notice

    store = open_store(settings)
    build_one = builder(store, settings, options["debian_mirror"]).build
    wanted = options["platforms"].split(",") if options["platforms"] else [str(Platform.host())]
    for folder in folders:
        recipe = load_recipe(Path(folder))
        if not recipe.arches:
            notice(f"{recipe.name} is made for no architecture")
            continue
        for platform in map(Platform.parse, wanted):
            name = named(recipe)
            entry = store.resolve(name)
            key = entry.annotations.get(f"{RECIPE}.{platform.architecture}") if entry else None
            if not options["force"] and key == recipe_key(recipe, platform.architecture):
                notice(f"{name} {platform} is in the store already")
                continue
            image = build_one(recipe, platform, name)
            size = sum(layer.size for layer in image.layers)
            notice(f"{name} {platform} {image.digest} {size / 1e6:.1f} MB")


@pkg.command("show-tag")
@click.argument("folders", nargs=-1, required=True, metavar="DIR...")
@click.option("--canonical", is_flag=True, help="With registry, as the store names it.")
def show_tag(folders: tuple[str, ...], canonical: bool) -> None:
    """Print the image name of each package."""
    from pathlib import Path

    from compos.package.recipe import load_recipe, named

    for folder in folders:
        recipe = load_recipe(Path(folder))
        click.echo(named(recipe) if canonical else recipe.name)
