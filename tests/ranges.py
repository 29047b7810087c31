"""Ranges of bytes that servers of tests are asked for (RFC 9110, section 14)."""

from __future__ import annotations

import re

__all__ = ["asked_range"]


def asked_range(header: str | None, length: int) -> range | None:
    """The bytes, of `length`, that one `Range` of a request means: from a place, to a place, or the
    last ones; None without it."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if not found:
        return None
    if found[1]:
        return range(int(found[1]), min(int(found[2] or length - 1), length - 1) + 1)
    return range(length - int(found[2]), length)
