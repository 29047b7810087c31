"""`compos exec`: a command in a running guest."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from compos.cli.complete import complete_guest, complete_service
from compos.cli.settings import Settings, global_options

if TYPE_CHECKING:
    from compos.run.guests import Guest

__all__ = ["exec", "run_in_guest"]


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--service",
    "-s",
    default="",
    metavar="NAME",
    shell_complete=complete_service,
    help="Run it in the container of this service.",
)
@click.option("--cwd", default="", metavar="DIR", help="Working directory in the guest.")
@click.option("--tty/--no-tty", "-t/-T", default=None, help="Use a terminal [if there is one].")
@click.argument("name", metavar="GUEST", shell_complete=complete_guest)
@click.argument("command", metavar="COMMAND...", nargs=-1, required=True)
@global_options
def exec(
    name: str,
    *,
    settings: Settings,
    service: str,
    cwd: str,
    tty: bool | None,
    command: tuple[str, ...],
) -> int:
    """Run a command in a guest, in the system's own root or in a service's container.

    The exit status is the command's, or 128 and the number of the signal that ended it.
    """
    from compos.run.guests import find_guest

    if command[0].startswith("-"):
        raise click.UsageError(f"{command[0]} is no command: options stand before the guest's name")
    guest = find_guest(name)
    keys = sys.stdin.fileno()
    terminal = (os.isatty(keys) and sys.stdout.isatty()) if tty is None else tty
    return run_in_guest(guest, command, service=service, folder=cwd, terminal=terminal)


def run_in_guest(
    guest: Guest, command: tuple[str, ...], *, service: str, folder: str = "", terminal: bool
) -> int:
    """Run `command` with this process's standard streams; returns its exit status."""
    from compos.run.attach import raw_terminal
    from compos.run.remote import Request, execute

    keys = sys.stdin.fileno()

    def size() -> tuple[int, int]:
        try:
            columns, rows = os.get_terminal_size(keys)
        except OSError:
            return 24, 80
        return rows, columns

    def write(descriptor: int, data: bytes) -> None:
        while data:
            data = data[os.write(descriptor, data) :]

    request = Request(command, service, folder, size() if terminal else None)
    if not terminal:
        return execute(
            guest,
            request,
            output=lambda data: write(1, data),
            error=lambda data: write(2, data),
            source=keys,
        )
    with raw_terminal(keys):
        return execute(
            guest,
            request,
            output=lambda data: write(1, data),
            error=lambda data: write(2, data),
            source=keys,
            resized=size,
        )
