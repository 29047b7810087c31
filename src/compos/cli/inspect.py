"""`compos inspect`: how large the parts of a system are, which kernel modules and firmware files it
keeps, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from compos.cli.debian import debian_mirrors, debian_options
from compos.cli.reading import read_system, reading_options
from compos.cli.settings import global_options, settings_of
from compos.cli.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    help="The formats of the build: they choose drivers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: sizes in bytes.")
@reading_options
@debian_options
@global_options
def inspect(sources: tuple[str, ...], **options: Any) -> None:
    """Show how large the parts of a system are, plain and compressed, and why kernel modules stay.

    Modules and firmware files are listed where the YAML has kernel.modules or kernel.firmware;
    without them all stay.
    """
    settings = settings_of(options)
    from compos.cli.images import images, open_store
    from compos.compose.host_files import read_sources
    from compos.compose.system import compose_system
    from compos.config.dump import metadata_document
    from compos.output.build import find_parts
    from compos.output.formats import choose, machines
    from compos.output.job import Job, Request
    from compos.report.sizes import system_parts

    formats = choose(options["formats"], to_file=False)
    reading = read_system(sources, options)
    config = reading.config
    store = open_store(settings)
    source = images(store, settings, debian_mirrors(options), local=reading.local)
    found = find_parts(source, config, reading.platform)
    system = compose_system(
        store,
        config,
        found,
        lambda form: metadata_document(config, form),
        sources=read_sources(store, config.files),
        machines=machines(formats),
    )
    request = Request(formats, "zstd", reading.platform.architecture)
    parts = system_parts(Job(store, system, request, {}, [], {}), config)
    if options["as_json"]:
        _print_json(parts, system.kept)
        return
    _print_parts(parts)
    click.echo()
    _print_kept(system.kept)


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
            "All kernel modules and firmware files are kept: the YAML has no kernel.modules."
        )
        return
    names = {one: visible(one.path.rpartition("/")[2]) for one in kept}
    width = max(map(len, names.values()))
    for one in sorted(kept, key=lambda one: -one.size):
        click.echo(f"{names[one]:{width}}  {one.size / 1000:9,.1f} kB  {one.why}")
    click.echo(f"{len(kept)} files, {_megabytes(sum(one.size for one in kept))}")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.2f} MB"
