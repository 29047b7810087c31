"""What Rock Ridge adds to an ISO 9660 directory record: POSIX names, owners, modes, times, links,
devices. Pure.

Sources: SUSP 1.12 (System Use Sharing Protocol), cited as [SUSP]; RRIP 1.12 (Rock Ridge Interchange
Protocol), as [RRIP].
"""

from __future__ import annotations

import os
import struct
import time

from compos.filesystem.inodes import st_mode
from compos.filesystem.limits import cannot_hold, encoded
from compos.tree.node import BLOCK, CHARACTER, SYMLINK, Node

__all__ = [
    "CE_SIZE",
    "SECTOR",
    "both",
    "continuation",
    "extension",
    "posix_fields",
    "recorded_time",
    "sharing",
    "split",
]

SECTOR = 2048
CE_SIZE = 28
_BOTH = struct.Struct("<I")
_BIG = struct.Struct(">I")
MAX_PART = 250
"""Of a name or a link's part in one field, whose length is a byte."""
MAX_NAME = 253
"""Bytes of a name that Linux reads: of a longer one it drops the end (fs/isofs/rock.c,
get_rock_ridge_filename)."""

TF_MODIFY_ACCESS_ATTRIBUTES = 0x0E


def both(value: int) -> bytes:
    """A 32-bit number in both byte orders (ECMA-119, 7.3.3)."""
    return _BOTH.pack(value) + _BIG.pack(value)


def recorded_time(mtime: int) -> bytes:
    """Seven bytes (ECMA-119, 9.1.5), in UTC; years from 1900 to 2155."""
    at = time.gmtime(min(max(mtime // 10**9, -2208988800), 5869583999))
    return bytes((at.tm_year - 1900, at.tm_mon, at.tm_mday, at.tm_hour, at.tm_min, at.tm_sec, 0))


def sharing() -> bytes:
    """The SP field, first of all in the root's own record ([SUSP] 5.3)."""
    return b"SP\x07\x01\xbe\xef\x00"


def extension() -> bytes:
    """The ER field, which names the protocol ([SUSP] 5.5, [RRIP] 4.3)."""
    name = b"IEEE_1282"
    text = b"THE IEEE 1282 PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS"
    source = b"PLEASE CONTACT THE IEEE STANDARDS DEPARTMENT"
    lengths = (8 + len(name + text + source), 1, len(name), len(text), len(source), 1)
    return b"ER" + bytes(lengths) + name + text + source


def continuation(block: int, offset: int, length: int) -> bytes:
    """The CE field: where the rest of the fields stands ([SUSP] 5.1)."""
    return b"CE\x1c\x01" + both(block) + both(offset) + both(length)


def posix_fields(node: Node, name: str, *, links: int, number: int) -> list[bytes]:
    """PX, TF, then NM, SL or PN as needed ([RRIP] 4.1); `name` is empty for a directory's own
    records.

    Raises `OutputError` (`iso-name-too-long`, `iso-device`). Repeated slashes in a link's target
    cannot be said.
    """
    mode = st_mode(node)
    fields = [
        b"PX\x2c\x01" + b"".join(map(both, (mode, links, node.uid, node.gid, number))),
        b"TF\x1a\x01" + bytes((TF_MODIFY_ACCESS_ATTRIBUTES,)) + recorded_time(node.mtime) * 3,
    ]
    fields += _name(encoded(name))
    if node.kind == SYMLINK:
        fields += _link(encoded(node.link))
    elif node.kind in (CHARACTER, BLOCK):
        if not node.device[0] and node.device[1] > 0xFF:
            raise cannot_hold(
                "iso-device",
                "an ISO image",
                name,
                f"the device 0:{node.device[1]} would be read as a different device",
            )
        fields.append(b"PN\x14\x01" + b"".join(map(both, _device(*node.device))))
    return fields


def _device(major: int, minor: int) -> tuple[int, int]:
    """High and low word ([RRIP] 4.1.2). Readers take a high word of zero for the old form, eight
    bits of minor number."""
    return (0, major << 8 | minor) if minor < 256 else (major, minor)


def _name(name: bytes) -> list[bytes]:
    if len(name) > MAX_NAME:
        raise cannot_hold(
            "iso-name-too-long",
            "an ISO image",
            os.fsdecode(name),
            f"the name has {len(name)} bytes, but Linux reads at most {MAX_NAME}",
        )
    parts = [name[at : at + MAX_PART] for at in range(0, len(name), MAX_PART)]
    return [
        b"NM" + bytes((5 + len(part), 1, 1 if number + 1 < len(parts) else 0)) + part
        for number, part in enumerate(parts)
    ]


def _link(target: bytes) -> list[bytes]:
    """SL fields: the target's components, cut where they or the field get too long ([RRIP]
    4.1.3)."""
    components: list[bytes] = [b"\x08\0"] if target.startswith(b"/") else []
    for part in filter(None, target.split(b"/")):
        if part in (b".", b".."):
            components.append(bytes((2 * len(part), 0)))
            continue
        cuts = [part[at : at + MAX_PART - 5] for at in range(0, len(part), MAX_PART - 5)]
        components += [
            bytes((1 if number + 1 < len(cuts) else 0, len(cut))) + cut
            for number, cut in enumerate(cuts)
        ]
    fields: list[list[bytes]] = [[]]
    for component in components:
        if sum(map(len, fields[-1])) + len(component) > MAX_PART:
            fields.append([])
        fields[-1].append(component)
    return [
        b"SL"
        + bytes((5 + sum(map(len, field)), 1, 1 if number + 1 < len(fields) else 0))
        + b"".join(field)
        for number, field in enumerate(fields)
    ]


def split(fields: list[bytes], room: int) -> list[list[bytes]]:
    """`fields` as groups: the first has at most `room` bytes, later ones a sector, each with room
    for CE if one follows."""
    groups: list[list[bytes]] = [[]]
    limit, used = room, 0
    for index, field in enumerate(fields):
        rest = sum(map(len, fields[index:]))
        # A group that holds all the rest needs no CE behind it.
        if used + rest > limit and used + len(field) + CE_SIZE > limit:
            groups.append([])
            limit, used = SECTOR, 0
        groups[-1].append(field)
        used += len(field)
    return groups
