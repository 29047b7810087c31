"""Progress as the user sees it: bars on a terminal, one line a finished long step elsewhere. On
standard error."""

from __future__ import annotations

import sys
import threading
from typing import Any

from compos import progress
from compos.cli.text import visible

__all__ = ["install", "level"]

LONG = 0.5
"""Seconds from which a step is worth a line where nothing can be redrawn."""


_level = 1


def level() -> int:
    """What `-v` said: 0 errors only, 1 info, 2 every step, 3 traces of unforeseen errors."""
    return _level


def install(verbose: int) -> None:
    """Start showing progress; `verbose` 0 shows nothing, 2 shows every step."""
    global _level
    _level = verbose
    if verbose == 0:
        progress.listen(progress.Silent())
    elif sys.stderr.isatty():
        progress.listen(_Bars(verbose))
    else:
        progress.listen(_Lines(verbose))


class _Step:
    """A task of either listener."""

    def __init__(self, name: str, total: int | None) -> None:
        self.name = visible(name)
        self.total = total
        self.done = 0
        self.bar: Any = None

    def advance(self, amount: int) -> None:
        self.done += amount
        if self.bar is not None:
            self.bar(amount)


class _Lines:
    """For logs: a line when a long step ends."""

    def __init__(self, verbose: int) -> None:
        self._least = 0.0 if verbose >= 2 else LONG
        self._lock = threading.Lock()

    def start(self, name: str, total: int | None) -> progress.Task:
        return _Step(name, total)

    def finish(self, task: progress.Task, seconds: float) -> None:
        if isinstance(task, _Step) and seconds >= self._least:
            size = f", {task.done / 1e6:.1f} MB" if task.done >= 100_000 else ""
            self.notice(f"{task.name} ({seconds:.1f} s{size})")

    def notice(self, text: str) -> None:
        with self._lock:
            print(visible(text), file=sys.stderr, flush=True)  # noqa: T201


class _Bars(_Lines):
    """For terminals: bars that vanish when their work is done. `rich` is imported when the first
    one is drawn."""

    def __init__(self, verbose: int) -> None:
        super().__init__(verbose)
        self._display: Any = None
        self._open = 0

    def start(self, name: str, total: int | None) -> progress.Task:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

        step = _Step(name, total)
        with self._lock:
            if self._display is None:
                self._display = Progress(
                    TextColumn("{task.description}", markup=False),
                    BarColumn(),
                    DownloadColumn(),
                    TimeElapsedColumn(),
                    console=Console(stderr=True),
                    transient=True,
                )
                self._display.start()
            display = self._display
            self._open += 1
            number = display.add_task(step.name, total=total)
        step.bar = lambda amount: display.update(number, advance=amount)
        step.bar.__dict__["number"] = number
        return step

    def finish(self, task: progress.Task, seconds: float) -> None:
        with self._lock:
            self._open -= 1
            if self._display is not None and isinstance(task, _Step):
                self._display.remove_task(task.bar.__dict__["number"])
                if self._open == 0:
                    self._display.stop()
                    self._display = None
        super().finish(task, seconds)

    def notice(self, text: str) -> None:
        with self._lock:
            if self._display is not None:
                self._display.console.print(visible(text), markup=False, highlight=False)
            else:
                print(visible(text), file=sys.stderr, flush=True)  # noqa: T201
