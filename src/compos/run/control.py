"""A running guest is stopped, photographed and read, through QEMU's monitor and its console's log.

May touch: the guest's sockets; the file that a picture is written to.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from compos.errors import RunError
from compos.output.place import put_file
from compos.run.guests import Guest
from compos.run.qmp import Monitor, listening_process
from compos.run.remote import run

__all__ = ["console_log", "screenshot", "stop"]

POLL = 0.05
BUTTON = 3.0
"""Seconds in which a guest that heeds the power button has mostly ended."""
QUIT = 10.0
"""Seconds in which a QEMU that is told to quit has ended."""


def stop(guest: Guest, *, timeout: float = 30.0) -> bool:
    """End `guest`: its power button is pressed, after `timeout` seconds QEMU is told to quit, and
    one that does not is killed. Returns whether the guest powered off by itself; it is forgotten.
    """
    by_itself = True
    if timeout > 0 and guest.is_running():
        deadline = time.monotonic() + timeout
        with suppress(RunError), Monitor(guest.monitor) as monitor:
            monitor.execute("system_powerdown")
        # QEMU's arm64 and riscv64 machines have no button that every kernel knows.
        if not _wait(guest, min(timeout, BUTTON)) and guest.record.exec:
            with suppress(RunError):
                run(guest, ["poweroff"], timeout=QUIT, patience=BUTTON)
        _wait(guest, deadline - time.monotonic())
    if guest.is_running():
        by_itself = False
        with suppress(RunError), Monitor(guest.monitor) as monitor:
            monitor.execute("quit")
        if not _wait(guest, QUIT):
            _kill(guest)
    guest.remove()
    return by_itself


def _wait(guest: Guest, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while guest.is_running():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def _kill(guest: Guest) -> None:
    process = listening_process(guest.monitor)
    if process is not None:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    if not _wait(guest, QUIT):
        raise RunError(
            "guest-stuck",
            f"the guest {guest.record.name} cannot be ended",
            place=str(guest.folder),
            hint="See which process holds its lock: fuser lock",
        )


def screenshot(guest: Guest, path: Path) -> None:
    """Write what the guest's screen shows to `path`, as PNG. Raises `RunError`, `OutputError`."""
    with tempfile.TemporaryDirectory(dir=guest.folder, prefix=".") as folder:
        picture = Path(folder, "screen.png")
        with Monitor(guest.monitor, timeout=30) as monitor:
            monitor.execute("screendump", filename=str(picture), format="png")
        put_file(path, picture.read_bytes())


def console_log(guest: Guest, *, follow: bool = False) -> Iterator[bytes]:
    """What the guest's console has shown, in pieces; with `follow` also what it shows from now on,
    until the guest ends. Raises `RunError` (`console-elsewhere`)."""
    path = guest.record.console
    if not path:
        raise RunError(
            "console-elsewhere",
            f"the console of {guest.record.name} is the terminal that it was started on",
            hint="Guests that are started with --detach keep a log.",
        )
    with Path(path).open("rb") as file:
        while True:
            # Asked before reading, so that its last words are read.
            runs = follow and guest.is_running()
            while data := file.read(1 << 16):
                yield data
            if not runs:
                return
            time.sleep(POLL)
