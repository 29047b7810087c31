"""A container being laid out from its beginning to its end: what is made goes to a file, what is
taken as it is stays in place.

May touch: the file that the caller opened (writing).
"""

from __future__ import annotations

from typing import BinaryIO

from compos.tree.contents import piece_size
from compos.tree.node import Piece, Slice

__all__ = ["Spool"]

INLINE = 4096
"""Bytes that are not worth a place in the file: headers between slices."""

BUFFER = 1 << 20


class Spool:
    """Collects pieces. `out` is an empty file that will be `source` in the store."""

    def __init__(self, out: BinaryIO, source: str) -> None:
        self._out = out
        self._source = source
        self._pieces: list[Piece] = []
        self._waiting: list[bytes] = []
        self._length = 0
        self._in_file = 0
        self.size = 0
        """Bytes so far."""

    def add(self, *pieces: Piece) -> None:
        """Add bytes that were made, or slices of what stands in the store."""
        for piece in pieces:
            self.size += piece_size(piece)
            if isinstance(piece, bytes):
                self._waiting.append(piece)
                self._length += len(piece)
                if self._length >= BUFFER:
                    self._to_file()
            else:
                self._settle()
                self._pieces.append(piece)

    def finish(self) -> tuple[Piece, ...]:
        """Everything, as pieces."""
        self._settle()
        self._out.flush()
        return tuple(self._pieces)

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
