"""Columns: lists of numbers, texts or bytes as one checksummed file of data. May touch: the files
it is handed.

A file is a head, which names format, version and what it describes, the SHA-256 of the rest, and
columns: a type, how many values there are, how many bytes follow. Reading makes nothing but views
and lists of exactly the types that were asked for, in proportion to the file, at C's speed: numbers
are copied as they are, texts made by one `split`.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["BYTES", "TEXT", "load", "load_named", "save"]

MAGIC = b"compos-record 3 "

TEXT, BYTES = "s", "b"
_WIDTHS = {"B": 1, "H": 2, "I": 4, "q": 8}
"""Types of columns: texts, bytes; all others are numbers, B, H, I and q of 1, 2, 4 and 8 bytes, of
which q has a sign."""

_COLUMN = struct.Struct("<cQQ")
_SUM = 32


def save(path: Path, what: str, columns: Iterable[tuple[str, Sequence[Any]]]) -> None:
    """Write `columns`, each a type and its values, to `path`, one after another: they may be made
    as they are asked for. What no column can hold makes an empty file: no record."""
    head = _head(what)
    hasher = hashlib.sha256()
    with path.open("wb") as out:
        out.write(head + bytes(_SUM))
        try:
            for kind, values in columns:
                data = _packed(kind, values)
                for part in (_COLUMN.pack(kind.encode(), len(values), len(data)), data):
                    hasher.update(part)
                    out.write(part)
        except OverflowError:
            out.truncate(0)
            return
        out.seek(len(head))
        out.write(hasher.digest())


def load(path: Path | None, what: str, kinds: str, repeated: str = "") -> list[Any] | None:
    """The values of columns of just these `kinds` that `save` wrote for `what`, and those of
    `repeated` behind them, any number of times; None for any other file, or none.

    Numbers come as a view of as many bytes as they have, others as a list: a build of what has not
    changed need not import `array`.
    """
    loaded = load_named(path, what, kinds, repeated)
    return None if loaded is None else loaded[0]


def load_named(
    path: Path | None, what: str, kinds: str, repeated: str = ""
) -> tuple[list[Any], str] | None:
    """As `load`, with the SHA-256 of the columns in hexadecimal, which names them."""
    if path is None:
        return None
    try:
        with path.open("rb") as stream:
            return _read(stream, _head(what), kinds, repeated)
    except (OSError, ValueError, struct.error):
        return None


def _read(stream: BinaryIO, head: bytes, kinds: str, repeated: str) -> tuple[list[Any], str] | None:
    """Raises `OSError`, `ValueError` or `struct.error`."""
    if stream.read(len(head)) != head:
        return None
    expected = stream.read(_SUM)
    hasher = hashlib.sha256()
    values = [*_columns(stream, hasher.update, kinds, repeated)]
    return (values, hasher.hexdigest()) if hasher.digest() == expected else None


def _head(what: str) -> bytes:
    return MAGIC + what.encode() + b"\n"


def _columns(
    stream: BinaryIO, seen: Callable[[bytes], None], kinds: str, repeated: str
) -> Iterator[Sequence[Any]]:
    """The rest of a file; all of its bytes are `seen`. Memory is for the values and one column.
    Raises `OSError`, `ValueError` or `struct.error`."""
    left = os.fstat(stream.fileno()).st_size - stream.tell()
    waiting = kinds
    while waiting or left:
        waiting = waiting or repeated
        expected, waiting = waiting[:1], waiting[1:]
        head = stream.read(_COLUMN.size)
        kind, count, size = _COLUMN.unpack(head)
        left -= len(head) + size
        if kind != expected.encode() or left < 0:
            raise ValueError
        data = stream.read(size)
        seen(head)
        seen(data)
        values = _unpacked(expected, memoryview(data), count)
        del data
        if len(values) != count:
            raise ValueError
        yield values


def _packed(kind: str, values: Sequence[Any]) -> bytes:
    """Raises `OverflowError`."""
    if kind == BYTES:
        return _numbers("I", [*map(len, values)]) + b"".join(values)
    if kind == TEXT:
        # Any text may stand in a column: what parts them is the first character that none has.
        between = next(
            mark
            for mark in map(chr, range(sys.maxunicode))
            if not any(mark in value for value in values)
        )
        return between.join(chain(("",), values)).encode("utf-8", "surrogatepass")
    return _numbers(kind, values)


def _numbers(kind: str, values: Sequence[int]) -> bytes:
    from array import array

    made = array(kind, values)
    if sys.byteorder == "big":
        made.byteswap()
    return made.tobytes()


def _swapped(kind: str, data: memoryview) -> bytes:
    """The other byte order."""
    from array import array

    made = array(kind, bytes(data))
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
    if len(data) % _WIDTHS[kind]:
        raise ValueError
    # A copy: a view of the file would keep all its columns.
    plain = bytes(data) if sys.byteorder == "little" else _swapped(kind, data)
    return memoryview(plain).cast(kind)  # type: ignore[call-overload,no-any-return]
