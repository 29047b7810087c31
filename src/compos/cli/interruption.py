"""Signals that end a command which has something to clean up.

May touch: this process's signal handlers.
"""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType

__all__ = ["end_by_the_first_signal"]

CLEANUP = 20.0
"""Seconds in which guests have been ended, those by force that do not end otherwise."""


def end_by_the_first_signal() -> None:
    """SIGINT, SIGTERM and SIGHUP end the command from now on by an exception; whoever sends more of
    them does not cut short what it does then, for `CLEANUP` seconds."""
    first = 0.0

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if first and now - first < CLEANUP:
            return
        first = now
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup(1), jobs in the background
            signal.signal(number, end)
