"""`compos why`: which entry of the YAML brought something into the system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compos.cli.complete import complete_file
from compos.cli.inspecting import FORMATS, inspect_options
from compos.cli.text import visible

if TYPE_CHECKING:
    from compos.api.composed import InspectOptions
    from compos.report.reasons import Reason

__all__ = ["why"]


@click.command
@click.argument("name", metavar="PATH|MODULE|PACKAGE")
@click.argument("sources", nargs=-1, required=True, metavar="FILE...", shell_complete=complete_file)
@FORMATS
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@inspect_options
def why(
    name: str,
    sources: tuple[str, ...],
    *,
    options: InspectOptions,
    as_json: bool,
) -> None:
    """Show why a file, a kernel module or a package is in a system.

    What has a slash is a path, in the system or in a container; everything else a module, a
    package, or the name of a file.
    """
    from compos.api.why import why as explain

    found = explain(name, sources, options)
    if as_json:
        _print_json(found)
        return
    for number, reason in enumerate(found):
        if number:
            click.echo()
        click.echo(click.style(visible(reason.name), bold=True) + f"  ({reason.kind})")
        for step in reason.steps:
            place = f"  {click.style(visible(step.place), fg='blue')}" if step.place else ""
            click.echo(f"  {visible(step.what)}{place}")


def _print_json(found: tuple[Reason, ...]) -> None:
    import json

    document = [{**one._asdict(), "steps": [step._asdict() for step in one.steps]} for one in found]
    click.echo(json.dumps(document, indent=2))
