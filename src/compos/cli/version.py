"""`compos version`."""

from __future__ import annotations

import click

from compos.version import __version__

__all__ = ["version"]


@click.command
@click.argument("ignored", nargs=-1, expose_value=False, metavar="")
@click.option("--short", is_flag=True, help="Print only the version.")
@click.option("--commit", is_flag=True, help="Print only the commit that compos was built from.")
def version(short: bool, commit: bool) -> None:
    """Show the version."""
    if short:
        click.echo(__version__)
    elif commit:
        click.echo(_commit() or "unknown")
    else:
        click.echo(f"compos version {__version__}")
        if known := _commit():
            click.echo(f"commit: {known}")


def _commit() -> str:
    """The commit that a checkout stands at; empty for an installed package."""
    from pathlib import Path

    folder = Path(__file__).parents[3] / ".git"
    try:
        common = folder
        if folder.is_file():
            # A work tree of its own: gitrepository-layout(5), "gitdir" and "commondir".
            folder = folder.parent / folder.read_text().removeprefix("gitdir: ").strip()
            common = folder / (folder / "commondir").read_text().strip()
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (common / name).is_file():
            return (common / name).read_text().strip()
        packed = (common / "packed-refs").read_text().splitlines()
        return next((line.partition(" ")[0] for line in packed if line.endswith(f" {name}")), "")
    except OSError:
        return ""
