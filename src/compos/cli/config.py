"""`compos config`: the system that YAML files describe, with where each value comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compos.cli.complete import complete_file
from compos.cli.debian import DebianMirrors, debian_options
from compos.cli.reading import reading_options
from compos.cli.settings import Settings, global_options

if TYPE_CHECKING:
    from compos.api.options import LoadOptions

__all__ = ["config"]


@click.command
@click.argument("sources", nargs=-1, required=True, metavar="FILE...", shell_complete=complete_file)
@reading_options
@click.option(
    "--format",
    "form",
    type=click.Choice(("yaml", "json")),
    default="yaml",
    show_default=True,
    help="Format of the output.",
)
@click.option(
    "--origins/--no-origins",
    default=True,
    help="Show the origin of each value (YAML only).",
)
@click.option(
    "--images",
    "with_images",
    is_flag=True,
    help="Include the settings from images' labels and configs.",
)
@debian_options
@global_options
def config(
    sources: tuple[str, ...],
    *,
    settings: Settings,
    reading: LoadOptions,
    debian: DebianMirrors,
    form: str,
    origins: bool,
    with_images: bool,
) -> None:
    """Print the merged YAML, with included files and variables resolved.

    The output can be built. Nothing is fetched or built, except with --images, which shows the
    final settings of each container.
    """
    from compos.api.load import load
    from compos.config.dump import resolved_json, resolved_yaml

    described = load(sources, settings.trusted(reading))
    system = described.config
    if with_images:
        from compos.api.access import Access
        from compos.compose.effective import effective_config
        from compos.config.images import registry_of_bricks
        from compos.output.build import resolve_inputs

        access = Access(
            debian.over(settings), bricks=registry_of_bricks(system), trust=system.trust
        )
        source = access.images_of(described)
        system = effective_config(system, resolve_inputs(source, system, described.platform).images)
    if form == "json":
        click.echo(resolved_json(system))
    else:
        click.echo(resolved_yaml(system, with_origins=origins), nl=False)
