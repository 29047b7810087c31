"""A guest's console, as the log that it is written to."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Console", "Mark"]

POLL = 0.1


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a console has come: what it has `shown`, and the characters of that which are not
    looked at any more."""

    shown: bytes
    seen: int


class Console:
    """What the console has shown, in the file `log`. `alive` says whether more may come; keys go to
    the socket `keys`, if there is one."""

    def __init__(self, log: Path, alive: Callable[[], bool], keys: Path | None = None) -> None:
        self.log = log
        self._alive = alive
        self._keys = keys
        self._socket: socket.socket | None = None
        self._seen = 0
        self._before = b""
        self._start = 0
        """What was shown before a guest was put back, and where the log goes on from there."""

    @property
    def text(self) -> str:
        """Everything that the console has shown so far, with line ends of Python's."""
        text = self._shown().decode(errors="replace")
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def _shown(self, end: int | None = None) -> bytes:
        try:
            with self.log.open("rb") as log:
                log.seek(self._start)
                return self._before + log.read(None if end is None else end - self._start)
        except FileNotFoundError:
            return self._before

    def mark(self, length: int) -> Mark:
        """How far the console was when its log had `length` bytes."""
        return Mark(self._shown(length), self._seen)

    def restore(self, mark: Mark, length: int) -> None:
        """The console is as far as it was at `mark`, its log has `length` bytes: what comes between
        is forgotten."""
        self._before, self._seen, self._start = mark.shown, mark.seen, length

    def expect(self, pattern: str, timeout: float = 120) -> re.Match[str]:
        """Wait until the console shows the regular expression `pattern` behind what was expected
        before. Raises `AssertionError` when that has not happened after `timeout` seconds, or the
        guest ends."""
        match = self.wait(re.compile(pattern), timeout, start=self._seen)
        self._seen = match.end()
        return match

    def find(self, pattern: str) -> re.Match[str] | None:
        """What the console shows by now behind what was expected before."""
        return re.compile(pattern).search(self.text, self._seen)

    def wait(self, pattern: re.Pattern[str], timeout: float, *, start: int = 0) -> re.Match[str]:
        """As `expect`, from the position `start` on, and what is expected next stays the same."""
        deadline = time.monotonic() + timeout
        while True:
            # Asked before reading, so that its last words are read.
            alive = self._alive()
            text = self.text
            if match := pattern.search(text, start):
                return match
            tail = "\n".join(text.splitlines()[-40:])
            if not alive:
                raise AssertionError(
                    f"the guest ended before its console showed {pattern.pattern!r}:\n{tail}"
                )
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"the console did not show {pattern.pattern!r} within {timeout:g} s:\n{tail}"
                )
            time.sleep(POLL)

    def type(self, text: str) -> None:
        """Send keys; a line ends with a line break. Raises `OSError`."""
        if self._keys is None:
            raise AssertionError("nothing can be typed on this console")
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(str(self._keys))
            # The log has it all; what nobody takes would stop the guest.
            threading.Thread(target=self._drop, args=(self._socket,), daemon=True).start()
        self._socket.sendall(text.encode())

    @staticmethod
    def _drop(connection: socket.socket) -> None:
        with suppress(OSError):
            while connection.recv(65536):
                pass

    def close(self) -> None:
        """Leave the console's socket to others."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._socket = None
