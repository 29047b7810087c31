"""Values in tar headers: numbers, times, PAX records; read as GNU tar, Python's tarfile and Go's
archive/tar agree on. Pure.

Sources: POSIX.1-2024, pax, "ustar Interchange Format" and "pax Extended Header"; tar(5) of GNU tar
for base-256; Go's documentation of archive/tar (`Format`, `Header.PAXRecords`), whose rule counts
where they disagree: containerd reads so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

__all__ = ["TarError", "decimal", "nanoseconds", "number", "records_of", "text", "xattrs"]

XATTR = "SCHILY.xattr."

_MAX_LENGTH = 20
"""Digits of a PAX record's length: no 64-bit number has more."""

_DECIMAL = re.compile(rb"[+-]?[0-9]{1,30}")
_TIME = re.compile(rb"(-?)([0-9]{0,30})(?:\.([0-9]*))?")


class TarError(ValueError):
    """The archive is damaged or not tar; the message says where."""


def number(field: bytes) -> int:
    """A number of a header: octal digits among blanks and NULs (none: 0), or base-256. Raises
    `ValueError`.

    Base-256 is a two's complement number behind a first bit that is always set (GNU tar's manual,
    "Standard"): its sign is the second bit.
    """
    if field[0] & 0x80:
        bits = 8 * len(field) - 1
        value = int.from_bytes(field, "big") - (1 << bits)
        return value - (1 << bits) if field[0] & 0x40 else value
    digits = field.strip(b" \0")
    if not digits.isdigit():
        digits = digits.partition(b"\0")[0].rstrip(b" ") or b"0"
        if not digits.isdigit():
            raise ValueError(field)
    return int(digits, 8)


def decimal(value: bytes) -> int:
    """A number of a PAX record. Raises `ValueError`."""
    if not _DECIMAL.fullmatch(value):
        raise ValueError(value)
    return int(value)


def nanoseconds(value: bytes) -> int:
    """A time of a PAX record: seconds since 1970, perhaps negative, perhaps with a fraction. Raises
    `ValueError`."""
    found = _TIME.fullmatch(value)
    if found is None or not (found[2] or found[3]):
        raise ValueError(value)
    whole = int(found[2] or b"0") * 10**9 + int((found[3] or b"")[:9].ljust(9, b"0"))
    return -whole if found[1] else whole


def records_of(body: bytes) -> Iterator[tuple[str, bytes]]:
    """The records of an extended header, in their order. Raises `ValueError`. Takes time in
    proportion to its length."""
    start = 0
    while start < len(body):
        blank = body.find(b" ", start, start + _MAX_LENGTH + 1)
        digits = body[start:blank] if blank > start else b""
        end = start + int(digits) if digits.isdigit() else 0
        equals = body.find(b"=", blank + 1, end - 1)
        if not blank + 1 < equals < end <= len(body) or body[end - 1] != 0x0A:
            raise ValueError("malformed PAX record")
        yield text(body[blank + 1 : equals]), body[equals + 1 : end - 1]
        start = end


def text(raw: bytes) -> str:
    """Names are UTF-8 where they can be; `hdrcharset=BINARY` says no more than that others are as
    they are."""
    return raw.decode("utf-8", "surrogateescape")


def xattrs(records: Mapping[str, bytes]) -> tuple[tuple[str, bytes], ...]:
    """The extended attributes among `records`, sorted."""
    found = [(key[len(XATTR) :], value) for key, value in records.items() if key.startswith(XATTR)]
    return tuple(sorted(found))
