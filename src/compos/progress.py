"""Progress of long work, told by the library and shown by whoever listens.

The library calls `step` and `task` where time is spent; nothing is shown unless a listener was
installed (the command line installs one). Like `logging`, this spares every function a parameter
that it would only pass on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Listener", "Silent", "Task", "listen", "notice", "task"]


class Task(Protocol):
    """One piece of work that is under way."""

    def advance(self, amount: int) -> None:
        """Say that `amount` more units (bytes, unless the task said otherwise) are done."""


class Listener(Protocol):
    """Whoever shows progress. Called from several threads."""

    def start(self, name: str, total: int | None) -> Task:
        """A task begins; `total` is its size in bytes, or None when unknown or not measured in
        bytes."""

    def finish(self, task: Task, seconds: float) -> None:
        """A task has ended, well or not."""

    def notice(self, text: str) -> None:
        """One line that the user should see."""


class Silent:
    """A listener that shows nothing."""

    def start(self, name: str, total: int | None) -> Task:
        """Nothing is drawn."""
        return self

    def finish(self, task: Task, seconds: float) -> None:
        """Nothing was drawn."""

    def notice(self, text: str) -> None:
        """Nothing is said."""

    def advance(self, amount: int) -> None:
        """Nothing moves."""


_listener: Listener = Silent()


def listen(listener: Listener) -> None:
    """Install the listener of this process."""
    global _listener
    _listener = listener


def notice(text: str) -> None:
    """Tell the user one line (a fallback taken, a repair made)."""
    _listener.notice(text)


@contextmanager
def task(name: str, total: int | None = None) -> Iterator[Task]:
    """Run a piece of work under `name`; `total` in bytes lets a bar be drawn."""
    started = time.monotonic()
    handle = _listener.start(name, total)
    try:
        yield handle
    finally:
        _listener.finish(handle, time.monotonic() - started)
