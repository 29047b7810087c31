"""Which failures are worth another attempt, and how long to wait before it.

Pure, apart from the waiting.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from compos.errors import ComposError, ImageError, Transient

__all__ = ["Attempts", "TransientError", "delay_from"]

_LIMIT = 4
_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 60


class TransientError(ImageError, Transient):
    """A registry's failure that may pass by itself."""


class Attempts:
    """Counts failures in a row: four attempts, 0.5, 1 and 2 seconds apart, or as the server wishes
    up to a minute."""

    def __init__(self, wait: Callable[[float], None]) -> None:
        self._wait = wait
        self._failed = 0

    def reset(self) -> None:
        """There was progress."""
        self._failed = 0

    def failed(self, error: ComposError) -> None:
        """Wait before the next attempt; raises `error` when there should be none."""
        self._failed += 1
        if not isinstance(error, Transient) or self._failed >= _LIMIT:
            raise error
        asked = error.delay or 0
        if asked > _LONGEST_SECONDS:
            raise error
        self._wait(max(_FIRST_SECONDS * 2 ** (self._failed - 1), asked))


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
