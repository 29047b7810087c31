"""`compos help`: the help of a verb, as `--help` shows it."""

from __future__ import annotations

import click

__all__ = ["help"]


@click.command
@click.argument("verbs", nargs=-1, metavar="[VERB...]")
def help(verbs: tuple[str, ...]) -> None:
    """Show the help of a verb, or of compos."""
    from compos.cli.main import cli

    cli.main([*verbs, "--help"], prog_name="compos", standalone_mode=False)
