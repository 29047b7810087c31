"""LZ4 and LZO1X decoding, for kernels that are compressed with them and no others: there is no need
for a library. Pure.

Sources: "LZ4 Block Format Description" and "LZ4 Frame format description" (legacy frame); the
kernel's Documentation/staging/lzo.rst for LZO1X; the lzop container as the kernel's build writes it
(big-endian fields).
"""

from __future__ import annotations

import struct

__all__ = ["LZ4_LEGACY", "LZOP", "LzError", "lz4_legacy", "lzop"]

LZ4_LEGACY = b"\x02\x21\x4c\x18"
LZOP = b"\x89LZO\x00\r\n\x1a\n"

_WORD = struct.Struct("<I")
_BIG_WORD = struct.Struct(">I")
LZ4_BLOCK = 8 << 20
"""What a legacy block holds at most, uncompressed."""

LZOP_BLOCK = 64 << 20
F_ADLER32_D, F_ADLER32_C, F_CRC32_D, F_CRC32_C, F_FILTER, F_EXTRA = (
    0x1,
    0x2,
    0x100,
    0x200,
    0x800,
    0x40,
)


class LzError(ValueError):
    """The data is not what it should be."""


def lz4_legacy(data: bytes, limit: int) -> bytes:
    """What the legacy LZ4 frame `data` holds, at most `limit` bytes; what follows the last whole
    block is ignored.

    Raises `LzError`.
    """
    if not data.startswith(LZ4_LEGACY):
        raise LzError("not an LZ4 frame")
    out = bytearray()
    position = len(LZ4_LEGACY)
    while position + 4 <= len(data):
        (size,) = _WORD.unpack_from(data, position)
        if data[position : position + 4] == LZ4_LEGACY:
            position += 4
            continue
        # Behind the last block, the kernel's build puts the uncompressed size, which no block
        # header fits.
        if size == 0 or position + 4 + size > len(data):
            break
        block = _lz4_block(data[position + 4 : position + 4 + size])
        out += block
        if len(out) > limit:
            raise LzError(f"there are more than {limit} bytes")
        position += 4 + size
        if len(block) < LZ4_BLOCK:
            break
    return bytes(out)


def _lz4_block(block: bytes) -> bytearray:
    out = bytearray()
    position, end = 0, len(block)
    try:
        while position < end:
            token = block[position]
            position += 1
            count = token >> 4
            if count == 15:
                more, position = _length(block, position)
                count += more
            if count:
                if position + count > end:
                    raise LzError("a block ends inside its literals")
                out += block[position : position + count]
                position += count
            if position == end:
                break
            distance = block[position] | block[position + 1] << 8
            position += 2
            count = (token & 15) + 4
            if count == 19:
                more, position = _length(block, position)
                count += more
            _repeat(out, distance, count)
            if len(out) > LZ4_BLOCK:
                raise LzError("a block contains more than is allowed")
    except IndexError as error:
        raise LzError("a block is truncated") from error
    return out


def _length(block: bytes, position: int) -> tuple[int, int]:
    """The rest of an LZ4 length: bytes of 255 and one below it; gives it and where it ends."""
    count = 0
    while block[position] == 255:
        count += 255
        position += 1
    return count + block[position], position + 1


def _repeat(out: bytearray, distance: int, count: int) -> None:
    """Append `count` bytes from `distance` back; the copy may overlap what it makes."""
    start = len(out) - distance
    if not 0 < distance <= len(out):
        raise LzError("a match begins before the data")
    if distance >= count:
        out += out[start : start + count]
    else:
        piece = bytes(out[start:])
        out += (piece * (count // distance + 1))[:count]


def lzop(data: bytes, limit: int) -> bytes:
    """What the lzop file `data` holds, at most `limit` bytes. Checksums are not looked at. Raises
    `LzError`."""
    try:
        return _lzop(data, limit)
    except (IndexError, struct.error) as error:
        raise LzError("the file is truncated") from error


def _lzop(data: bytes, limit: int) -> bytes:
    if not data.startswith(LZOP):
        raise LzError("not an lzop file")
    position = len(LZOP)
    (version,) = struct.unpack_from(">H", data, position)
    # version, library version, version needed (from 0x940), method, level (from 0x940), flags
    position += 2 + 2 + (2 if version >= 0x940 else 0) + 1 + (1 if version >= 0x940 else 0)
    (flags,) = _BIG_WORD.unpack_from(data, position)
    position += 4 + (4 if flags & F_FILTER else 0)
    # mode, time (its upper half from 0x940), name with its length, header checksum
    position += 4 + 4 + (4 if version >= 0x940 else 0)
    position += 1 + data[position] + 4
    if flags & F_EXTRA:
        position += 4 + _BIG_WORD.unpack_from(data, position)[0] + 4
    out = bytearray()
    while True:
        (plain,) = _BIG_WORD.unpack_from(data, position)
        if plain == 0:
            return bytes(out)
        (packed,) = _BIG_WORD.unpack_from(data, position + 4)
        position += 8
        if plain > LZOP_BLOCK or packed > plain or len(out) + plain > limit:
            raise LzError("a block is too large")
        position += 4 * bool(flags & F_ADLER32_D) + 4 * bool(flags & F_CRC32_D)
        if packed < plain:
            position += 4 * bool(flags & F_ADLER32_C) + 4 * bool(flags & F_CRC32_C)
        block = data[position : position + packed]
        if len(block) < packed:
            raise LzError("a block is truncated")
        piece = block if packed == plain else _lzo1x(block, plain)
        if len(piece) != plain:
            raise LzError("a block has a different number of bytes than it states")
        out += piece
        position += packed


def _lzo1x(block: bytes, size: int) -> bytearray:
    """One LZO1X block; `size` bytes come out of it at most."""
    out = bytearray()
    position = 0
    # State: how many literals the last instruction copied; 4 stands for a long run of them.
    state = 0
    if block[0] > 17:
        count = block[0] - 17
        out += block[1 : 1 + count]
        position = 1 + count
        state = min(count, 4)
    while len(out) <= size:
        code = block[position]
        position += 1
        if code < 16 and state == 0:
            count = code + 3
            if code == 0:
                more, position = _run(block, position)
                count = more + 18
            if position + count > len(block):
                raise LzError("a block ends inside its literals")
            out += block[position : position + count]
            position += count
            state = 4
            continue
        if code >= 64:
            count = (code >> 5) + 1
            distance = (block[position] << 3) + ((code >> 2) & 7) + 1
            position += 1
            literals = code & 3
        elif code < 16:
            high = block[position] << 2
            position += 1
            literals = code & 3
            distance = high + (code >> 2) + (2049 if state == 4 else 1)
            count = 3 if state == 4 else 2
        else:
            mask, base = (31, 1) if code >= 32 else (7, 16384)
            count = (code & mask) + 2
            if code & mask == 0:
                more, position = _run(block, position)
                count = more + mask + 2
            low = block[position] | block[position + 1] << 8
            position += 2
            literals = low & 3
            distance = base + (low >> 2) + (((code & 8) << 11) if code < 32 else 0)
            if code < 32 and distance == 16384:
                return out
        _repeat(out, distance, count)
        out += block[position : position + literals]
        position += literals
        state = literals
    raise LzError("a block has more bytes than it states")


def _run(block: bytes, position: int) -> tuple[int, int]:
    """A length coded as zero bytes (255 each) and a last byte; gives it and where it ends."""
    count = 0
    while block[position] == 0:
        count += 255
        position += 1
    return count + block[position], position + 1
