"""A unified kernel image: kernel, initrd and command line as one program that UEFI firmware starts.
Pure.

The program is systemd's stub with sections added. They begin at multiples of `ALIGNMENT` in the
file, so that a BIOS loader can read them from the same file by their places, from disks and CDs
alike. Each section is stored up to where the next one begins: programs that sign or check one do
not agree on what is signed of a gap. No certificate table: `boot.authenticode` adds it.

Sources: Microsoft, "PE Format" (cited by its headings); UAPI group, "Unified Kernel Image" (section
names).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from compos.arithmetic import align_up
from compos.errors import OutputError
from compos.tree.contents import piece_size
from compos.tree.node import Piece

__all__ = ["ALIGNMENT", "MACHINES", "Uki", "pe_machine", "unified_kernel_image"]

ALIGNMENT = 4096

MACHINES = {0x8664: "amd64", 0xAA64: "arm64", 0x5064: "riscv64"}
"""COFF File Header, "Machine Types"."""

# "Signature" and "COFF File Header"; the offset 60 of the file says where. Offset, size, field:
#     0    4  signature, "PE\0\0"
#     4    2  machine
#     6    2  number of sections
#     8    4  time stamp
#    12    4  place of symbols
#    16    4  number of symbols
#    20    2  optional header's size
#    22    2  characteristics
_COFF = struct.Struct("<4sHHIIIHH")
# "Section Table". Offset, size, field:
#     0    8  name
#     8    4  virtual size
#    12    4  virtual address
#    16    4  size in the file
#    20    4  place in the file
#    24    4  place of relocations
#    28    4  place of line numbers
#    32    2  number of relocations
#    34    2  number of line numbers
#    36    4  characteristics
_SECTION = struct.Struct("<8sIIIIIIHHI")
PE32_PLUS = 0x20B
OFFSETS = {
    "section alignment": 32,
    "file alignment": 36,
    "image": 56,
    "headers": 60,
    "checksum": 64,
}
"""Optional Header, offsets of 32-bit fields from its beginning."""
READ_ONLY_DATA = 0x40000040
"""Section Flags: IMAGE_SCN_CNT_INITIALIZED_DATA, IMAGE_SCN_MEM_READ."""
MAX_SIZE = 0xFFFFFFFF


class Uki(NamedTuple):
    """The file: its headers, what follows them as pieces, and where each added section begins in
    the file, in bytes."""

    head: bytes
    body: Sequence[Piece]
    starts: Mapping[str, int]

    @property
    def pieces(self) -> list[Piece]:
        """The whole file."""
        return [self.head, *self.body]


def _without_gaps(sections: Sequence[tuple[Any, ...]], end: int) -> list[tuple[Any, ...]]:
    """The stub's sections, each stored up to the next one in the file, the last up to `end`."""
    starts = sorted(one[4] for one in sections if one[4])
    until = dict(zip(starts, (*starts[1:], end), strict=True))
    return [(*one[:3], until[one[4]] - one[4], *one[4:]) if one[4] else one for one in sections]


def pe_machine(data: bytes) -> str:
    """The architecture of a PE file's first bytes, empty when it is none or an unknown one's."""
    try:
        if data[:2] != b"MZ":
            return ""
        signature, machine, *_ = _COFF.unpack_from(data, struct.unpack_from("<I", data, 60)[0])
    except struct.error:
        return ""
    return MACHINES.get(machine, "") if signature == b"PE\0\0" else ""


def unified_kernel_image(stub: bytes, sections: Sequence[tuple[str, Sequence[Piece]]]) -> Uki:
    """`stub` with `sections` (name as `.linux`, contents) behind its own; one of the same name
    takes the place of the stub's.

    Raises `OutputError`: `uki-stub` when the stub is no PE file, `uki-too-large` beyond 4 GiB.
    """
    try:
        return _assembled(stub, sections)
    except (struct.error, IndexError) as error:
        raise OutputError(
            "uki-stub",
            "the UEFI stub is not a PE file",
            hint="Rebuild its brick with compos pkg build.",
        ) from error


def _assembled(stub: bytes, sections: Sequence[tuple[str, Sequence[Piece]]]) -> Uki:
    (pe,) = struct.unpack_from("<I", stub, 60)
    signature, machine, count, stamp, _, _, optional, flags = _COFF.unpack_from(stub, pe)
    start = pe + _COFF.size
    if (
        stub[:2] != b"MZ"
        or signature != b"PE\0\0"
        or struct.unpack_from("<H", stub, start)[0] != PE32_PLUS
    ):
        raise struct.error("not PE32+")
    field = {name: struct.unpack_from("<I", stub, start + at)[0] for name, at in OFFSETS.items()}
    table = start + optional
    own = [_SECTION.unpack_from(stub, table + number * _SECTION.size) for number in range(count)]
    names = {name.encode() for name, _ in sections}

    # The headers may grow up to the first section's address; what the file holds behind them moves
    # by as much.
    headers = align_up(table + (count + len(sections)) * _SECTION.size, field["file alignment"])
    moved = max(headers - field["headers"], 0)
    if headers > min(one[2] for one in own):
        raise struct.error("no room for more sections")
    own = [(*one[:4], one[4] + moved if one[4] else 0, *one[5:]) for one in own]

    address = max(one[2] + max(one[1], one[3]) for one in own)
    at = len(stub) + moved
    added: list[tuple[bytes | int, ...]] = []
    starts: dict[str, int] = {}
    body: list[Piece] = [stub[field["headers"] :], bytes(-at % ALIGNMENT)]
    at += -at % ALIGNMENT
    own = _without_gaps([one for one in own if one[0].rstrip(b"\0") not in names], at)
    for number, (name, content) in enumerate(sections, 1):
        size = sum(map(piece_size, content))
        address = align_up(address, max(field["section alignment"], ALIGNMENT))
        begin = at
        last = number == len(sections)
        stored = align_up(size, field["file alignment"] if last else ALIGNMENT)
        body += content
        if stored > size:
            body.append(bytes(stored - size))
        starts[name] = begin
        if max(address + size, begin + stored) > MAX_SIZE:
            raise OutputError(
                "uki-too-large",
                f"kernel and initrd have {begin + stored:,} bytes, but a UEFI program can have at "
                f"most {MAX_SIZE:,}",
                hint="Put the root on the medium: --root erofs.",
            )
        added.append((name.encode(), size, address, stored, begin, 0, 0, 0, 0, READ_ONLY_DATA))
        address += size
        at = begin + stored

    head = bytearray(stub[: field["headers"]].ljust(max(headers, field["headers"]), b"\0"))
    _COFF.pack_into(
        head, pe, signature, machine, len(own) + len(sections), stamp, 0, 0, optional, flags
    )
    for number, one in enumerate((*own, *added)):
        _SECTION.pack_into(head, table + number * _SECTION.size, *one)
    changed = {
        "image": align_up(address, field["section alignment"]),
        "headers": len(head),
        "checksum": 0,
    }
    for name, value in changed.items():
        struct.pack_into("<I", head, start + OFFSETS[name], value)
    return Uki(bytes(head), body, starts)
