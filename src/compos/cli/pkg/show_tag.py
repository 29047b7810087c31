"""`compos pkg show-tag`: what a package's image is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compos.cli.pkg.options import naming_options
from compos.cli.settings import Settings, global_options
from compos.cli.switches import Command

if TYPE_CHECKING:
    from compos.package.naming import Naming

__all__ = ["show_tag"]


@click.command("show-tag", cls=Command)
@click.argument("folders", nargs=-1, required=True, metavar="DIR...")
@click.option("--canonical", is_flag=True, help="Include the registry, as in the store.")
@naming_options
@global_options
def show_tag(
    folders: tuple[str, ...], *, settings: Settings, naming: Naming, canonical: bool
) -> None:
    """Print the image name of each package."""
    from pathlib import Path

    from compos.package.recipe import load_recipe, named

    del settings
    for folder in folders:
        recipe = load_recipe(Path(folder), naming)
        click.echo(named(recipe) if canonical else recipe.name)
