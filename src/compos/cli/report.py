"""Errors as the user sees them: id, sentence, place, the lines in question, hint. On standard
error, one screen at most."""

from __future__ import annotations

import os
import sys

import click

from compos.cli.text import visible
from compos.errors import CombinedError, ComposError, DiskFull

__all__ = ["explained", "show", "show_usage", "traces", "unforeseen"]

MAX_ERRORS = 12
"""Errors shown of one run; the rest are counted."""


def show(error: ComposError) -> None:
    """Print `error`, or each of several."""
    errors = error.errors if isinstance(error, CombinedError) else (error,)
    for number, one in enumerate(errors[:MAX_ERRORS]):
        if number:
            _say("")
        _show_one(one)
    if len(errors) > MAX_ERRORS:
        _say(f"\n… and {len(errors) - MAX_ERRORS} more errors")


def _show_one(error: ComposError) -> None:
    _say(f"{click.style('error', fg='red', bold=True)}[{error.id}]: {visible(error.message)}")
    if error.place:
        _say(f"  {click.style('-->', fg='blue')} {visible(error.place)}")
    if error.excerpt:
        _say(visible(error.excerpt.rstrip("\n")))
    if error.hint:
        _say(f"\n{click.style('hint', fg='cyan')}: {visible(error.hint)}")


def show_usage(error: click.ClickException) -> None:
    """A mistake on the command line."""
    _say(f"{click.style('error', fg='red', bold=True)}[usage]: {visible(error.format_message())}")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        _say(f"\n{click.style('hint', fg='cyan')}: Try `{error.ctx.command_path} --help`.")


def explained(error: OSError) -> ComposError:
    """An operating system error that no layer below has put into words."""
    if DiskFull.matches(error):
        return DiskFull(
            "disk-full",
            "no space left on the disk",
            place=_name(error),
            hint="Free some space and try again.",
        )
    text = error.strerror or str(error)
    return ComposError(
        "system-error", f"the operating system reports: {text.lower()}", place=_name(error)
    )


def unforeseen(error: Exception) -> ComposError:
    """An error that is a mistake of ours."""
    import traceback

    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{'/'.join(place.filename.split('/')[-2:])}:{place.lineno}"
    return ComposError(
        "internal",
        f"{type(error).__name__}: {error}",
        place=where,
        hint="This is a bug in compos. Run the command again with -v 3, and report its output.",
    )


def traces() -> bool:
    """Whether the user wants to see where an unforeseen error comes from: -v 3."""
    from compos.cli import show

    return show.level() >= 3


def _name(error: OSError) -> str | None:
    return os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else None


def _say(text: str) -> None:
    click.echo(text, err=True, color=None if sys.stderr.isatty() else False)
