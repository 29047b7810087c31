"""A terminal at the console of a detached guest.

May touch: the console's socket; the settings of the terminal, which are put back.
"""

from __future__ import annotations

import os
import select
import socket
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from compos.errors import RunError
from compos.run.guests import Guest
from compos.run.qmp import Monitor

__all__ = ["LEAVE", "attach", "raw_terminal"]

LEAVE = b"\x1d"
"""ctrl-], as in virsh(1) and telnet(1): it leaves the console, and the guest goes on."""


def attach(guest: Guest, keys: int, screen: int) -> bool:
    """Pass what is read from the descriptor `keys` to the guest's console, and what that shows to
    `screen`. Returns True when the user leaves (ctrl-], or the end of `keys`), False when the guest
    ends. Raises `RunError` (`console-elsewhere`, `console-busy`, `console-failed`)."""
    if not guest.record.console:
        raise RunError(
            "console-elsewhere",
            f"the console of {guest.record.name} is the terminal that it was started on",
        )
    _require_free(guest)
    with socket.socket(socket.AF_UNIX) as console, raw_terminal(keys):
        try:
            console.connect(str(guest.console))
        except OSError as error:
            raise RunError(
                "console-failed",
                f"the console cannot be reached: {error.strerror}",
                place=str(guest.console),
            ) from error
        return _relay(console, keys, screen)


def _require_free(guest: Guest) -> None:
    """QEMU would let a second one wait without a word."""
    with Monitor(guest.monitor) as monitor:
        devices = monitor.execute("query-chardev")
    for device in devices if isinstance(devices, list) else ():
        if device.get("label") == "console" and "disconnected" not in device.get("filename", ""):
            raise RunError(
                "console-busy",
                f"somebody else is at the console of {guest.record.name}",
                hint="Read along with compos logs -f.",
            )


def _relay(console: socket.socket, keys: int, screen: int) -> bool:
    while True:
        ready, _, _ = select.select([console.fileno(), keys], [], [])
        if console.fileno() in ready:
            data = console.recv(65536)
            if not data:
                return False
            _write(screen, data)
        if keys in ready:
            typed = os.read(keys, 4096)
            before, left, _ = typed.partition(LEAVE)
            console.sendall(before)
            if left or not typed:
                return True


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


@contextmanager
def raw_terminal(descriptor: int) -> Iterator[bool]:
    """Each key as it is pressed, without an echo; says whether `descriptor` is a terminal."""
    try:
        before = termios.tcgetattr(descriptor)
    except termios.error:
        yield False
        return
    tty.setraw(descriptor)
    try:
        yield True
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
