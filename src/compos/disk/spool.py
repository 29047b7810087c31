"""A container being laid out from its beginning to its end: what is made goes to a file, what is taken as it is stays in place.

May touch: the file that the caller opened (writing).
"""

from __future__ import annotations

from hashlib import sha256
from typing import BinaryIO

from compos.tree.node import Piece, Slice

__all__ = ["Spool"]

INLINE = 4096
"""Bytes that are not worth a place in the file: headers between slices."""

BUFFER = 1 << 20


class Spool:
    """Collects pieces. `out` is an empty file that will be `source` in the store; `digest` asks for a SHA-256 of the whole."""

    def __init__(self, out: BinaryIO, source: str, *, digest: bool = False) -> None:
        self._out = out
        self._source = source
        self._hasher = sha256() if digest else None
        self._pieces: list[Piece] = []
        self._waiting: list[bytes] = []
        self._length = 0
        self._in_file = 0
        self.size = 0
        """Bytes so far."""

    def write(self, data: bytes) -> None:
        """Add what was made."""
        self._count(data)
        self._waiting.append(data)
        self._length += len(data)
        if self._length >= BUFFER:
            self._to_file()

    def take(self, piece: Slice, data: bytes | memoryview) -> None:
        """Add `data`, which stand at `piece` in the store."""
        self._count(data)
        self._settle()
        self._pieces.append(piece)

    def finish(self) -> tuple[Piece, ...]:
        """Everything, as pieces."""
        self._settle()
        self._out.flush()
        return tuple(self._pieces)

    @property
    def digest(self) -> str:
        """The SHA-256 in hexadecimal, if it was asked for."""
        return self._hasher.hexdigest() if self._hasher else ""

    def _count(self, data: bytes | memoryview) -> None:
        self.size += len(data)
        if self._hasher:
            self._hasher.update(data)

    def _settle(self) -> None:
        if self._length > INLINE:
            self._to_file()
        elif self._waiting:
            self._pieces.append(b"".join(self._waiting))
            self._waiting.clear()
            self._length = 0

    def _to_file(self) -> None:
        self._out.write(b"".join(self._waiting))
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, Slice) and last.source == self._source:
            self._pieces[-1] = last._replace(size=last.size + self._length)
        else:
            self._pieces.append(Slice(self._source, self._in_file, self._length))
        self._in_file += self._length
        self._waiting.clear()
        self._length = 0
