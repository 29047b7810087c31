"""`compos inspect`: which kernel modules and firmware files a system keeps, and why."""

from __future__ import annotations

from typing import Any

import click

from compos.cli.reading import read_system, reading_options
from compos.cli.settings import global_options, settings_of

__all__ = ["inspect"]


@click.command
@click.argument("sources", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--format", "-f", "formats", multiple=True, metavar="NAME", help="The formats of the build: they choose drivers."
)
@reading_options
@click.option("--debian-mirror", metavar="URL", help="Debian mirror for bricks [COMPOS_DEBIAN_MIRROR, apt's].")
@global_options
def inspect(sources: tuple[str, ...], **options: Any) -> None:
    """Show which kernel modules and firmware files a system keeps, with their sizes, and why each.

    Says something where the YAML has kernel.modules or kernel.firmware; without them all are kept.
    """
    settings = settings_of(options)
    from compos.cli.images import images, open_store
    from compos.compose.system import compose_system
    from compos.config.dump import metadata_document
    from compos.output.build import find_parts
    from compos.output.formats import choose, machines

    formats = choose(options["formats"], to_file=False)
    reading = read_system(sources, options)
    config = reading.config
    store = open_store(settings)
    source = images(store, settings, options["debian_mirror"], local=reading.local)
    parts = find_parts(source, config, reading.platform)
    system = compose_system(
        store, config, parts, lambda form: metadata_document(config, form), machines=machines(formats)
    )
    if not system.kept:
        click.echo("All kernel modules and firmware files are kept: the YAML has no kernel.modules.")
        return
    width = max(len(one.path.rpartition("/")[2]) for one in system.kept)
    for one in sorted(system.kept, key=lambda one: -one.size):
        click.echo(f"{one.path.rpartition('/')[2]:{width}}  {one.size / 1000:9,.1f} kB  {one.why}")
    total = sum(one.size for one in system.kept)
    click.echo(f"{len(system.kept)} files, {total / 1e6:.1f} MB")
