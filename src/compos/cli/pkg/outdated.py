"""`compos pkg outdated`: packages in the store for which Debian has newer versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from compos.cli.builders import builder_options
from compos.cli.debian import DebianMirrors, debian_options
from compos.cli.pkg.options import org_option
from compos.cli.pkg.report import say_built
from compos.cli.settings import Settings, global_options

if TYPE_CHECKING:
    from compos.package.builders.request import BuildOptions
    from compos.package.outdated import Outdated

__all__ = ["outdated"]

OUTDATED = 100
"""Exit status when there is something newer, apart from errors: what `dnf check-update` ends
with."""


@click.command
@click.argument("folders", nargs=-1, metavar="[DIR...]")
@click.option("--security", is_flag=True, help="List only packages with security updates.")
@click.option("--rebuild", is_flag=True, help="Rebuild the listed packages.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, including packages that are up to date."
)
@org_option
@builder_options
@debian_options
@global_options
def outdated(
    folders: tuple[str, ...],
    *,
    settings: Settings,
    debian: DebianMirrors,
    dockerfiles: BuildOptions | None,
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
    from compos.package.naming import Naming
    from compos.package.outdated import bricks_of
    from compos.package.outdated import outdated as newer
    from compos.package.recipe import load_recipe, named
    from compos.progress import notice

    access = Access(debian.over(settings), dockerfiles=dockerfiles)
    store, makes = access.store, access.builder
    recipes = [load_recipe(Path(folder), Naming(org=org)) for folder in folders]
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
        say_built(makes.build(one.brick.recipe, one.brick.platform, one.brick.name))
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
