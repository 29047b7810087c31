"""One gzip stream made of parts that are compressed, and kept in the store, by themselves. Reads
the ends of parts.

A part is a stretch of deflate's stream up to a byte border, behind it the checksum and the length
of what it holds: streams may be joined at byte borders, and the checksum of the whole follows from
those of the parts. Two threads compress.

Sources: RFC 1951, 3.2.3; RFC 1952, 2.3 and 8; for the checksum of joined parts, zlib's
crc32_combine.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from compos.filesystem.checksums import crc32
from compos.filesystem.deflate import RAW, SYNC, deflater
from compos.tree.contents import Contents
from compos.tree.node import Piece, Slice

__all__ = ["PartCompressor", "combined", "joined"]

CHUNK = 512 << 10
"""Bytes that a thread compresses at a time; each chunk knows the window in front of it."""

WINDOW = 32 << 10
"""What deflate looks back."""

THREADS = 2
MAX_WAITING = 16

_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""RFC 1952, 2.3: deflate, no name, no time, unknown system."""

_END = struct.Struct("<II")
"""RFC 1952, 2.3.1: checksum, length modulo 2^32."""

_PART_END = struct.Struct("<IQ")
"""Checksum and length of a part's contents; in the store only."""

_POLYNOMIAL = 0xEDB88320
"""RFC 1952, 8: bits reversed, x^0 is the highest."""


class PartCompressor:
    """A compressor of one part: `compress` chunks of any size, then `flush`."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS)
        self._waiting: deque[Future[bytes]] = deque()
        self._open = bytearray()
        self._window = b""
        self._checksum = 0
        self._size = 0

    def compress(self, data: bytes) -> bytes:
        """Take `data`; returns what is finished."""
        self._checksum = crc32(data, self._checksum)
        self._size += len(data)
        self._open += data
        while len(self._open) >= CHUNK:
            self._submit(bytes(self._open[:CHUNK]))
            del self._open[:CHUNK]
        return b"".join(self._finished(MAX_WAITING))

    def flush(self) -> bytes:
        """The rest, and the part's end."""
        self._submit(bytes(self._open))
        made = b"".join(self._finished(0))
        self._pool.shutdown()
        return made + _PART_END.pack(self._checksum, self._size)

    def _submit(self, chunk: bytes) -> None:
        self._waiting.append(self._pool.submit(_packed, chunk, self._window))
        self._window = chunk[-WINDOW:]

    def _finished(self, most: int) -> Iterator[bytes]:
        while len(self._waiting) > most:
            yield self._waiting.popleft().result()


def _packed(chunk: bytes, window: bytes) -> bytes:
    packer = deflater(RAW, window=window)
    return packer.compress(chunk) + packer.flush(SYNC)


def joined(contents: Contents, parts: Iterable[Slice], last: bytes) -> Iterator[Piece]:
    """The gzip stream of what `parts` hold and of `last`, as pieces. Raises `ImageError`
    (`store-corrupt`)."""
    yield _HEADER
    checksum = total = 0
    for part in parts:
        length = part.size - _PART_END.size
        end = b"".join(contents.chunks([Slice(part.source, part.offset + length, _PART_END.size)]))
        own, size = _PART_END.unpack(end)
        checksum = combined(checksum, own, size)
        total += size
        yield Slice(part.source, part.offset, length)
    checksum = combined(checksum, crc32(last), len(last))
    packer = deflater(RAW)
    yield (
        packer.compress(last) + packer.flush() + _END.pack(checksum, total + len(last) & 0xFFFFFFFF)
    )


def combined(first: int, second: int, length: int) -> int:
    """The CRC-32 of bytes with the CRC-32 `first` and, behind them, `length` bytes with the CRC-32
    `second`."""
    # What stands in front is multiplied by x^(8 * length).
    power, shift = 1 << 31, 1 << 30
    exponent = 8 * length
    while exponent:
        if exponent & 1:
            power = _product(power, shift)
        shift = _product(shift, shift)
        exponent >>= 1
    return _product(first, power) ^ second


def _product(one: int, other: int) -> int:
    """Two polynomials' product, modulo CRC-32's."""
    result = 0
    bit = 1 << 31
    while bit:
        if one & bit:
            result ^= other
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
        bit >>= 1
    return result
