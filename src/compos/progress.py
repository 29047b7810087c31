"""Progress of long work, reported by the library and shown by whoever listens.

The library calls `task` and `notice` where time is spent. Whoever calls the library passes a
listener (`compos.build(..., listener=...)`), which holds for that call and the threads that it
starts: two builds of one process do not see each other's. Between there and here it is a context
variable (contextvars), which spares every function a parameter that it would only pass on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["Listener", "Silent", "Task", "listen", "listening", "notice", "task", "threads"]


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


_listener: ContextVar[Listener] = ContextVar("listener", default=Silent())  # noqa: B039


def listen(listener: Listener) -> None:
    """Let `listener` be told from now on, in this context: the command line's process."""
    _listener.set(listener)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Let `listener` be told within the block; None changes nothing."""
    if listener is None:
        yield
        return
    earlier = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(earlier)


def threads(count: int, name: str = "") -> ThreadPoolExecutor:
    """A pool of threads that report to the listener of whoever makes it: threads do not inherit
    context variables."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(count, name, initializer=_listener.set, initargs=(_listener.get(),))


def notice(text: str) -> None:
    """Tell the user one line (a fallback taken, a repair made)."""
    _listener.get().notice(text)


@contextmanager
def task(name: str, total: int | None = None) -> Iterator[Task]:
    """Run a piece of work under `name`; `total` in bytes lets a bar be drawn."""
    started = time.monotonic()
    listener = _listener.get()
    handle = listener.start(name, total)
    try:
        yield handle
    finally:
        listener.finish(handle, time.monotonic() - started)
