"""Compressed streams of Debian's archive (xz, zstd, gzip, plain), read with bounded memory.

May touch: the streams that it is handed. Sources: deb(5); the .xz file format, section 2; RFC 8878;
RFC 1952.
"""

from __future__ import annotations

import gzip
import io
import lzma
import sys
import zlib
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["DecompressionError", "decompressed"]

MAX_XZ_MEMORY = 256 << 20
"""Bytes that decompressing may need. `xz -9` needs 65 MiB (xz(1)), and a header can ask for 4 GiB.
zstd refuses windows beyond 128 MiB by itself (RFC 8878, section 3.1.1.1.2, recommends 8 MiB)."""

_CHUNK = 1 << 17


class DecompressionError(Exception):
    """The stream is damaged, or cannot be decompressed within the bounds."""


def decompressed(source: BinaryIO, suffix: str) -> BinaryIO:
    """`source` as its file's suffix says: `.xz`, `.zst`, `.gz`, or plain for an empty one.

    Reading raises `DecompressionError`; so does another suffix, at once. Closing leaves `source`
    open.
    """
    stream: BinaryIO
    if suffix == "":
        stream = source
    elif suffix == ".xz":
        stream = cast("BinaryIO", _Xz(source))
    elif suffix == ".gz":
        stream = cast("BinaryIO", gzip.GzipFile(fileobj=source))
    elif suffix == ".zst":
        stream = cast("BinaryIO", _zstd().ZstdFile(source))
    else:
        raise DecompressionError(
            f"it is compressed with {suffix.removeprefix('.')[:20]!r}, which Debian does not use"
        )
    return cast("BinaryIO", io.BufferedReader(_Reported(stream), 1 << 18))


class _Xz(io.RawIOBase):
    """One .xz stream after another, with padding between them. `lzma.LZMAFile` takes no limit of
    memory."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self._decoder = _xz_decoder()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        while True:
            compressed = self._next()
            if compressed is None:
                return 0
            if piece := self._decoder.decompress(compressed, len(view)):
                view[: len(piece)] = piece
                return len(piece)

    def _next(self) -> bytes | None:
        """What the decoder is to read now, perhaps nothing; None after the last stream."""
        if not self._decoder.eof:
            if not self._decoder.needs_input:
                return b""
            if compressed := self._source.read(_CHUNK):
                return compressed
            raise EOFError
        following = self._decoder.unused_data
        # Padding between streams is NUL bytes (section 2.2).
        while not (following := following.lstrip(b"\0")):
            if not (following := self._source.read(_CHUNK)):
                return None
        self._decoder = _xz_decoder()
        return following


def _xz_decoder() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, MAX_XZ_MEMORY)


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
        except (
            lzma.LZMAError,
            zlib.error,
            EOFError,
            gzip.BadGzipFile,
            MemoryError,
            _zstd().ZstdError,
        ) as error:
            raise DecompressionError("it cannot be decompressed") from error
        view[: len(piece)] = piece
        return len(piece)


def _zstd() -> ModuleType:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
