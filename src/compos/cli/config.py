"""`compos config`: the system that YAML files describe, with where each value comes from."""

from __future__ import annotations

from typing import Any

import click

from compos.cli.debian import debian_mirrors, debian_options
from compos.cli.reading import read_system, reading_options
from compos.cli.settings import global_options, settings_of

__all__ = ["config"]


@click.command
@click.argument("sources", nargs=-1, required=True, metavar="FILE...")
@reading_options
@click.option(
    "--format",
    "form",
    type=click.Choice(("yaml", "json")),
    default="yaml",
    show_default=True,
    help="What is printed.",
)
@click.option(
    "--origins/--no-origins",
    default=True,
    help="Say beside each value (of YAML) where it comes from.",
)
@click.option(
    "--images",
    "with_images",
    is_flag=True,
    help="Add what images' labels and configs give to containers.",
)
@debian_options
@global_options
def config(sources: tuple[str, ...], **options: Any) -> None:
    """Print the system that YAML files describe: merged, included files and variables put in.

    What is printed can be built. Nothing is fetched or built, unless --images asks for what
    containers get in the end.
    """
    settings = settings_of(options)
    from compos.config.dump import resolved_json, resolved_yaml

    reading = read_system(sources, options)
    system = reading.config
    if options["with_images"]:
        from compos.cli.images import images, open_store
        from compos.compose.effective import effective
        from compos.output.build import find_parts

        source = images(
            open_store(settings), settings, debian_mirrors(options), local=reading.local
        )
        system = effective(system, find_parts(source, system, reading.platform).images)
    if options["form"] == "json":
        click.echo(resolved_json(system))
    else:
        click.echo(resolved_yaml(system, with_origins=options["origins"]), nl=False)
