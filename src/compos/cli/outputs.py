"""Flags that say which outputs are meant, for the verb that writes them and for those that must
know what they are made with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from compos.cli.complete import complete_format
from compos.output.roots import AUTO, ROOTS

__all__ = ["format_option", "root_option"]

Result = TypeVar("Result")


def format_option(help: str) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """`--format`, which a command gets as `formats`: names, several of them with commas."""
    return click.option(
        "-f",
        "--format",
        "formats",
        multiple=True,
        metavar="LIST",
        shell_complete=complete_format,
        help=help,
    )


def root_option(help: str) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """`--root`: the kind of root."""
    return click.option(
        "--root", type=click.Choice((AUTO, *ROOTS)), default=AUTO, show_default=True, help=help
    )
