"""A running guest: started, waited for, ended.

May touch: starts QEMU, virtiofsd and swtpm; while it waits, this process's signal handlers and the
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
from compos.run.daemons import Daemon, stop_daemons
from compos.run.guests import Slot
from compos.run.qemu import Options, command_line
from compos.run.shares import start_shares
from compos.run.tpm import start_tpm

__all__ = ["Machine", "launch"]

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Machine:
    """A running guest; its console is this process's standard input and output. Left as a context,
    it is ended."""

    process: subprocess.Popen[bytes]
    daemons: tuple[Daemon, ...] = ()
    """What serves it: they end with it."""
    slot: Slot | None = None
    """What says that it runs; None for a detached guest, whose slot goes on."""

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
        stop_daemons(self.daemons)
        if self.slot:
            self.slot.give_up()


def launch(options: Options) -> Machine:
    """Start QEMU, what serves its shares, and its TPM. Raises `RunError` (`qemu-failed`, and what
    `start_shares` and `start_tpm` raise).

    The process of a detached guest ends, with status 0, as soon as the guest runs; the guest goes
    on.
    """
    locks = [link.lock for link in options.links if link.lock >= 0]
    slot = options.slot
    if slot:
        locks.append(slot.lock)
    daemons: tuple[Daemon, ...] = ()
    try:
        daemons = tuple(start_shares(options.virtiofsd, options.shares, options.state))
        if options.swtpm:
            daemons = (*daemons, start_tpm(options.swtpm, options.state, old=options.tpm12))
        process = subprocess.Popen(command_line(options), pass_fds=locks)
        if options.detached:
            return _detached(process, slot)
        return Machine(process, daemons, slot)
    except RunError:
        stop_daemons(daemons)
        _give_up(slot)
        raise
    except OSError as error:
        stop_daemons(daemons)
        _give_up(slot)
        raise RunError(
            "qemu-failed", f"QEMU cannot be started: {error.strerror}", place=options.qemu
        ) from error
    finally:
        for link in options.links:
            link.release()


def _detached(process: subprocess.Popen[bytes], slot: Slot | None) -> Machine:
    """Wait until the guest runs by itself, or cannot."""
    failed = process.wait() != 0
    if failed:
        _give_up(slot)
    elif slot:
        slot.release()
    return Machine(process)


def _give_up(slot: Slot | None) -> None:
    if slot:
        slot.give_up()


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
