"""How slow a remote cache may be: one that is slower than making things anew is left alone. Pure,
but for the clock that it is given."""

from __future__ import annotations

import threading
from collections.abc import Callable

from compos.errors import CacheError

__all__ = ["LEAST", "PATIENCE", "Pace"]

PATIENCE = 15.0
"""Seconds that a cache may be slow for."""

LEAST = 100_000
"""Bytes a second, of all downloads together; a build compresses some 100 times as fast."""


class Pace:
    """Watches the bytes that arrive; for several threads. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._start = clock()
        self._arrived = 0
        self.total = 0
        """Bytes that have arrived at all."""

    def begin(self) -> None:
        """Downloads begin now: time in which nothing was asked for does not count."""
        with self._lock:
            self._start = self._clock()
            self._arrived = 0

    def advance(self, amount: int) -> None:
        """So many bytes have arrived. Raises `CacheError` (`cache-slow`)."""
        with self._lock:
            self.total += amount
            self._arrived += amount
            passed = self._clock() - self._start
            if passed < PATIENCE:
                return
            if self._arrived < LEAST * passed:
                raise CacheError(
                    "cache-slow",
                    f"the remote cache sends less than {LEAST // 1000} kB a second",
                    hint="Use a cache that is nearer.",
                )
            self._start += passed
            self._arrived = 0
