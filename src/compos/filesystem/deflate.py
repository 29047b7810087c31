"""Which program makes gzip's streams: zlib-ng where it is, else zlib. Pure.

Measured on the web example's initrd (250 MB), beside zlib at level 6: zlib-ng at level 3 takes 0.21
of the time and makes 6 % more, which is the size that Go's pgzip makes; at level 5 0.31 and 1.7 %,
at level 2 0.19 and 10 %; ISA-L at its highest level 0.11 and 12 %. libdeflate is best at both (0.3,
and 1 % less), but ends each stream for good: its blocks cannot be joined. The bytes of zlib-ng are
the same on every processor from version 2.2 on; those of ISA-L are not.
"""

from __future__ import annotations

import zlib
from functools import cache
from types import ModuleType
from typing import Protocol, cast

__all__ = ["RAW", "SYNC", "WITH_HEADER", "Deflater", "deflater", "deflater_identity"]

LEVEL = 6

NG_LEVEL = 3
"""Whoever wants a small image takes zstd; gzip is for others' tools, and need not be slow."""

RAW, WITH_HEADER = -15, 31
"""zlib.h, windowBits: deflate's stream alone, or gzip's around it."""

SYNC = zlib.Z_SYNC_FLUSH


class Deflater(Protocol):
    """What zlib's compressobj returns."""

    def compress(self, data: bytes, /) -> bytes:
        """Take `data`; returns what is finished."""

    def flush(self, mode: int = zlib.Z_FINISH, /) -> bytes:
        """The rest, up to a byte border with `SYNC`, else to the stream's end."""


def deflater(form: int, *, window: bytes = b"") -> Deflater:
    """A compressor of one stream, `RAW` or `WITH_HEADER`; `window` is what stands in front of it,
    at most 32 KiB."""
    known = {"zdict": window} if window else {}
    program = _program()
    level = LEVEL if program is zlib else NG_LEVEL
    made = program.compressobj(level, zlib.DEFLATED, form, **known)
    return cast("Deflater", made)


def deflater_identity() -> str:
    """Which program, version and level it is: part of every key of what it makes."""
    program = _program()
    if program is zlib:
        return f"{LEVEL}-{zlib.ZLIB_RUNTIME_VERSION}"
    return f"{NG_LEVEL}-ng{program.ZLIBNG_RUNTIME_VERSION}"


@cache
def _program() -> ModuleType:
    try:
        from zlib_ng import zlib_ng
    except ImportError:  # no wheel for this machine
        return zlib
    program: ModuleType = zlib_ng
    return program
