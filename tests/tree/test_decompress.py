"""Compressed layers: any sequence of gzip members or zstd frames, and bombs with an end."""

from __future__ import annotations

import gzip
import io
import itertools
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from compos.errors import ImageError
from compos.tree.decompress import Bounds, decompress, is_compressed
from tests.images import compress

PLAIN = b"hello, layers " * 5000
GZIP, ZSTD = compress(PLAIN, "gzip"), compress(PLAIN, "zstd")


def skippable(content: bytes, kind: int = 0) -> bytes:
    """RFC 8878, 3.1.2."""
    return struct.pack("<II", 0x184D2A50 + kind, len(content)) + content


def plain_of(data: bytes, bounds: Bounds | None = None) -> bytes:
    stream, out = io.BytesIO(data), io.BytesIO()
    head = stream.read(6)
    assert is_compressed(head)
    decompress(head, stream, out, "example/app:1", bounds)
    return out.getvalue()


SOUND = {
    "gzip": (GZIP, PLAIN),
    "two gzip members": (GZIP + compress(b"x", "gzip"), PLAIN + b"x"),
    "gzip of nothing": (compress(b"", "gzip"), b""),
    "gzip and zeros": (GZIP + bytes(300_000), PLAIN),
    "zstd": (ZSTD, PLAIN),
    "two zstd frames": (ZSTD + compress(b"x", "zstd"), PLAIN + b"x"),
    "zstd of nothing": (compress(b"", "zstd"), b""),
    "zstd and zeros": (ZSTD + bytes(9), PLAIN),
    "a skippable frame first": (skippable(b"note") + ZSTD, PLAIN),
    "skippable frames of every kind": (
        b"".join(skippable(b"n", kind) for kind in range(16)) + ZSTD,
        PLAIN,
    ),
    "skippable frames between and behind": (
        ZSTD + skippable(b"") + ZSTD + skippable(b"note"),
        PLAIN + PLAIN,
    ),
    "a large skippable frame": (skippable(bytes(500_000)) + ZSTD, PLAIN),
    "nothing but a skippable frame": (skippable(b"note"), b""),
    "frames in a skippable frame": (skippable(ZSTD) + ZSTD, PLAIN),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound(name: str) -> None:
    data, plain = SOUND[name]
    assert plain_of(data) == plain


@pytest.mark.parametrize("name", [name for name in SOUND if "zeros" not in name])
def test_the_formats_own_tools_agree(name: str) -> None:
    data, plain = SOUND[name]
    tool = "gzip" if data.startswith(b"\x1f\x8b") else "zstd"
    done = subprocess.run(
        [tool, "--decompress", "--stdout"], input=data, capture_output=True, check=True
    )
    assert done.stdout == plain


DAMAGED = {
    "gzip cut": GZIP[:-20],
    "gzip cut in its header": GZIP[:6],
    "zstd cut": ZSTD[:-3],
    "zstd cut in its magic": ZSTD + ZSTD[:3],
    "a skippable frame cut": skippable(bytes(100))[:50],
    "a skippable frame cut in its length": skippable(b"")[:6],
    "a skippable frame of 4 GiB": struct.pack("<II", 0x184D2A50, 0xFFFFFFFF) + ZSTD,
    "a checksum": GZIP[:-8] + bytes(4) + GZIP[-4:],
    "something else behind gzip": GZIP + b"PK",
    "something else behind zstd": ZSTD + b"PK",
    "zstd behind gzip": GZIP + ZSTD,
    "something behind zeros": GZIP + bytes(300_000) + b"x",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_an_error(name: str) -> None:
    with pytest.raises(ImageError) as caught:
        plain_of(DAMAGED[name])
    assert (caught.value.id, caught.value.place) == ("layer-damaged", "example/app:1")


class Bomb(io.RawIOBase):
    """Zeros without end, as gzip; counts what was read."""

    def __init__(self) -> None:
        self.taken = 0
        self.rest = b""
        self.parts = self.made()

    def made(self) -> Iterator[bytes]:
        compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
        yield compressor.flush(zlib.Z_FULL_FLUSH)
        # After a full flush nothing refers back: the same block can come again and again.
        block = compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH)
        yield from itertools.repeat(block)

    def read(self, size: int = -1) -> bytes:
        while len(self.rest) < size:
            self.rest += next(self.parts)
        data, self.rest = self.rest[:size], self.rest[size:]
        self.taken += len(data)
        return data


class Nowhere(io.RawIOBase):
    """Counts what is written."""

    count = 0

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.count += len(data)
        return len(data)


def exploded(bounds: Bounds) -> tuple[ImageError, int]:
    bomb, out = Bomb(), Nowhere()
    with pytest.raises(ImageError) as caught:
        decompress(
            bomb.read(6), cast("io.BytesIO", bomb), cast("io.BytesIO", out), "example/app:1", bounds
        )
    assert caught.value.id == "layer-too-large"
    return caught.value, out.count


@pytest.mark.slow
def test_a_bomb_ends_at_its_ratio() -> None:
    error, written = exploded(Bounds())
    assert "COMPOS_MAX_LAYER_RATIO" in (error.hint or "")
    assert 1 << 30 <= written < (1 << 30) + (8 << 20)


def test_a_bomb_ends_at_the_size() -> None:
    error, written = exploded(Bounds(size=300 << 20, ratio=10**9))
    assert "COMPOS_MAX_LAYER_SIZE" in (error.hint or "")
    assert written < 310 << 20


def test_zeros_of_some_hundred_megabytes_are_honest(tmp_path: Path) -> None:
    bomb, out = Bomb(), Nowhere()
    data = bomb.read(600_000)
    with pytest.raises(ImageError) as caught:
        decompress(data[:6], io.BytesIO(data[6:]), cast("io.BytesIO", out), "x")
    assert caught.value.id == "layer-damaged", "it ends early: nothing else is wrong with it"
    assert out.count > 500 << 20


def test_the_ratio_counts_from_a_gibibyte() -> None:
    Bounds().require(1, 1 << 30, "x")
    Bounds().require(20 << 20, 2000 << 20, "x")
    with pytest.raises(ImageError):
        Bounds().require(20 << 20, (2000 << 20) + 1, "x")


@pytest.mark.parametrize(
    ("environment", "bounds"),
    [
        ({}, Bounds()),
        ({"COMPOS_MAX_LAYER_SIZE": "200G"}, Bounds(size=200 << 30)),
        ({"COMPOS_MAX_LAYER_SIZE": "5000", "COMPOS_MAX_LAYER_RATIO": " 7 "}, Bounds(5000, 7)),
        ({"COMPOS_MAX_LAYER_RATIO": ""}, Bounds()),
        ({"COMPOS_MAX_LAYER_SIZE": "1t"}, Bounds(size=1 << 40)),
    ],
)
def test_bounds_can_be_moved(environment: dict[str, str], bounds: Bounds) -> None:
    assert Bounds.of(environment) == bounds


@pytest.mark.parametrize("value", ["much", "-1", "1P", "1.5G", "9" * 30])
def test_bounds_that_are_none(value: str) -> None:
    with pytest.raises(ImageError) as caught:
        Bounds.of({"COMPOS_MAX_LAYER_SIZE": value})
    assert (caught.value.id, caught.value.place) == ("layer-bound", "COMPOS_MAX_LAYER_SIZE")


@pytest.mark.slow
def test_many_small_members_take_no_longer_than_their_bytes() -> None:
    one = gzip.compress(b"", mtime=0)
    assert plain_of(one * 50_000 + GZIP) == PLAIN
