"""`compos exec`: a command in a running guest."""

from __future__ import annotations

import os
import sys

import click

from compos.cli.guests import complete_guest
from compos.cli.settings import Settings, global_options

__all__ = ["exec"]


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--service", "-s", default="", metavar="NAME", help="Run it in the container of this service."
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
    from compos.run.attach import raw_terminal
    from compos.run.guests import find_guest
    from compos.run.remote import Request, execute

    guest = find_guest(name)
    keys = sys.stdin.fileno()
    terminal = (os.isatty(keys) and sys.stdout.isatty()) if tty is None else tty

    def size() -> tuple[int, int]:
        try:
            columns, rows = os.get_terminal_size(keys)
        except OSError:
            return 24, 80
        return rows, columns

    def write(descriptor: int, data: bytes) -> None:
        while data:
            data = data[os.write(descriptor, data) :]

    request = Request(command, service, cwd, size() if terminal else None)
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
