"""Progress of long work, reported by the library and shown by a listener.

The library calls `task` and `notice` where time is spent. The caller of the library passes a
listener (`compos.build(..., listener=...)`), which applies to that call and the threads that it
starts: concurrent builds in one process do not see each other's progress. In between, the listener
is a context variable (contextvars), so that functions need no parameter just to pass it on.
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
    """A piece of work in progress."""

    def advance(self, amount: int) -> None:
        """Report that `amount` more units are done (bytes, unless the task has another unit)."""


class Listener(Protocol):
    """Shows progress. Called from several threads."""

    def start(self, name: str, total: int | None) -> Task:
        """A task begins; `total` is its size in bytes, or None if it is unknown or not measured in
        bytes."""

    def finish(self, task: Task, seconds: float) -> None:
        """A task has ended, successfully or not."""

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
        """Nothing is shown."""

    def advance(self, amount: int) -> None:
        """Nothing moves."""


_listener: ContextVar[Listener] = ContextVar("listener", default=Silent())  # noqa: B039


def listen(listener: Listener) -> None:
    """Report to `listener` from now on, in this context: the command line's process."""
    _listener.set(listener)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Report to `listener` within the block; None changes nothing."""
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
    """Report one line to the user (a fallback taken, a repair made)."""
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
