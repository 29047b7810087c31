"""A running guest: started, waited for, ended.

May touch: starts QEMU, virtiofsd and swtpm; while it waits, this process's signal handlers and the
settings of the terminal.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType, TracebackType

from compos.errors import RunError
from compos.run.guard import Guard
from compos.run.guests import Slot
from compos.run.qemu import Options, command_line
from compos.run.qmp import Monitor, listening_process
from compos.run.shares import start_shares
from compos.run.tpm import start_tpm

__all__ = ["Machine", "launch"]

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MAX_START = 60.0
"""Seconds until QEMU's monitor answers; on a busy machine it takes one or two."""
POLL = 0.02
ABOVE = "See the message from QEMU above."


@dataclass(frozen=True, slots=True)
class Machine:
    """A running guest; its console is this process's standard input and output. Left as a context,
    it is ended; it ends with this process, too, unless it is `detached` and not `tied`."""

    process: subprocess.Popen[bytes]
    guard: Guard
    """What QEMU, and all that serves it, was started by."""
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
        """End QEMU now, if it still runs, and what serves it."""
        self.guard.close()
        if self.slot:
            self.slot.give_up()

    def leave(self) -> None:
        """Let a detached guest go on when this process has ended."""
        self.guard.release()


def launch(options: Options) -> Machine:
    """Start QEMU, what serves its shares, and its TPM. Raises `RunError` (`qemu-failed`, and what
    `start_shares` and `start_tpm` raise).

    A detached guest is waited for until it runs. QEMU's process has ended then, with status 0, and
    the guest goes on without it; the process of one that is tied to this one is the guest's own.
    """
    locks = [link.lock for link in options.links if link.lock >= 0]
    slot = options.slot
    if slot:
        locks.append(slot.lock)
    guard = Guard()
    try:
        start_shares(options.virtiofsd, options.shares, options.state, start=guard.start)
        if options.swtpm:
            start_tpm(options.swtpm, options.state, old=options.tpm12, start=guard.start)
        if slot and options.detached and options.tied:
            process = _tied(options, slot, guard, locks)
        else:
            process = guard.start(command_line(options), pass_fds=locks)
        if not options.detached:
            return Machine(process, guard, slot)
        if not options.tied and process.wait():
            raise _failed(options, f"ended with status {process.returncode}", ABOVE)
    except BaseException as error:
        _end(guard, slot)
        if isinstance(error, OSError):
            raise _failed(options, f"cannot be started: {error.strerror}", "") from error
        raise
    finally:
        for link in options.links:
            link.release()
    if slot:
        slot.release()
    if not options.tied:
        guard.release()
    return Machine(process, guard)


def _end(guard: Guard, slot: Slot | None) -> None:
    """End what has been started, as far as it has come."""
    guard.close()
    if slot:
        # A QEMU that has gone into the background has left its first process.
        if number := listening_process(slot.monitor):
            os.kill(number, signal.SIGKILL)
        slot.give_up()


def _tied(options: Options, slot: Slot, guard: Guard, locks: list[int]) -> subprocess.Popen[bytes]:
    """A QEMU that stays a child of this process, and answers at its monitor."""
    log = options.state / "qemu.log"
    with log.open("wb") as output:
        process = guard.start(
            command_line(options),
            pass_fds=locks,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A ctrl-c at the terminal is not for the guest.
            start_new_session=True,
        )
    deadline = time.monotonic() + MAX_START
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(RunError):
            Monitor(slot.monitor).close()
            return process
        time.sleep(POLL)
    ended = f"ended with status {process.returncode}" if process.returncode else "does not answer"
    *_, said = ("", *log.read_text(errors="replace").splitlines())
    raise _failed(options, f"{ended}: {said}" if said else ended, f"See {log}.")


def _failed(options: Options, reason: str, hint: str) -> RunError:
    return RunError("qemu-failed", f"QEMU {reason}", place=options.qemu, hint=hint)


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
