"""Layers decompressed: gzip and zstd, any sequence of members and frames, within bounds that the
user may move. Pure.

May touch: the streams that the caller opened; the environment, for the bounds.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping
from typing import IO, NamedTuple

from compos import decompressors
from compos.decompressors import Damaged, Decompressor
from compos.errors import ImageError

__all__ = ["Bounds", "decompress", "is_compressed"]

CHUNK = 128 << 10
"""Bytes that are read at a time. What follows a member or frame is copied, so many small ones want
this small."""

MAX_OUTPUT = 4 << 20
"""Bytes that are decompressed at a time, whatever a chunk becomes: zeros become a thousand times as
many."""

SIZE_VARIABLE, RATIO_VARIABLE = "COMPOS_MAX_LAYER_SIZE", "COMPOS_MAX_LAYER_RATIO"

MAX_SIZE = 64 << 30
"""Bytes of a layer decompressed: several times the largest images of today."""

MAX_RATIO = 100
"""Bytes out of one byte: programs and texts become 2 to 20 times as many, zeros 1,000 times."""

RATIO_COUNTS_FROM = 1 << 30
"""Bytes below which any ratio will do: files of zeros are honest, and so much is soon gone
again."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)
"""RFC 8878, 3.1.2: magic number of frames that say nothing, followed by their length."""

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Bounds(NamedTuple):
    """How many bytes a layer may have when it is decompressed, and how many for each compressed
    one."""

    size: int = MAX_SIZE
    ratio: int = MAX_RATIO

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Bounds:
        """The bounds, moved by `COMPOS_MAX_LAYER_SIZE` and `COMPOS_MAX_LAYER_RATIO`. Raises
        `ImageError` (`layer-bound`)."""
        return cls(
            _setting(environment, SIZE_VARIABLE, MAX_SIZE),
            _setting(environment, RATIO_VARIABLE, MAX_RATIO),
        )

    def most(self, size: int) -> int:
        """Bytes that what is compressed in `size` bytes may have."""
        return min(self.size, max(RATIO_COUNTS_FROM, size * self.ratio))

    def require(self, read: int, written: int, place: str) -> None:
        """Raise `ImageError` (`layer-too-large`) when `read` bytes have become too many."""
        if written > self.size:
            raise _too_large(f"is larger than {self.size:,} bytes", SIZE_VARIABLE, place)
        if written > max(RATIO_COUNTS_FROM, read * self.ratio):
            raise _too_large(f"is more than {self.ratio:,} times as large", RATIO_VARIABLE, place)


def _setting(environment: Mapping[str, str], name: str, usual: int) -> int:
    value = environment.get(name, "").strip()
    found = re.fullmatch(r"([0-9]{1,18})([KMGT]?)", value.upper())
    if not value:
        return usual
    if found is None:
        raise ImageError(
            "layer-bound",
            f"{value!r} is not a number of bytes",
            place=name,
            hint="Use a number such as 500 or 200G.",
        )
    return int(found[1]) * _UNITS[found[2]]


def _too_large(what: str, variable: str, place: str) -> ImageError:
    return ImageError(
        "layer-too-large",
        f"the layer {what} when it is decompressed",
        place=place,
        hint=f"If you trust the image, set the environment variable {variable} to a larger number.",
    )


def is_compressed(head: bytes) -> bool:
    """Whether a layer that begins with these four bytes is gzip or zstd; what is neither is a plain
    tar."""
    return head.startswith((_GZIP, _ZSTD)) or _SKIPPABLE.match(head) is not None


def decompress(
    head: bytes, stream: IO[bytes], out: IO[bytes], place: str, bounds: Bounds | None = None
) -> None:
    """Decompress gzip members or zstd frames from `stream`, whose first bytes are `head`; zeros may
    follow.

    Raises `ImageError` (`layer-damaged`, `layer-too-large`); `place` is named in it.
    """
    work = _Decompression(
        head, stream, out, place, Bounds.of(os.environ) if bounds is None else bounds
    )
    try:
        work.run(gzip=head.startswith(_GZIP))
    except Damaged as error:
        raise ImageError(
            "layer-damaged", f"the layer cannot be decompressed: {error}", place=place
        ) from error


class _Decompression:
    def __init__(
        self, head: bytes, stream: IO[bytes], out: IO[bytes], place: str, bounds: Bounds
    ) -> None:
        self.data = head
        self.stream = stream
        self.out = out
        self.place = place
        self.bounds = bounds
        self.read = len(head)
        self.written = 0

    def run(self, *, gzip: bool) -> None:
        """One member or frame after another."""
        while self._fill(8):
            if not gzip and _SKIPPABLE.match(self.data):
                self._skip()
            elif self.data.startswith(_GZIP if gzip else _ZSTD):
                self._one(decompressors.gzip() if gzip else decompressors.zstd())
            else:
                self._require_zeros()

    def _fill(self, size: int) -> bool:
        """Have at least `size` bytes waiting, if there are as many; says whether there are any."""
        while len(self.data) < size and (more := self._more()):
            self.data += more
        return bool(self.data)

    def _more(self) -> bytes:
        data = self.stream.read(CHUNK)
        self.read += len(data)
        return data

    def _skip(self) -> None:
        """Step over a skippable frame: magic, 32 bits of length, content."""
        left = 8 + struct.unpack_from("<I", self.data.ljust(8, b"\0"), 4)[0]
        while left > len(self.data):
            left -= len(self.data)
            self.data = self._more()
            if not self.data:
                raise _cut(self.place)
        self.data = self.data[left:]

    def _one(self, decompressor: Decompressor) -> None:
        while not decompressor.eof:
            if not self.data and decompressor.needs_input:
                self.data = self._more()
                if not self.data:
                    raise _cut(self.place)
            made = decompressor.decompress(self.data, MAX_OUTPUT)
            self.out.write(made)
            self.written += len(made)
            self.bounds.require(self.read, self.written, self.place)
            # What is left of it, the decompressor keeps.
            self.data = b""
        self.data = decompressor.unused_data

    def _require_zeros(self) -> None:
        while self.data:
            if self.data.strip(b"\0"):
                raise ImageError(
                    "layer-damaged",
                    "the layer's compressed data is followed by other data",
                    place=self.place,
                )
            self.data = self._more()


def _cut(place: str) -> ImageError:
    return ImageError("layer-damaged", "the layer's compressed data ends early", place=place)
