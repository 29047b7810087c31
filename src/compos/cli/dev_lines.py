"""What `compos dev` prints, line by line, where there is no screen."""

from __future__ import annotations

import os
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compos.cli import report
from compos.cli.text import visible

if TYPE_CHECKING:
    from compos.develop.session import Event

__all__ = ["Lines", "sentences"]


INIT = "compos: "
KEPT = 30
"""Lines of the console that are shown of a guest that has ended."""


class Lines:
    """Prints events; names of files are relative to `folder`. For several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._lock = threading.Lock()
        self._last: deque[str] = deque(maxlen=KEPT)

    def tell(self, event: Event) -> None:
        """Print one."""
        from compos.develop.session import ConsoleLines, Ended, Failed

        with self._lock:
            if isinstance(event, Failed):
                report.show(event.error)
            elif isinstance(event, ConsoleLines):
                self._console(event.lines)
            else:
                if isinstance(event, Ended):
                    for line in self._last:
                        click.echo(f"  | {line}")
                for line in sentences(event, self._folder):
                    click.echo(line)

    def _console(self, lines: tuple[str, ...]) -> None:
        """Print what init says; the rest is shown when the guest ends."""
        for line in map(visible, lines):
            self._last.append(line)
            if line.startswith(INIT):
                click.echo(f"  | {line}")


def sentences(event: Event, folder: Path) -> list[str]:
    """What is said of an event, without anything that moves a cursor."""
    return [visible(line).replace("\n", " ") for line in _said(event, folder)]


def _said(event: Event, folder: Path) -> list[str]:
    from compos.develop import session as events

    match event:
        case events.Changed(paths):
            return [f"changed: {_listed([os.path.relpath(path, folder) for path in paths])}"]
        case events.Unchanged(seconds):
            return [f"nothing to do ({seconds:.2f} s)"]
        case events.Decided(decision, seconds):
            return _decided(decision, seconds)
        case events.FilesPut(paths, restarted, seconds):
            services = f", {_listed(list(restarted))} restarted" if restarted else ""
            return [
                f"in place: {_listed([f'/{one}' for one in paths])}{services} ({seconds:.2f} s)"
            ]
        case events.Replaced(service, size, seconds):
            return [f"{service} runs as its new version: {_bytes(size)} sent ({seconds:.2f} s)"]
        case events.Removed(service, seconds):
            return [f"{service} has ended ({seconds:.2f} s)"]
        case events.Booting(sizes):
            told = ", ".join(f"{name} {_bytes(size)}" for name, size in sizes.items())
            return [f"booting: {told}"]
        case events.Booted(kernel, seconds):
            return [f"services started {kernel:.2f} s after the kernel ({seconds:.2f} s)"]
        case events.Silent(console):
            return [f"the console shows nothing: kernel.cmdline may lack console={console}"]
        case events.Services(states):
            return ["services: " + ", ".join(f"{one.name} {one.state}" for one in states)]
        case events.Rebooted() | events.Ended():
            anew = isinstance(event, events.Rebooted)
            ended = "the guest has ended; save something, and it boots again"
            return ["the guest has booted anew by itself" if anew else ended]
        case _:
            return []


def _decided(decision: object, seconds: float) -> list[str]:
    from compos.develop.decision import Decision

    assert isinstance(decision, Decision)  # noqa: S101
    if decision.boot:
        return [f"boot: {_listed(list(decision.boot))} ({seconds:.2f} s)"]
    found = [f"replace {name}: {', '.join(reasons)}" for name, reasons in decision.services.items()]
    found += [f"start {name}: it is new" for name in decision.added]
    found += [f"stop {name}: it is gone" for name in decision.removed]
    found += [
        f"restart {name}: sees {', '.join(paths)}" for name, paths in decision.restarts.items()
    ]
    return [f"{one} ({seconds:.2f} s)" for one in found] or [f"new files ({seconds:.2f} s)"]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size} bytes"
