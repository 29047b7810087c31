"""`compos version`."""

from __future__ import annotations

import click

from compos import __version__

__all__ = ["version"]


@click.command
@click.argument("ignored", nargs=-1, expose_value=False)
def version() -> None:
    """Show the version."""
    click.echo(f"compos version {__version__}")
