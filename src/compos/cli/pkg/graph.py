"""`compos pkg graph`: what packages are built from, and why each has to be built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compos.cli.pkg.options import naming_options
from compos.cli.reading import reading_options
from compos.cli.settings import Settings, global_options

if TYPE_CHECKING:
    from compos.api.options import LoadOptions
    from compos.package.graph.drawing import Drawing
    from compos.package.naming import Naming

__all__ = ["graph"]


@click.command
@click.argument("sources", nargs=-1, required=True, metavar="DIR...|FILE...")
@click.option(
    "--platforms", metavar="LIST", help="Platforms of packages: linux/ARCH,... [this machine's]."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--dot", is_flag=True, help="Print Graphviz's language, for dot -Tsvg.")
@naming_options
@reading_options
@global_options
def graph(
    sources: tuple[str, ...],
    *,
    settings: Settings,
    reading: LoadOptions,
    platforms: str | None,
    naming: Naming,
    as_json: bool,
    dot: bool,
) -> None:
    """Print what the packages at or below DIR..., or those of the system in FILE..., are built
    from, and for each whether it has to be built, and why.

    Nothing is built or fetched.
    """
    from pathlib import Path

    if as_json and dot:
        raise click.UsageError("--json and --dot cannot be combined")
    folders = [source for source in sources if Path(source).is_dir()]
    if folders and len(folders) < len(sources):
        raise click.UsageError("name either folders of packages or the files of a system")
    if folders:
        drawing = _packages(settings, reading, folders, platforms, naming)
    elif platforms:
        raise click.UsageError("--platforms is for folders of packages; a system has --arch")
    else:
        drawing = _system(settings, reading, sources)
    _show(drawing, as_json=as_json, dot=dot)


def _packages(
    settings: Settings,
    reading: LoadOptions,
    folders: list[str],
    platforms: str | None,
    naming: Naming,
) -> Drawing:
    from compos.api.access import Access
    from compos.api.package_graph import draw_packages, packages_below
    from compos.image.platform import Platform

    tree, recipes = packages_below(folders, reading.packages, naming)
    wanted = [*map(Platform.parse, platforms.split(","))] if platforms else None
    return draw_packages(Access(settings.images), recipes, tree, wanted)


def _system(settings: Settings, reading: LoadOptions, sources: tuple[str, ...]) -> Drawing:
    from compos.api.access import Access
    from compos.api.load import load
    from compos.api.package_graph import draw_system
    from compos.config.images import registry_of_bricks

    description = load(sources, settings.trusted(reading))
    access = Access(settings.images, bricks=registry_of_bricks(description.config))
    return draw_system(access, description, sources[-1])


def _show(drawing: Drawing, *, as_json: bool, dot: bool) -> None:
    from compos.package.graph.drawing import to_dot, to_json, to_text

    if as_json:
        click.echo(to_json(drawing))
        return
    for line in to_dot(drawing) if dot else to_text(drawing):
        click.echo(line)
