"""Forward error correction of dm-verity: two bytes of Reed-Solomon parity for each 253 bytes, with
which Linux repairs blocks that the hash tree says are wrong. Pure.

The data is laid out as 253 columns one after the other; the bytes at one place of each column and
their parity are a code word. Whole stretches of a column are one number here: adding is XOR, and
doubling takes a handful of operations, whatever the length.

Sources: Linux, drivers/md/dm-verity-fec.c and Documentation/admin-guide/device-mapper/verity.rst
(layout); lib/reed_solomon (the code: GF(256) with the polynomial 0x11d, first root 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compos.arithmetic import ceil_div

__all__ = ["ROOTS", "parity"]

BLOCK = 4096
ROOTS = 2
"""Bytes of parity of a code word, which repair one byte of it, or both where it is known which are
wrong: the hash tree knows."""
COLUMNS = 255 - ROOTS
LANE = 16 << 10
"""Bytes of a column that are worked on at once: the numbers stay in the processor's cache."""
REDUCED = 0x1D
"""What the polynomial adds to a byte whose doubling overflows."""


def parity(chunks: Iterable[bytes], blocks: int) -> bytes:
    """The parity of `blocks` blocks of 4096 bytes: the bytes of `chunks`, and zeros behind them.
    Two blocks for each 253, rounded up."""
    stride = ceil_div(blocks, COLUMNS) * BLOCK
    lanes = [LANE] * (stride // LANE) + [stride % LANE] * bool(stride % LANE)
    masks = {
        size: (int.from_bytes(b"\x7f" * size, "little"), int.from_bytes(b"\1" * size, "little"))
        for size in {*lanes}
    }
    first, second = [0] * len(lanes), [0] * len(lanes)
    stretches = _cut(chunks, lanes)
    for _ in range(COLUMNS):
        for number, size in enumerate(lanes):
            below, lowest = masks[size]
            # The generator is (x + 1)(x + 2) = x² + 3x + 2: a shift register of two places.
            added = int.from_bytes(next(stretches), "little") ^ first[number]
            doubled = ((added & below) << 1) ^ ((added >> 7 & lowest) * REDUCED)
            first[number] = second[number] ^ doubled ^ added
            second[number] = doubled
    made = bytearray(ROOTS * stride)
    at = 0
    for one, two, size in zip(first, second, lanes, strict=True):
        part = memoryview(made)[at : at + ROOTS * size]
        part[0::2] = one.to_bytes(size, "little")
        part[1::2] = two.to_bytes(size, "little")
        at += ROOTS * size
    return bytes(made)


def _cut(chunks: Iterable[bytes], sizes: list[int]) -> Iterator[bytes]:
    """The bytes of `chunks` in pieces of these sizes, again and again; zeros without end behind
    them."""
    source = iter(chunks)
    held, at = b"", 0
    while True:
        for size in sizes:
            while len(held) - at < size:
                more = next(source, None)
                held, at = held[at:] + (bytes(max(size, LANE)) if more is None else more), 0
            yield held[at : at + size]
            at += size
