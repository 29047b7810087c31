"""Flags of verbs that look into systems without building them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, TypeVar

import click

from compos.cli.complete import complete_format
from compos.cli.debian import DebianMirrors, debian_options
from compos.cli.reading import reading_options
from compos.cli.settings import Settings, global_options

if TYPE_CHECKING:
    from compos.api.options import LoadOptions

__all__ = ["FORMATS", "inspect_options"]

Result = TypeVar("Result")

FORMATS = click.option(
    "--format",
    "-f",
    "formats",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_format,
    help="Formats of the build, which decide the drivers; repeatable.",
)


def inspect_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Add what decides what a system is to a command that has `FORMATS`, too; it gets both as
    `options`."""

    @wraps(function)
    def command(
        *,
        settings: Settings,
        reading: LoadOptions,
        debian: DebianMirrors,
        formats: tuple[str, ...],
        **others: object,
    ) -> Result:
        from compos.api.composed import InspectOptions

        options = InspectOptions(settings.trusted(reading), debian.over(settings), formats)
        return function(options=options, **others)

    return reading_options(debian_options(global_options(command)))
