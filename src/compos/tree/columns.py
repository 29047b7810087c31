"""Columns: lists of numbers, texts or bytes as one checksummed file of data. May touch: the files
it is handed.

A file is a head, which names format, version and what it describes, the SHA-256 of the rest, and
columns: a type, how many values there are, how many bytes follow. Reading makes nothing but arrays
and lists of exactly the types that were asked for, in proportion to the file, at C's speed: numbers
are copied as they are, texts made by one `split`.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["BYTES", "TEXT", "load", "save"]

MAGIC = b"compos-record 3 "

TEXT, BYTES = "s", "b"
"""Types of columns: texts, bytes; all others are numbers, B, H, I and q of 1, 2, 4 and 8 bytes, of
which q has a sign."""

_COLUMN = struct.Struct("<cQQ")
_SUM = 32


def save(path: Path, what: str, columns: Sequence[tuple[str, Sequence[Any]]]) -> None:
    """Write `columns`, each a type and its values, to `path`. What no column can hold makes an
    empty file: no record."""
    body = bytearray()
    try:
        for kind, values in columns:
            data = _packed(kind, values)
            body += _COLUMN.pack(kind.encode(), len(values), len(data)) + data
    except OverflowError:
        path.write_bytes(b"")
        return
    path.write_bytes(b"".join((_head(what), hashlib.sha256(body).digest(), body)))


def load(path: Path | None, what: str, kinds: str, repeated: str = "") -> list[Any] | None:
    """The values of columns of just these `kinds` that `save` wrote for `what`, and those of
    `repeated` behind them, any number of times; None for any other file, or none.

    Numbers come as an `array.array`, others as a list.
    """
    if path is None:
        return None
    try:
        data = path.read_bytes()
    except OSError:
        return None
    head = _head(what)
    body = memoryview(data)[len(head) + _SUM :]
    if (
        not data.startswith(head)
        or hashlib.sha256(body).digest() != data[len(head) : len(head) + _SUM]
    ):
        return None
    try:
        return list(_columns(body, kinds, repeated))
    except (ValueError, struct.error):
        return None


def _head(what: str) -> bytes:
    return MAGIC + what.encode() + b"\n"


def _columns(body: memoryview, kinds: str, repeated: str) -> Iterator[Sequence[Any]]:
    """Raises `ValueError` or `struct.error`."""
    at = 0
    waiting = kinds
    while waiting or at < len(body):
        waiting = waiting or repeated
        expected, waiting = waiting[:1], waiting[1:]
        kind, count, size = _COLUMN.unpack_from(body, at)
        at += _COLUMN.size + size
        if kind != expected.encode() or at > len(body):
            raise ValueError
        values = _unpacked(expected, body[at - size : at], count)
        if len(values) != count:
            raise ValueError
        yield values


def _packed(kind: str, values: Sequence[Any]) -> bytes:
    """Raises `OverflowError`."""
    if kind == BYTES:
        return _numbers("I", [*map(len, values)]) + b"".join(values)
    if kind == TEXT:
        text = "".join(values)
        # Any text may stand in a column: what parts them is the first character that none has.
        between = next(mark for mark in map(chr, range(sys.maxunicode)) if mark not in text)
        return "".join(between + value for value in values).encode("utf-8", "surrogatepass")
    return _numbers(kind, values)


def _numbers(kind: str, values: Sequence[int]) -> bytes:
    made = array(kind, values)
    if sys.byteorder == "big":
        made.byteswap()
    return made.tobytes()


def _unpacked(kind: str, data: memoryview, count: int) -> Sequence[Any]:
    """Raises `ValueError`."""
    if kind == TEXT:
        text = str(data, "utf-8", "surrogatepass")
        return text.split(text[0])[1:] if text else []
    if kind == BYTES:
        content = data[4 * count :]
        pieces, at = [], 0
        for length in _unpacked("I", data[: 4 * count], count):
            pieces.append(bytes(content[at : at + length]))
            at += length
        if at != len(content):
            raise ValueError
        return pieces
    made: array[int] = array(kind)
    if len(data) % made.itemsize:
        raise ValueError
    made.frombytes(data)
    if sys.byteorder == "big":
        made.byteswap()
    return made
