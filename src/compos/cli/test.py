"""`compos test`: systems are booted, and do what their YAML expects of them, or do not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compos.cli.interruption import end_by_the_first_signal
from compos.cli.machines.options import ACCEL, CPUS, MEM
from compos.cli.reading import reading_options
from compos.cli.settings import Settings, global_options
from compos.cli.text import visible

if TYPE_CHECKING:
    from compos.api.options import LoadOptions
    from compos.testing.booted import Machine
    from compos.testing.expectations import Outcome
    from compos.testing.suites import Suite

__all__ = ["test"]


@click.command
@click.argument(
    "sources", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option(
    "--junit",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the outcomes as JUnit's XML.",
)
@click.option(
    "--github/--no-github",
    default=None,
    help="Print annotations of GitHub's for failures [where GITHUB_ACTIONS is set].",
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Guests that run at the same time, each of them another FILE's.",
)
@click.option("--keep", is_flag=True, help="Leave the guests running, to look around.")
@MEM
@CPUS
@ACCEL
@reading_options
@global_options
def test(
    sources: tuple[Path, ...],
    *,
    settings: Settings,
    reading: LoadOptions,
    junit: Path | None,
    github: bool | None,
    parallel: int,
    keep: bool,
    mem: int,
    cpus: int,
    accel: str,
) -> int:
    """Build and boot systems, and check what the section test of their YAML expects, and the time
    that budget.boot gives them. Each FILE is a system of its own.

    The exit status is 1 if anything is not as expected; the console's end, the services and their
    logs are shown then.
    """
    from compos.testing.booted import Machine
    from compos.testing.reports import junit as document
    from compos.testing.suites import Suites, read_suite

    options = settings.trusted(reading)
    found = [read_suite(source, options) for source in dict.fromkeys(sources)]
    annotated = bool(os.environ.get("GITHUB_ACTIONS")) if github is None else github

    def machine(suite: Suite) -> Machine:
        state = _kept(suite.source) if keep else None
        name = options.architecture or ""
        return Machine(name, accel, mem, cpus, state, snapshots=suite.fresh)

    def told(suite: Suite, one: Outcome) -> None:
        _show(one, f"{suite.source}: " if len(found) > 1 else "", annotated=annotated)

    # A job of CI's that is cancelled leaves neither a guest nor its files behind.
    end_by_the_first_signal()
    suites = Suites(machine, told, settings.images, options, keep, parallel)
    outcomes = suites.run(found)
    if junit:
        from compos.output.place import put_file

        cases = [(suite.source.stem, ended) for suite, ended in zip(found, outcomes, strict=True)]
        put_file(junit, document(cases))
    for suite, ended in zip(found, outcomes, strict=True):
        _evidence(suite.source, ended)
    every = [one for ended in outcomes for one in ended]
    failed = [one for one in every if one.reason]
    click.echo(f"{len(every) - len(failed)} of {len(every)} as expected")
    for name in suites.names.values() if keep else ():
        click.echo(f"the guest {name} goes on: compos exec {name} svc ps")
    return int(bool(failed))


def _kept(source: Path) -> Path:
    """Where a guest's files can stay."""
    return source.with_name(f"{source.stem}-test-state")


def _show(one: Outcome, source: str, *, annotated: bool) -> None:
    from compos.testing.reports import annotation

    mark = click.style("fail", fg="red") if one.reason else click.style("ok  ", fg="green")
    click.echo(f"{mark}  {visible(source + one.name)}  {one.seconds:.1f} s")
    if one.reason:
        for line in visible(one.reason).splitlines()[:20]:
            click.echo(f"      {line}")
        if annotated:
            click.echo(annotation(one))


def _evidence(source: Path, outcomes: list[Outcome]) -> None:
    """What helps with the last failure of a system."""
    failed = [one for one in outcomes if one.reason]
    for title, text in failed[-1].evidence.items() if failed else ():
        click.echo(f"\n{click.style(f'{title} of {source.stem}', bold=True)}")
        click.echo(visible("\n".join(text.splitlines()[-20:])))
    if failed:
        click.echo()
