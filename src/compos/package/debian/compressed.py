"""Compressed streams of Debian's archive (xz, zstd, gzip, plain), read with bounded memory.

May touch: the streams that it is handed. Sources: deb(5); the .xz file format, section 2; RFC 8878;
RFC 1952.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, cast

from compos import decompressors
from compos.decompressors import Damaged, Decompressor

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["DecompressionError", "decompressed"]

_CHUNK = 1 << 17
_DECOMPRESSORS: dict[str, Callable[[], Decompressor]] = {
    ".xz": decompressors.xz,
    ".gz": decompressors.gzip,
    ".zst": decompressors.zstd,
}


class DecompressionError(Exception):
    """The stream is damaged, or cannot be decompressed within the bounds."""


def decompressed(source: BinaryIO, suffix: str) -> BinaryIO:
    """`source` as its file's suffix says: `.xz`, `.zst`, `.gz`, or plain for an empty one.

    Reading raises `DecompressionError`; so does another suffix, at once. Closing leaves `source`
    open.
    """
    if suffix and suffix not in _DECOMPRESSORS:
        raise DecompressionError(
            f"it is compressed with {suffix.removeprefix('.')[:20]!r}, which Debian does not use"
        )
    stream = _Streams(source, _DECOMPRESSORS[suffix]) if suffix else source
    return cast("BinaryIO", io.BufferedReader(_Reported(cast("BinaryIO", stream)), 1 << 18))


class _Streams(io.RawIOBase):
    """One stream after another, with padding between them: the libraries' own files take no limit
    of memory."""

    def __init__(self, source: BinaryIO, make: Callable[[], Decompressor]) -> None:
        super().__init__()
        self._source = source
        self._make = make
        self._decompressor = make()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        while True:
            compressed = self._next()
            if compressed is None:
                return 0
            if piece := self._decompressor.decompress(compressed, len(view)):
                view[: len(piece)] = piece
                return len(piece)

    def _next(self) -> bytes | None:
        """What the decompressor is to read now, perhaps nothing; None after the last stream."""
        if not self._decompressor.eof:
            if not self._decompressor.needs_input:
                return b""
            if compressed := self._source.read(_CHUNK):
                return compressed
            raise EOFError
        following = self._decompressor.unused_data
        # Padding between streams is NUL bytes (.xz, section 2.2; gzip(1) ignores them, too).
        while not (following := following.lstrip(b"\0")):
            if not (following := self._source.read(_CHUNK)):
                return None
        self._decompressor = self._make()
        return following


class _Reported(io.RawIOBase):
    """A decompressed stream whose errors are `DecompressionError`."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        try:
            piece = self._stream.read(len(view))
        except (Damaged, EOFError, MemoryError) as error:
            raise DecompressionError("it cannot be decompressed") from error
        view[: len(piece)] = piece
        return len(piece)
