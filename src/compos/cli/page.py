"""`compos report`: everything about a system on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from compos.cli.complete import complete_file
from compos.cli.inspecting import FORMATS, inspect_options
from compos.cli.text import visible

if TYPE_CHECKING:
    from compos.api.composed import InspectOptions

__all__ = ["report"]


@click.command
@click.argument("sources", nargs=-1, required=True, metavar="FILE...", shell_complete=complete_file)
@click.option(
    "--o",
    "output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write [NAME-report.html].",
)
@click.option(
    "--boot",
    "console",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What a guest's console has shown (compos logs GUEST), for the timeline of its boot "
    "[NAME-state/console.log, if a guest was run beside the YAML].",
)
@click.option(
    "--since",
    metavar="A",
    default="",
    help="An earlier system, YAML or an output, to show what has changed [the last build's output "
    "in --dir, if one is there].",
)
@click.option("--no-since", is_flag=True, help="Do not show what has changed.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Folder with the outputs of the last build [the current folder].",
)
@click.option(
    "--name", metavar="NAME", help="Base name of these [the last file's, without extension]."
)
@click.option(
    "--updates", is_flag=True, help="Look for security updates that the system's bricks lack."
)
@FORMATS
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with sizes in bytes.")
@inspect_options
def report(
    sources: tuple[str, ...],
    *,
    options: InspectOptions,
    output: Path | None,
    console: Path | None,
    since: str,
    no_since: bool,
    folder: Path,
    name: str | None,
    updates: bool,
    as_json: bool,
) -> None:
    """Write a page about a system: a map of its sizes, the timeline of a boot, the services, what
    containers may do, packages, and what has changed.

    The page is one file of at most 500 kB that loads nothing from elsewhere.
    """
    from compos.api.report import ReportOptions
    from compos.api.report import report as describe
    from compos.config.sources import default_name
    from compos.output.place import put_file
    from compos.report.page import report_json, report_page

    if since and no_since:
        raise click.UsageError("--since and --no-since contradict each other")
    called = default_name(sources[-1])
    base = None if no_since else folder / (name or called)
    found = describe(sources, ReportOptions(options, console, since, updates, base))
    if as_json:
        click.echo(report_json(found))
        return
    path = output or Path(f"{called}-report.html")
    put_file(path, report_page(found))
    click.echo(visible(str(path)))
