"""`compos pkg init`: the folder of a new package."""

from __future__ import annotations

import click

__all__ = ["init"]


@click.command
@click.argument("name", metavar="NAME")
@click.option(
    "--org",
    envvar="LINUXKIT_PKG_ORG",
    metavar="NAME",
    default="local",
    show_default=True,
    help="Organisation, or registry and path, that the package belongs to [LINUXKIT_PKG_ORG].",
)
def init(name: str, org: str) -> None:
    """Create the folder NAME with a package: a recipe, a program, a README, an example system and
    a test that passes."""
    from pathlib import Path

    from compos.package.skeleton import create_package

    for path in create_package(Path(name), org):
        click.echo(path)
