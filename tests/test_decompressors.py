"""One stream of each compression, in pieces of any size, and what is none."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import struct
import sys
import zlib
from collections.abc import Callable
from functools import partial

import pytest

from compos import decompressors
from compos.decompressors import Damaged, Decompressor
from compos.zstd import zstd

Make = Callable[[], Decompressor]
PLAIN = random.Random(1).randbytes(3000) + bytes(300_000)
CHECKED = {int(zstd.CompressionParameter.checksum_flag): 1}
CASES: dict[str, tuple[Make, bytes]] = {
    "gzip": (decompressors.gzip, gzip.compress(PLAIN)),
    "zstd": (decompressors.zstd, zstd.compress(PLAIN, options=CHECKED)),
    "xz": (decompressors.xz, lzma.compress(PLAIN)),
    "lzma": (partial(decompressors.xz, alone=True), lzma.compress(PLAIN, lzma.FORMAT_ALONE)),
    "bzip2": (decompressors.bzip2, bz2.compress(PLAIN)),
}


@pytest.fixture(params=[False, True], ids=["", "without ISA-L"])
def _library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        monkeypatch.setitem(sys.modules, "isal", None)


def run(make: Make, data: bytes, taken: int, given: int) -> tuple[bytes, bytes]:
    """The plain bytes, with input in pieces of `taken` and output of `given`, and what follows the
    stream."""
    decompressor, made = make(), bytearray()
    while not decompressor.eof:
        piece = b""
        if decompressor.needs_input:
            piece, data = data[:taken], data[taken:]
            assert piece, "more input is wanted than there is"
        part = decompressor.decompress(piece, given)
        assert len(part) <= given
        made += part
    return bytes(made), decompressor.unused_data + data


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("taken", [997, 1 << 20])
@pytest.mark.parametrize("given", [1000, len(PLAIN), 1 << 20])
def test_streams(case: str, taken: int, given: int) -> None:
    make, data = CASES[case]
    tail = b"" if case == "lzma" else b"what follows"
    assert run(make, data + tail, taken, given) == (PLAIN, tail)


@pytest.mark.usefixtures("_library")
@pytest.mark.parametrize("case", CASES)
def test_damage(case: str) -> None:
    make, data = CASES[case]
    for damaged in (b"no such stream, none", data[:200] + bytes(50) + data[250:]):
        with pytest.raises(Damaged):
            make().decompress(damaged, 1 << 20)


@pytest.mark.parametrize("case", CASES)
def test_half_a_stream_has_no_end(case: str) -> None:
    make, data = CASES[case]
    decompressor = make()
    decompressor.decompress(data[:-5], 1 << 20)
    assert not decompressor.eof


def test_a_skippable_frame_is_a_stream_of_nothing() -> None:
    frame = struct.pack("<II", 0x184D2A50, 4) + b"note"
    assert run(decompressors.zstd, frame + b"x", 1 << 20, 100) == (b"", b"x")


def test_no_more_memory_than_is_bounded() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 20}]
    packed = bytearray(lzma.compress(b"x", lzma.FORMAT_XZ, lzma.CHECK_NONE, filters=filters))
    # The block header's property of LZMA2, its dictionary (.xz, 5.3.1): 37 are 1 GiB; then the
    # header's CRC-32.
    packed[12 + 4] = 37
    packed[12 + 8 : 12 + 12] = struct.pack("<I", zlib.crc32(packed[12:20]))
    with pytest.raises(Damaged, match="emory"):
        decompressors.xz().decompress(bytes(packed), 100)
