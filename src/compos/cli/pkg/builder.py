"""`compos pkg builder`: the caches of the builders of Dockerfiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compos.cli.builders import PLACE_FLAGS, container_of
from compos.cli.settings import Settings, global_options, with_flags
from compos.cli.switches import Command, Group

if TYPE_CHECKING:
    from compos.package.builders.request import BuildOptions

__all__ = ["builder"]

_FLAGS = (
    *PLACE_FLAGS,
    click.option(
        "--platforms",
        metavar="LIST",
        help="Platforms whose builders are meant: linux/ARCH,... [this machine's].",
    ),
)


@click.group(cls=Group)
def builder() -> None:
    """Show and remove what builders of Dockerfiles keep."""


def _verb(name: str, text: str, *, prune: bool) -> None:
    @global_options
    def command(
        *,
        settings: Settings,
        builder: str | None,
        builders: str | None,
        builder_name: str | None,
        builder_image: str | None,
        builder_config: str | None,
        builder_restart: bool,
        platforms: str | None,
    ) -> None:
        from compos.package.builders.choice import parse_builders
        from compos.package.builders.request import BuildOptions

        container = container_of(builder_name, builder_image, builder_config, builder_restart)
        places = parse_builders(builders or "")
        options = BuildOptions(builder or "", places, container=container)
        _show(settings, options, platforms, prune=prune)

    builder.add_command(click.command(name, help=text, cls=Command)(with_flags(command, _FLAGS)))


def _show(settings: Settings, options: BuildOptions, platforms: str | None, *, prune: bool) -> None:
    import os

    from compos.api.access import Access
    from compos.image.platform import Platform
    from compos.package.builders.choice import choose

    wanted = platforms.split(",") if platforms else [str(Platform.host())]
    shown = set()
    for platform in map(Platform.parse, wanted):
        found = choose(options, platform, os.environ)
        if found.title in shown:
            continue
        shown.add(found.title)
        click.echo(f"{found.title}:")
        with Access(settings.images).store.scratch() as scratch:
            click.echo(found.cache(scratch, prune=prune))


_verb("du", "Show what the builders' caches have.", prune=False)
_verb("prune", "Remove what the builders' caches have and nothing uses.", prune=True)
