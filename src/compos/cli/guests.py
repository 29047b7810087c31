"""The verbs for guests that run: `ps`, `console`, `logs`, `stop`, `screenshot`. They are small, and
share the way that a guest is named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compos.cli.complete import complete_guest
from compos.cli.settings import Settings, global_options
from compos.cli.text import visible

if TYPE_CHECKING:
    from compos.run.guests import Guest

__all__ = ["console", "logs", "ps", "screenshot", "stop"]


guest_argument = click.argument(
    "name", metavar="[GUEST]", default="", shell_complete=complete_guest
)


@click.command
@click.option("--all", "-a", "everything", is_flag=True, help="Also guests that have ended.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@global_options
def ps(settings: Settings, *, everything: bool, as_json: bool) -> None:
    """List the guests that run on this machine.

    Of a guest that has ended, the name and the console's log are kept for a day, or until another
    one takes the name.
    """
    from compos.run.guests import guests

    found = [_row(guest) for guest in guests() if guest.runs or everything]
    if as_json:
        import json

        click.echo(json.dumps(found, indent=2))
        return
    names = ("name", "state", "process", "age", "memory", "arch", "ports", "system")
    rows = [names, *(tuple(_cell(row, name) for name in names) for row in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(names))]
    for row in rows:
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())


def _row(guest: Guest) -> dict[str, Any]:
    import time

    from compos.run.qmp import listening_process

    record = guest.record
    return {
        "name": record.name,
        "state": "running" if guest.runs else "ended",
        "process": listening_process(guest.monitor) if guest.runs else None,
        "age": max(0, round(time.time() - record.started)),
        "memory": record.memory,
        "cpus": record.cpus,
        "arch": record.arch,
        "ports": list(record.publish),
        "system": record.system,
        "state_folder": record.state,
        "console": record.console,
        "exec": record.exec,
        "monitor": str(guest.monitor),
    }


def _cell(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if name == "age":
        return f"{value // 60} min" if value >= 120 else f"{value} s"
    if name == "memory":
        return f"{value} MiB"
    if name == "ports":
        return ", ".join(value) or "-"
    return "-" if value is None else visible(str(value))


@click.command
@guest_argument
@global_options
def console(name: str, *, settings: Settings) -> None:
    """Connect the terminal to the console of a detached guest; ctrl-] leaves it."""
    from compos.progress import notice
    from compos.run.attach import attach
    from compos.run.guests import find_guest

    guest = find_guest(name)
    notice(f"the console of {guest.record.name}; ctrl-] leaves it")
    left = attach(guest, sys.stdin.fileno(), sys.stdout.fileno())
    notice("the guest goes on" if left else "the guest has ended")


@click.command
@guest_argument
@click.option("--follow", "-f", is_flag=True, help="Print what comes until the guest ends.")
@global_options
def logs(name: str, *, settings: Settings, follow: bool) -> None:
    """Print what the console of a detached guest has shown, even if the guest has ended."""
    from compos.run.control import console_log
    from compos.run.guests import find_guest

    for piece in console_log(find_guest(name, running=False), follow=follow):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


@click.command
@click.argument("names", metavar="[GUEST]...", nargs=-1, shell_complete=complete_guest)
@click.option("--all", "-a", "everything", is_flag=True, help="All guests that run.")
@click.option(
    "--timeout",
    "-t",
    type=click.FloatRange(0),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="How long a guest has to power off; 0 pulls the plug.",
)
@global_options
def stop(names: tuple[str, ...], *, settings: Settings, everything: bool, timeout: float) -> None:
    """Press the power button of guests, and end those that do not power off in time."""
    from compos.progress import notice
    from compos.run.control import stop as stop_guest
    from compos.run.guests import find_guest, guests

    if everything and names:
        raise click.UsageError("--all and names cannot be combined")
    if everything:
        chosen = [guest for guest in guests() if guest.runs]
    else:
        chosen = [find_guest(name, running=False) for name in names or ("",)]
    for guest in chosen:
        name = guest.record.name
        by_itself = stop_guest(guest, timeout=timeout)
        notice(f"{name} has ended" if by_itself else f"{name} was ended: it did not power off")


@click.command
@guest_argument
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The picture, a PNG [GUEST.png].",
)
@global_options
def screenshot(name: str, *, settings: Settings, output: Path | None) -> None:
    """Write what a guest's screen shows to a picture."""
    from compos.run.control import screenshot as take
    from compos.run.guests import find_guest

    guest = find_guest(name)
    path = output or Path(f"{guest.record.name}.png")
    take(guest, path)
    click.echo(path)
