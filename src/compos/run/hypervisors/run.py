"""Plans carried out: files written, commands run, the console joined to this terminal, and what was
made removed again.

May touch: the state directory, this process's terminal and signals; runs the hypervisors' programs.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from compos.errors import RunError
from compos.output.place import put_file
from compos.progress import notice
from compos.run.hypervisors.console import relay
from compos.run.hypervisors.plan import Plan, Step

__all__ = ["carry_out", "find_program", "output_of"]

CONNECT_SECONDS = 30
"""For a machine that has been started to open its serial port."""

MAX_SOCKET = 100
"""Bytes of a socket's path (unix(7): 108 with its NUL, less on macOS)."""


def find_program(name: str, hint: str) -> str:
    """The program `name` in PATH. Raises `RunError` (`hypervisor-missing`)."""
    found = shutil.which(name)
    if found is None:
        raise RunError("hypervisor-missing", f"{name} is not installed", hint=hint)
    return found


def output_of(words: tuple[str, ...]) -> str | None:
    """What a command prints; None if it fails."""
    done = _run(Step(words), capture=True)
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def carry_out(plan: Plan) -> None:
    """Run the machine until its console ends, or the user ends it. Raises `RunError`
    (`hypervisor-failed`, `console-path`)."""
    for path, content in plan.files:
        put_file(path, content, secret=True)
    made = False
    with _ended_by_signals(), _listening(plan.console) as listener:
        try:
            *first, last = plan.steps
            for step in first:
                _require(step)
                made = made or step.makes
            made = made or last.makes
            _require(last, is_foreground=listener is None)
            if listener:
                with _accepted(listener) as connection:
                    relay(connection)
        finally:
            if made:
                for step in plan.after:
                    _clean(step)


def _require(step: Step, *, is_foreground: bool = False) -> None:
    done = _run(step, is_foreground=is_foreground)
    if done.returncode and not step.may_fail:
        raise RunError(
            "hypervisor-failed",
            f"it ended with status {done.returncode}",
            place=" ".join(step.words[:3])[:100],
            hint="See its message above.",
        )


def _clean(step: Step) -> None:
    """What does not succeed is told, and does not keep the rest from being removed."""
    with suppress(RunError):
        done = _run(step, capture=step.may_fail)
        if done.returncode and not step.may_fail:
            notice(f"could not clean up: {' '.join(step.words)[:200]}")


def _run(
    step: Step, *, capture: bool = False, is_foreground: bool = False
) -> subprocess.CompletedProcess[bytes]:
    quiet = capture or step.may_fail
    try:
        return subprocess.run(
            step.words,
            # What is typed is for the machine.
            stdin=None if is_foreground else subprocess.DEVNULL,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.DEVNULL if quiet else None,
            check=False,
        )
    except OSError as error:
        raise RunError(
            "hypervisor-failed",
            f"it cannot be started: {(error.strerror or str(error)).lower()}",
            place=step.words[0],
        ) from error


@contextmanager
def _listening(path: Path | None) -> Iterator[socket.socket | None]:
    if path is None:
        yield None
        return
    if len(str(path).encode()) > MAX_SOCKET:
        raise RunError(
            "console-path",
            "the path is too long for the console's socket",
            place=str(path),
            hint="Choose a shorter folder with --state.",
        )
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    listener.settimeout(CONNECT_SECONDS)
    try:
        connection, _ = listener.accept()
    except TimeoutError:
        raise RunError(
            "hypervisor-failed",
            "the machine does not open its serial port",
            place=listener.getsockname(),
        ) from None
    with connection:
        yield connection


class _Ended(KeyboardInterrupt):
    """A signal that ends the machine."""


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the machine as ctrl-c does: what was made is removed."""

    def end(number: int, frame: FrameType | None) -> None:
        raise _Ended

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
