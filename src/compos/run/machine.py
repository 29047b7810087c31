"""A running guest: started, waited for, ended.

May touch: starts QEMU and virtiofsd; while it waits, this process's signal handlers and the
settings of the terminal.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, TracebackType

from compos.errors import RunError
from compos.run.qemu import Options, command_line
from compos.run.shares import start_shares, stop_shares

__all__ = ["Machine", "launch"]

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Machine:
    """A running guest; its console is this process's standard input and output. Left as a context,
    it is ended."""

    process: subprocess.Popen[bytes]
    daemons: tuple[subprocess.Popen[bytes], ...] = ()
    """What serves it: they end with it."""

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def wait(self) -> int:
        """Wait for QEMU's end; returns its exit status, or a signal's number negated.

        On a terminal ctrl-c is a key of the guest's (QEMU makes the terminal raw). Signals that
        this process gets are passed on, and QEMU, which ends on them, is still waited for.
        """
        with _terminal_kept(), _signals_passed_on(self.process):
            return self.process.wait()

    def stop(self) -> None:
        """End QEMU now, if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        stop_shares(self.daemons)


def launch(options: Options) -> Machine:
    """Start QEMU and what serves its shares. Raises `RunError` (`qemu-failed`, and what
    `start_shares` raises).

    The process of a detached guest ends, with status 0, as soon as the guest runs; the guest goes
    on.
    """
    daemons = tuple(start_shares(options.virtiofsd, options.shares, options.state))
    try:
        return Machine(subprocess.Popen(command_line(options)), () if options.detached else daemons)
    except OSError as error:
        stop_shares(daemons)
        raise RunError(
            "qemu-failed", f"QEMU cannot be started: {error.strerror}", place=options.qemu
        ) from error


@contextmanager
def _signals_passed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    def pass_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    if (
        threading.current_thread() is not threading.main_thread()
    ):  # only the main thread may set handlers
        yield
        return
    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _terminal_kept() -> Iterator[None]:
    """Put the terminal back as it was: a QEMU that is killed leaves it raw."""
    try:
        before = termios.tcgetattr(sys.__stdin__.fileno()) if sys.__stdin__ else None
    except (termios.error, ValueError, OSError):  # not a terminal, closed
        before = None
    try:
        yield
    finally:
        if before is not None and sys.__stdin__:
            termios.tcsetattr(sys.__stdin__.fileno(), termios.TCSADRAIN, before)
