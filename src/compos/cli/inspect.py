"""`compos inspect`: how large the parts of a system are, which kernel modules and firmware files it
keeps, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compos.cli.debian import DebianMirrors, debian_options
from compos.cli.reading import reading_options
from compos.cli.settings import Settings, global_options
from compos.cli.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compos.api.options import LoadOptions
    from compos.compose.system import Kept
    from compos.report.sizes import Part

__all__ = ["inspect"]


@click.command
@click.argument("sources", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--format",
    "-f",
    "formats",
    multiple=True,
    metavar="NAME",
    help="Formats of the build, which decide the drivers; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with sizes in bytes.")
@reading_options
@debian_options
@global_options
def inspect(
    sources: tuple[str, ...],
    *,
    settings: Settings,
    reading: LoadOptions,
    debian: DebianMirrors,
    formats: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show the size of each part of a system, plain and compressed, and why modules are included.

    Modules and firmware files are listed if the YAML has kernel.modules or kernel.firmware. Without
    these keys, all are included.
    """
    from compos.api.inspect import InspectOptions
    from compos.api.inspect import inspect as inspect_system

    options = InspectOptions(settings.trusted(reading), debian.over(settings), formats)
    parts, kept = inspect_system(sources, options)
    if as_json:
        _print_json(parts, kept)
        return
    _print_parts(parts)
    click.echo()
    _print_kept(kept)


def _print_json(parts: Sequence[Part], kept: Sequence[Kept]) -> None:
    import json

    document = {
        "parts": [part._asdict() for part in parts],
        "kept": [one._asdict() for one in kept],
    }
    click.echo(json.dumps(document, indent=2))


def _print_parts(parts: Sequence[Part]) -> None:
    total = sum(part.packed for part in parts)
    names = [visible(part.source) for part in parts]
    places = max(len("part"), *(len(part.location) for part in parts), 0)
    sources = max(len("from"), *map(len, names), 0)
    click.echo(
        f"{'part':{places}}  {'from':{sources}}  {'files':>7}  {'size':>9}  {'compressed':>10}  "
        "share"
    )
    for part, name in zip(parts, names, strict=True):
        click.echo(
            f"{part.location:{places}}  {name:{sources}}  {part.files:7,}  "
            f"{_megabytes(part.size):>9}"
            f"  {_megabytes(part.packed):>10}  {part.packed / (total or 1):5.1%}"
        )
    files, size = sum(part.files for part in parts), sum(part.size for part in parts)
    click.echo(
        f"{'all':{places}}  {'':{sources}}  {files:7,}  {_megabytes(size):>9}  "
        f"{_megabytes(total):>10}"
    )


def _print_kept(kept: Sequence[Kept]) -> None:
    if not kept:
        click.echo(
            "All kernel modules and firmware files are included: the YAML has no kernel.modules."
        )
        return
    names = {one: visible(one.path.rpartition("/")[2]) for one in kept}
    width = max(map(len, names.values()))
    for one in sorted(kept, key=lambda one: -one.size):
        click.echo(f"{names[one]:{width}}  {one.size / 1000:9,.1f} kB  {one.why}")
    click.echo(f"{len(kept)} files, {_megabytes(sum(one.size for one in kept))}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.2f} MB"
