"""`compos metadata`: the CD with a guest's metadata."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["metadata"]


@click.group
def metadata() -> None:
    """Create metadata images for guests."""


@metadata.command
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.argument("text", metavar="TEXT")
def create(file: Path, text: str) -> None:
    """Write the ISO image FILE with one file, `config`, that contains TEXT: user data, or JSON that
    describes files."""
    from compos.run.metadata import write_metadata

    write_metadata(text.encode("utf-8", "surrogateescape"), file)
