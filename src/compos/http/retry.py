"""Which failures are worth another attempt, and how long to wait before it.

Pure, apart from the waiting.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from compos.errors import ComposError, Transient

__all__ = ["HURRIED", "USUAL", "Attempts", "Patience", "delay_from", "may_pass"]

MAX_ATTEMPTS = 4
FIRST_SECONDS = 0.5
MAX_SECONDS = 60

_LASTING = (501, 505, 511)
"""Not implemented, not this version of HTTP, log in to the network first: no matter of time."""


class Patience(NamedTuple):
    """How long a server is waited for: `connect` and `read` are seconds until it answers and until
    more arrives, `whole` until a short document is there; `attempts` are made in a row, at most
    `pause` seconds apart."""

    connect: float = 15
    read: float = 60
    whole: float = 300
    attempts: int = MAX_ATTEMPTS
    pause: float = MAX_SECONDS


USUAL = Patience()

HURRIED = Patience(connect=5, read=10, whole=15, attempts=2, pause=2)
"""For what a build can do without."""


class Attempts:
    """Counts failures in a row: usually four attempts, 0.5, 1 and 2 seconds apart, or as the server
    wishes up to a minute."""

    def __init__(self, wait: Callable[[float], None], patience: Patience = USUAL) -> None:
        self._wait = wait
        self._patience = patience
        self._failed = 0

    def reset(self) -> None:
        """There was progress."""
        self._failed = 0

    def failed(self, error: ComposError) -> None:
        """Wait before the next attempt; raises `error` when there should be none."""
        self._failed += 1
        if not isinstance(error, Transient) or self._failed >= self._patience.attempts:
            raise error
        requested = error.delay or 0
        if requested > self._patience.pause:
            raise error
        self._wait(max(FIRST_SECONDS * 2 ** (self._failed - 1), requested))


def may_pass(status: int) -> bool:
    """Whether a refusal with this status may pass by itself: a time-out, too early, too many
    requests (RFC 9110, 15.5.9; RFC 8470, 5.2; RFC 6585, 4), and what servers and gateways say of
    their own troubles."""
    return status in (408, 425, 429) or (status >= 500 and status not in _LASTING)


def delay_from(header: str | None, now: Callable[[], float]) -> float | None:
    """Seconds of a `Retry-After` header, given as a number or as a date (RFC 9110 section
    10.2.3)."""
    if not header:
        return None
    if re.fullmatch(r"\s*[0-9]{1,9}\s*", header):
        return float(header)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now())
    except (ValueError, OverflowError):
        return None
