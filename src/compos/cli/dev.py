"""`compos dev`: a guest that follows its YAML."""

from __future__ import annotations

import contextvars
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compos.cli.machines.options import ACCEL, CPUS, MEM
from compos.cli.reading import reading_options
from compos.cli.settings import Settings, global_options

if TYPE_CHECKING:
    from compos.api.composed import InspectOptions
    from compos.api.options import LoadOptions
    from compos.develop.session import Session
    from compos.run.prepare import RunRequest

__all__ = ["dev"]

POLL = 0.2
"""Seconds between looks for a signal."""


@click.command
@click.argument(
    "source", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option(
    "--plain", is_flag=True, help="Print lines in place of the screen [without a terminal]."
)
@click.option(
    "--watch",
    "also",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    metavar="DIR",
    help="Build when something in this folder changes, too; repeatable.",
)
@CPUS
@MEM
@click.option(
    "--disk",
    multiple=True,
    metavar="SPEC",
    help="Disk that the guest keeps: [file=]PATH[,size=2G][,format=qcow2]; repeatable.",
)
@click.option(
    "--publish",
    multiple=True,
    metavar="[ADDR:]HOST:GUEST[/udp]",
    help="Publish a port; repeatable. Binds to 127.0.0.1 unless ADDR is set.",
)
@click.option(
    "--state", type=click.Path(path_type=Path), metavar="DIR", help="State directory [FILE-dev]."
)
@click.option(
    "--name", default="", metavar="NAME", help="The guest's name, for compos ps, exec and others."
)
@ACCEL
@reading_options
@global_options
def dev(
    source: Path,
    *,
    settings: Settings,
    reading: LoadOptions,
    plain: bool,
    also: tuple[Path, ...],
    **machine: Any,
) -> int:
    """Build and boot a system, and keep the guest as its YAML says while you edit.

    When the YAML, a file or a package that it names is saved, the least is done that is right: a
    service is replaced in the running guest, files are put in place, or the guest boots anew. After
    an error it goes on as it was.
    """
    from compos.develop.session import Session
    from compos.extras import load_extra

    load_extra("watchfiles", "dev")
    options, request = _wanted(source, settings, reading, machine)
    if not plain and sys.stdin.isatty() and sys.stdout.isatty():
        return _screen(source, request, lambda tell: Session(source, request, options, tell, also))
    from compos.cli.dev_lines import Lines

    return _lines(Session(source, request, options, Lines(source.parent).tell, also))


def _lines(session: Session) -> int:
    """Run the session until it ends, or somebody ends it: a terminal that is closed and a job that
    is cancelled leave no guest behind. The session has a thread of its own, because a handler that
    raises may do so where nobody sees it, such as in a finalizer."""
    asked: list[int] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            session.run()
        except BaseException as error:
            failed.append(error)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: asked.append(number))
    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="session")
    thread.start()
    while thread.is_alive():
        thread.join(POLL)
        if asked:
            session.close()
    if failed:
        raise failed[0]
    return 128 + asked[0] if asked else 0


def _screen(source: Path, request: RunRequest, start: Callable[[Any], Any]) -> int:
    from compos.extras import load_extra

    load_extra("textual", "dev", otherwise="use --plain")
    from compos.cli.dev_screen import DevScreen

    address = next(
        (f"http://127.0.0.1:{one.host}/" for one in request.publish if one.protocol == "tcp"), ""
    )
    screen = DevScreen(source, start, address)
    ended = screen.run()
    if ended is not None:
        raise ended
    return screen.return_code or 0


def _wanted(
    source: Path, settings: Settings, reading: LoadOptions, machine: dict[str, Any]
) -> tuple[InspectOptions, RunRequest]:
    from compos.api.access import Access
    from compos.api.composed import InspectOptions
    from compos.run.disks import parse_disk
    from compos.run.network import parse_publish
    from compos.run.prepare import RunRequest

    access = Access(settings.images)
    state = machine["state"] or source.with_name(f"{source.stem}-dev")
    request = RunRequest(
        source,
        lambda: access.store,
        arch=reading.architecture or "",
        accel=machine["accel"],
        state=state,
        cpus=machine["cpus"],
        mem=machine["mem"],
        disks=tuple(map(parse_disk, machine["disk"])),
        publish=tuple(map(parse_publish, machine["publish"])),
        detached=True,
        tied=True,
        exec=True,
        name=machine["name"] or source.stem,
    )
    return InspectOptions(settings.trusted(reading), settings.images), request
