"""`compos inspect`: how large the parts of a system are, which kernel modules and firmware files it
keeps, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compos.cli.complete import complete_file
from compos.cli.inspecting import FORMATS, inspect_options
from compos.cli.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compos.api.composed import InspectOptions
    from compos.api.inspect import Inspection
    from compos.compose.system import Kept
    from compos.report.facts import Powers
    from compos.report.overview import Duplicate, Update
    from compos.report.sizes import Part

__all__ = ["inspect"]

SHOWN = 5
"""Duplicates that are listed; --json has all."""

USUAL = ("net", "ipc", "uts")
"""Namespaces of the machine that containers have unless the YAML says otherwise, as in LinuxKit."""


@click.command
@click.argument("sources", nargs=-1, required=True, metavar="FILE...", shell_complete=complete_file)
@FORMATS
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with sizes in bytes.")
@click.option(
    "--updates", is_flag=True, help="Look for security updates that the system's bricks lack."
)
@inspect_options
def inspect(
    sources: tuple[str, ...],
    *,
    options: InspectOptions,
    as_json: bool,
    updates: bool,
) -> None:
    """Show what a system is made of: the size of each part, plain and compressed, what containers
    may do, what is there more than once, and why modules are included.

    Modules and firmware files are listed if the YAML has kernel.modules or kernel.firmware. Without
    these keys, all are included.
    """
    from compos.api.inspect import inspect as inspect_system

    found = inspect_system(sources, options, updates=updates)
    if as_json:
        _print_json(found)
        return
    _print_parts(found.parts)
    click.echo()
    if found.powers:
        _print_powers(found.powers)
        click.echo()
    if found.duplicates:
        _print_duplicates(found.duplicates)
        click.echo()
    if found.updates is not None:
        _print_updates(found.updates)
        click.echo()
    _print_kept(found.kept)


def _print_json(found: Inspection) -> None:
    import json

    document = {
        "parts": [part._asdict() for part in found.parts],
        "kept": [one._asdict() for one in found.kept],
        "images": [
            {**one._asdict(), "layers": [layer._asdict() for layer in one.layers]}
            for one in found.images
        ],
        "duplicates": [one._asdict() for one in found.duplicates],
        "powers": [one._asdict() for one in found.powers],
        "updates": None if found.updates is None else [one._asdict() for one in found.updates],
    }
    click.echo(json.dumps(document, indent=2))


def _print_powers(powers: Sequence[Powers]) -> None:
    width = max(len("container"), *(len(visible(one.location)) for one in powers))
    click.echo(f"{'container':{width}}  {'user':>7}  {'system calls':12}  {'masked':>6}  powers")
    for one in powers:
        calls = "filtered" if one.seccomp else "all"
        shared = [f"the machine's {name}" for name in one.shares if name not in USUAL]
        names = ("all capabilities",) if one.has_all_capabilities else one.capabilities
        devices = [f"device {name}" for name in one.devices]
        words = ", ".join((*(name.removeprefix("CAP_") for name in names), *shared, *devices))
        click.echo(
            f"{visible(one.location):{width}}  {one.user:>7}  {calls:12}  {one.masked:6}  "
            f"{visible(words) or '-'}"
        )


def _print_duplicates(found: Sequence[Duplicate]) -> None:
    wasted = sum(one.wasted for one in found)
    click.echo(f"{_megabytes(wasted)} in {len(found)} files that are there more than once")
    for one in found[:SHOWN]:
        click.echo(f"{_megabytes(one.wasted):>12}  {len(one.paths)} times /{visible(one.paths[0])}")


def _print_updates(found: Sequence[Update]) -> None:
    if not found:
        click.echo("No security updates are outstanding.")
    for one in found:
        what = f"{one.package} {one.version} → {one.now}" if one.package else "nobody knows what"
        click.echo(f"security update  {visible(one.image)}  {visible(what)}")


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
