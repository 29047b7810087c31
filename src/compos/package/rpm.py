"""RPM packages: what the header says, and where the payload is.

Pure. Source: the RPM file format, version 4 (lead, signature, header, payload; all numbers are
big-endian). Signatures are not verified: a package that lies in the brick's folder is the user's
own choice, as any other file there. The payload is compared with the digest in the header.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import IO, NamedTuple

from compos.arithmetic import align_up

__all__ = ["MAGIC", "Rpm", "RpmError", "read_rpm"]

MAGIC = b"\xed\xab\xee\xdb"
LEAD = 96
"""Bytes of the lead, of which nothing but the magic still counts."""

_HEADER_MAGIC = b"\x8e\xad\xe8\x01"
_INTRODUCTION = struct.Struct(">4s4xII")
"""Magic, version and four reserved bytes; the number of index entries and of data bytes."""

_ENTRY = struct.Struct(">IIII")
"""Tag, type, offset in the data, number of values."""

MAX_ENTRIES, MAX_DATA = 4096, 64 << 20
"""Of a header: the list of 5,000 modules has 2 MB. rpm itself allows 256."""

_STRINGS = (6, 8, 9)
"""Types: STRING, STRING_ARRAY, I18NSTRING."""

_INT32 = 4

NAME, VERSION, RELEASE, EPOCH, ARCH = 1000, 1001, 1002, 1003, 1022
PAYLOAD_FORMAT, PAYLOAD_COMPRESSOR = 1124, 1125
PAYLOAD_DIGEST, PAYLOAD_DIGEST_ALGORITHM = 5092, 5093
SHA256 = 8
"""RFC 9580, 9.5: the number of the hash algorithm."""


class RpmError(ValueError):
    """Not an RPM package, or a damaged one; the text says why."""


class Rpm(NamedTuple):
    """A package's name, version (`EPOCH:VERSION-RELEASE`), architecture in RPM's words; where its
    payload begins, how that is compressed, and its SHA-256, empty if the header has none."""

    name: str
    version: str
    architecture: str
    payload: int
    compressor: str
    sha256: str


def read_rpm(stream: IO[bytes]) -> Rpm:
    """The facts of the package in `stream`, from its beginning. Raises `RpmError`."""
    if _read(stream, LEAD)[:4] != MAGIC:
        raise RpmError("it is not an RPM package")
    signature = _header(stream, wanted=())
    # The signature ends at a multiple of eight bytes.
    _read(stream, align_up(signature.size, 8) - signature.size)
    header = _header(
        stream,
        wanted=(
            *(NAME, VERSION, RELEASE, EPOCH, ARCH, PAYLOAD_FORMAT, PAYLOAD_COMPRESSOR),
            *(PAYLOAD_DIGEST, PAYLOAD_DIGEST_ALGORITHM),
        ),
    )
    values = header.values
    if (form := values.get(PAYLOAD_FORMAT, "cpio")) != "cpio":
        raise RpmError(f"its payload is {form[:20]!r}, not cpio")
    epoch = f"{values[EPOCH]}:" if EPOCH in values else ""
    return Rpm(
        values.get(NAME, ""),
        f"{epoch}{values.get(VERSION, '')}-{values.get(RELEASE, '')}",
        values.get(ARCH, ""),
        stream.tell(),
        values.get(PAYLOAD_COMPRESSOR, "gzip"),
        values.get(PAYLOAD_DIGEST, "")
        if values.get(PAYLOAD_DIGEST_ALGORITHM) == str(SHA256)
        else "",
    )


class _Header(NamedTuple):
    values: Mapping[int, str]
    size: int
    """Bytes of the index and the data."""


def _header(stream: IO[bytes], *, wanted: tuple[int, ...]) -> _Header:
    magic, count, size = _INTRODUCTION.unpack(_read(stream, _INTRODUCTION.size))
    if magic != _HEADER_MAGIC:
        raise RpmError("a header has a wrong magic number")
    if count > MAX_ENTRIES or size > MAX_DATA:
        raise RpmError(f"a header has {count} entries and {size} bytes")
    index = _read(stream, count * _ENTRY.size)
    data = _read(stream, size)
    values: dict[int, str] = {}
    for tag, kind, offset, number in _ENTRY.iter_unpack(index):
        if tag not in wanted or not number:
            continue
        if kind in _STRINGS:
            end = data.find(b"\0", offset)
            if end < 0:
                raise RpmError(f"the header's value {tag} is not terminated")
            values[tag] = data[offset:end].decode("utf-8", "replace")
        elif kind == _INT32 and offset + 4 <= size:
            values[tag] = str(int.from_bytes(data[offset : offset + 4], "big"))
    return _Header(values, len(index) + size)


def _read(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise RpmError("it ends inside a header")
    return data
