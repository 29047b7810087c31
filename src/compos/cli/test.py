"""`compos test`: a system is booted, and does what its YAML expects of it, or does not."""

from __future__ import annotations

import os
import signal
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compos.cli.machines.options import MEM
from compos.cli.reading import reading_options
from compos.cli.settings import Settings, global_options
from compos.cli.text import visible

if TYPE_CHECKING:
    from compos.api.options import LoadOptions
    from compos.testing.expectations import Outcome

__all__ = ["test"]


@click.command
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
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
@click.option("--keep", is_flag=True, help="Leave the guest running, to look around.")
@MEM
@click.option(
    "--cpus", type=click.IntRange(1), default=1, show_default=True, help="Number of CPUs."
)
@click.option(
    "--accel",
    default="",
    metavar="NAME",
    envvar="LINUXKIT_QEMU_ACCEL",
    help="QEMU's accelerator, as for compos run qemu.",
)
@reading_options
@global_options
def test(
    source: Path,
    *,
    settings: Settings,
    reading: LoadOptions,
    junit: Path | None,
    github: bool | None,
    keep: bool,
    mem: int,
    cpus: int,
    accel: str,
) -> int:
    """Build and boot a system, and check what the section test of its YAML expects, and the time
    that budget.boot gives it.

    The exit status is 1 if anything is not as expected; the console's end, the services and their
    logs are shown then.
    """
    from compos.api.load import load
    from compos.errors import ConfigError
    from compos.testing.booted import Machine, boot
    from compos.testing.expectations import check_all, check_boot
    from compos.testing.reports import annotation
    from compos.testing.reports import junit as document

    options = settings.trusted(reading)
    config = load([source], options).config
    expectations = config.test or ()
    budget = config.budget if config.budget and config.budget.boot else None
    if not expectations and not budget:
        raise ConfigError(
            "config-test",
            "the YAML expects nothing",
            place=str(source),
            hint="Add a section `test:`, such as [{service: NAME, state: running}].",
        )
    machine = Machine(options.architecture or "", accel, mem, cpus, _kept(source) if keep else None)
    outcomes: list[Outcome] = []
    # A job of CI's that is cancelled leaves no guest behind.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    annotated = bool(os.environ.get("GITHUB_ACTIONS")) if github is None else github
    with boot(source, machine, images=settings.images, load=options, keep=lambda: keep) as booted:
        boots = [check_boot(booted, budget)] if budget else []
        for one in chain(boots, check_all(booted, expectations)):
            outcomes.append(one)
            _show(one)
            if one.reason and annotated:
                click.echo(annotation(one))
    failed = [one for one in outcomes if one.reason]
    if junit:
        from compos.output.place import put_file

        put_file(junit, document(source.stem, outcomes))
    if failed:
        for title, text in failed[-1].evidence.items():
            click.echo(f"\n{click.style(title, bold=True)}")
            click.echo(visible("\n".join(text.splitlines()[-20:])))
        click.echo()
    click.echo(f"{len(outcomes) - len(failed)} of {len(outcomes)} as expected")
    if keep:
        click.echo(f"the guest {booted.name} goes on: compos exec {booted.name} svc ps")
    return int(bool(failed))


def _kept(source: Path) -> Path:
    """Where a guest's files can stay."""
    return source.with_name(f"{source.stem}-test-state")


def _show(one: Outcome) -> None:
    mark = click.style("fail", fg="red") if one.reason else click.style("ok  ", fg="green")
    click.echo(f"{mark}  {visible(one.name)}  {one.seconds:.1f} s")
    if one.reason:
        for line in visible(one.reason).splitlines()[:20]:
            click.echo(f"      {line}")
