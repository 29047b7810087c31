"""Files of the store that nobody has written to since they were whole: told by their time of modification, without reading.

May touch: the times of files under the store's root. What is finished gets a time that is made of its length; any later
write, a cut or a copy by another tool gives it another one. Then a blob is hashed again, a derived result made again.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_sealed", "seal"]

_BASE = 1_000_000_000
"""Seconds since 1970, in 2001: no clock is there."""

_SPAN = 1 << 27


def seal(path: Path) -> None:
    """Mark a file as whole; raises `OSError`."""
    second = _second(path.stat().st_size)
    os.utime(path, (second, second))


def is_sealed(status: os.stat_result) -> bool:
    """Whether a file with this status is as it was when it was sealed."""
    return status.st_mtime_ns == _second(status.st_size) * 1_000_000_000


def _second(size: int) -> int:
    return _BASE + size % _SPAN
