"""`compos pkg`: packages (bricks) as images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from compos.cli.debian import DebianMirrors, debian_options
from compos.cli.settings import Settings, global_options

if TYPE_CHECKING:
    from compos.image.model import Image
    from compos.package.outdated import Outdated

__all__ = ["pkg"]

OUTDATED = 100
"""Exit status when there is something newer, apart from errors: what `dnf check-update` ends
with."""


_org = click.option(
    "--org",
    envvar="LINUXKIT_PKG_ORG",
    metavar="NAME",
    help="Organisation to use instead of the packages' own [LINUXKIT_PKG_ORG].",
)


@click.group
def pkg() -> None:
    """Build images from packages (bricks)."""


@pkg.command
@click.argument("folders", nargs=-1, required=True, metavar="DIR...")
@click.option(
    "--platforms", metavar="LIST", help="Platforms to build for: linux/ARCH,... [this machine's]."
)
@_org
@debian_options
@click.option("--force", is_flag=True, help="Build even if the store already has the package.")
@global_options
def build(
    folders: tuple[str, ...],
    *,
    settings: Settings,
    debian: DebianMirrors,
    platforms: str | None,
    org: str | None,
    force: bool,
) -> None:
    """Build the packages in DIR... into the store."""
    from pathlib import Path

    from compos.api.access import Access
    from compos.image.names import RECIPE
    from compos.image.platform import Platform
    from compos.package.bricks import own_name
    from compos.package.recipe import load_recipe
    from compos.package.recipe_key import recipe_key
    from compos.progress import notice

    access = Access(debian.over(settings))
    store = access.store
    wanted = platforms.split(",") if platforms else [str(Platform.host())]
    for folder in folders:
        recipe = load_recipe(Path(folder), org=org)
        if not recipe.arches:
            notice(f"{recipe.name} is not built for any architecture")
            continue
        for platform in map(Platform.parse, wanted):
            name = own_name(recipe)
            entry = store.resolve(name)
            key = entry.annotations.get(f"{RECIPE}.{platform.architecture}") if entry else None
            if not force and key == recipe_key(recipe, platform.architecture):
                notice(f"{name} {platform} is already in the store")
                continue
            _say_built(access.builder.build(recipe, platform, name))


def _say_built(image: Image) -> None:
    from compos.progress import notice

    size = sum(layer.size for layer in image.layers)
    notice(f"{image.name} {image.config.platform} {image.digest} {size / 1e6:.1f} MB")


@pkg.command
@click.argument("folders", nargs=-1, metavar="[DIR...]")
@click.option("--security", is_flag=True, help="List only packages with security updates.")
@click.option("--rebuild", is_flag=True, help="Rebuild the listed packages.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, including packages that are up to date."
)
@_org
@debian_options
@global_options
def outdated(
    folders: tuple[str, ...],
    *,
    settings: Settings,
    debian: DebianMirrors,
    security: bool,
    rebuild: bool,
    as_json: bool,
    org: str | None,
) -> int:
    """List packages in the store for which Debian has newer versions: those in DIR..., or all of
    compos's bricks.

    Packages that were built from a different recipe are listed, too. The exit status is 100 if any
    package is listed and not rebuilt, 0 if none is, and 1 for any error.
    """
    from pathlib import Path

    from compos.api.access import Access
    from compos.package.outdated import bricks_of
    from compos.package.outdated import outdated as newer
    from compos.package.recipe import load_recipe, named
    from compos.progress import notice

    access = Access(debian.over(settings))
    store, makes = access.store, access.builder
    recipes = [load_recipe(Path(folder), org=org) for folder in folders]
    found = [
        newer(store, makes.indexes, brick)
        for brick in bricks_of(store, recipes if folders else None)
    ]
    for name in sorted({named(recipe) for recipe in recipes} - {one.brick.name for one in found}):
        notice(f"{name} is not in the store")
    listed = [one for one in found if (one.security if security else one.newer)]
    if as_json:
        _print_json(found)
    elif listed:
        _print_table(listed, security=security)
    if not rebuild:
        return OUTDATED if listed else 0
    for one in listed:
        _say_built(makes.build(one.brick.recipe, one.brick.platform, one.brick.name))
    return 0


def _print_json(found: Iterable[Outdated]) -> None:
    import json

    bricks = [
        {
            "name": one.brick.name,
            "platform": str(one.brick.platform),
            "digest": one.brick.image.digest,
            "outdated": one.newer,
            "security": one.security,
            "recipe_changed": one.brick.changed,
            "unknown": one.unknown,
            "packages": [package._asdict() for package in one.packages],
        }
        for one in found
    ]
    click.echo(json.dumps({"bricks": bricks}, indent=2))


def _print_table(listed: Iterable[Outdated], *, security: bool) -> None:
    rows = [("IMAGE", "PLATFORM", "PACKAGE", "VERSION", "NEWER", "FROM")]
    rows += [row for one in listed for row in _rows(one, security=security)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _rows(one: Outdated, *, security: bool) -> Iterator[tuple[str, str, str, str, str, str]]:
    start = (one.brick.name, str(one.brick.platform))
    if one.unknown:
        yield (*start, "-", "unknown", "-", "no SBOM")
    if one.brick.changed and not security:
        yield (*start, "-", "-", "-", "different recipe")
    for package in one.packages:
        if security and not package.security:
            continue
        now = (
            package.now
            if package.replacement in ("", package.package)
            else f"{package.replacement} {package.now}"
        )
        origin = f"{package.suite} (security)" if package.security else package.suite
        yield (*start, package.package, package.version, now or "-", origin or "no longer needed")


@pkg.command("show-tag")
@click.argument("folders", nargs=-1, required=True, metavar="DIR...")
@click.option("--canonical", is_flag=True, help="Include the registry, as in the store.")
@_org
def show_tag(folders: tuple[str, ...], canonical: bool, org: str | None) -> None:
    """Print the image name of each package."""
    from pathlib import Path

    from compos.package.recipe import load_recipe, named

    for folder in folders:
        recipe = load_recipe(Path(folder), org=org)
        click.echo(named(recipe) if canonical else recipe.name)
