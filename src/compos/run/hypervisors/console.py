"""A machine's serial port on this terminal: bytes both ways, until the machine or the user ends it.

May touch: standard input and output; the terminal's settings, which are put back.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["Keys", "relay"]

ESCAPE, END = 0x01, ord("x")
"""ctrl-a x ends the machine, as in QEMU; ctrl-a twice is one ctrl-a."""

CHUNK = 1 << 16


class Keys:
    """What is typed, without the sequences that are for us."""

    def __init__(self) -> None:
        self.ended = False
        self._is_escaped = False

    def passed(self, typed: bytes) -> bytes:
        """The bytes of `typed` that the machine gets."""
        kept = bytearray()
        for key in typed:
            if not self._is_escaped and key == ESCAPE:
                self._is_escaped = True
                continue
            if self._is_escaped and key == END:
                self.ended = True
                break
            if self._is_escaped and key != ESCAPE:
                kept.append(ESCAPE)
            self._is_escaped = False
            kept.append(key)
        return bytes(kept)


def relay(connection: socket.socket) -> None:
    """Copy until the machine closes `connection`, or ctrl-a x is typed. The end of standard input
    is no reason to stop: the machine goes on."""
    keys, inputs = Keys(), {0, connection.fileno()}
    with _raw_terminal():
        while not keys.ended:
            ready, _, _ = select.select(inputs, [], [])
            if connection.fileno() in ready:
                data = _received(connection)
                if not data:
                    return
                _write(data)
            if 0 in ready:
                typed = os.read(0, CHUNK)
                if not typed:
                    inputs.discard(0)
                with suppress(OSError):
                    connection.sendall(keys.passed(typed))


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(CHUNK)
    except ConnectionError:
        return b""


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


@contextmanager
def _raw_terminal() -> Iterator[None]:
    """Every key is the machine's, ctrl-c, too."""
    if not (sys.stdin and sys.stdin.isatty()):
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
