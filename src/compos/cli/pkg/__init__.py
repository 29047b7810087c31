"""`compos pkg`: packages (bricks) as images. A module for each verb; `VERBS` has them all."""

from __future__ import annotations

import click

from compos.cli.pkg.build import build, push
from compos.cli.pkg.builder import builder
from compos.cli.pkg.graph import graph
from compos.cli.pkg.init import init
from compos.cli.pkg.manifest import manifest, remote_tag
from compos.cli.pkg.options import accept_common_flags
from compos.cli.pkg.outdated import outdated
from compos.cli.pkg.show_tag import show_tag
from compos.cli.switches import Group

__all__ = ["pkg"]

VERBS = (build, builder, graph, init, manifest, outdated, push, remote_tag, show_tag)


@click.group(cls=Group)
def pkg() -> None:
    """Build images from packages (bricks)."""


for verb in VERBS:
    pkg.add_command(verb)
for verb in (manifest, remote_tag, show_tag, *builder.commands.values()):
    accept_common_flags(verb)

# LinuxKit's other name of it.
pkg.add_command(manifest, "index")
