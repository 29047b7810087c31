"""ASN.1 values in DER, as far as signatures of firmware need them. Pure.

Source: ITU-T X.690 (tags: 8.1.2, lengths: 8.1.3, sets: 11.6, object identifiers: 8.19).
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["context", "identifier", "integer", "octets", "sequence", "set_of", "value"]

INTEGER = 0x02
OCTET_STRING = 0x04
IDENTIFIER = 0x06
SEQUENCE = 0x30
SET = 0x31
CONTEXT = 0xA0
"""Class "context-specific", constructed."""

NULL = b"\x05\x00"


def value(tag: int, content: bytes) -> bytes:
    """`content` with its tag and length."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + content


def sequence(*items: bytes) -> bytes:
    """SEQUENCE of values that are encoded already."""
    return value(SEQUENCE, b"".join(items))


def set_of(items: Iterable[bytes]) -> bytes:
    """SET OF, in DER's order."""
    return value(SET, b"".join(sorted(items)))


def context(number: int, content: bytes) -> bytes:
    """[number], around a value (explicit) or in place of its tag (implicit, of its contents)."""
    return value(CONTEXT | number, content)


def octets(content: bytes) -> bytes:
    """OCTET STRING."""
    return value(OCTET_STRING, content)


def integer(number: int) -> bytes:
    """INTEGER, not negative."""
    return value(INTEGER, number.to_bytes(number.bit_length() // 8 + 1))


def identifier(dotted: str) -> bytes:
    """OBJECT IDENTIFIER, written as `1.2.840`."""
    first, second, *rest = map(int, dotted.split("."))
    content = bytearray()
    for part in (first * 40 + second, *rest):
        groups = [part & 0x7F]
        while part := part >> 7:
            groups.append(0x80 | part & 0x7F)
        content += bytes(reversed(groups))
    return value(IDENTIFIER, bytes(content))
