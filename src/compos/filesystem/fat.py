"""A tree as a FAT file system: what UEFI firmware and small boards read. FAT32 where it is large
enough, FAT16 below.

Pure. Every file is laid down in one run of clusters, so that a boot loader can read it by its place
alone.

Sources: Microsoft, "FAT: General Overview of On-Disk Format" 1.03 (cited as [FAT]); UEFI
specification 2.10, 13.3.
"""

from __future__ import annotations

import struct
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from compos.arithmetic import align_up, ceil_div
from compos.errors import OutputError
from compos.filesystem.limits import require_node
from compos.tree.node import DIRECTORY, EPOCH, FILE, Hole, Node, Piece, directory

__all__ = ["ALIGNMENT", "FatImage", "fat_image"]

SECTOR = 512
ALIGNMENT = 4096
"""Files begin at multiples of this in the image: a sector of a disk or CD then begins where the
file does."""

FAT16_FEWEST, FAT32_FEWEST = 4085, 65525
"""[FAT] "FAT Type Determination": the number of clusters alone decides."""
MAX_CLUSTERS = 0x0FFFFFF5
CLUSTERS = (512, 1024, 2048, 4096, 8192, 16384, 32768)
FAT16_ROOT = 512
"""Entries of a FAT16's root directory, which stands apart and has a fixed size."""

MAX_FILE = 0xFFFFFFFF
MEDIA = 0xF8

# [FAT] "Boot Sector and BPB"; 0x55 0xAA ends the sector. Offset, size, field:
#     0    3  jump
#     3    8  OEM name
#    11    2  bytes per sector
#    13    1  sectors per cluster
#    14    2  reserved sectors
#    16    1  number of FATs
#    17    2  root entries, FAT16
#    19    2  sectors, when 16 bits hold them
#    21    1  media
#    22    2  sectors per FAT, FAT16
#    24    2  sectors per track
#    26    2  heads
#    28    4  hidden sectors
#    32    4  sectors, when 16 bits do not hold them
_BOOT = struct.Struct("<3s8sHBHBHHBHHHII")
# The same, FAT32 only. Offset, size, field:
#    36    4  sectors per FAT
#    40    2  flags
#    42    2  version
#    44    4  root's first cluster
#    48    2  FSInfo's sector
#    50    2  sector of the boot sector's copy
#    52   12  reserved
_BOOT32 = struct.Struct("<IHHIHH12s")
# The same; 28 bytes later in a FAT32. Offset, size, field:
#    36    1  drive number
#    37    1  reserved
#    38    1  signature, 0x29
#    39    4  volume id
#    43   11  label
#    54    8  type, for people only
_EXTENDED = struct.Struct("<BBBI11s8s")
# [FAT] "FSInfo". Offset, size, field:
#     0    4  lead signature
#     4  480  reserved
#   484    4  structure signature
#   488    4  free clusters
#   492    4  where to look for free ones
#   496   12  reserved
#   508    4  trail signature
_INFO = struct.Struct("<I480sIII12sI")
# [FAT] "Directory Structure". Offset, size, field:
#     0   11  name, 8.3
#    11    1  attributes
#    12    1  reserved
#    13    1  tenths of a second of creation
#    14    2  creation time
#    16    2  creation date
#    18    2  access date
#    20    2  first cluster, high
#    22    2  write time
#    24    2  write date
#    26    2  first cluster, low
#    28    4  size
_ENTRY = struct.Struct("<11sBBBHHHHHHHI")
# [FAT] "Long File Name". Offset, size, field:
#     0    1  order, 0x40 marks the last
#     1   10  characters 1 to 5
#    11    1  attributes, 0x0f
#    12    1  type
#    13    1  checksum of the short name
#    14   12  characters 6 to 11
#    26    2  zero
#    28    4  characters 12 and 13
_LONG = struct.Struct("<B10sBBB12sH4s")

DIRECTORY_BIT, ARCHIVE_BIT, VOLUME_BIT, LONG_NAME = 0x10, 0x20, 0x08, 0x0F
SHORT = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789$%'-_@~`!(){}^#&")
FORBIDDEN = frozenset('"*/:<>?\\|')


class FatImage(NamedTuple):
    """An image as pieces, and where each file's contents begin in it, in bytes."""

    pieces: list[Piece]
    starts: dict[str, int]


class _Shape(NamedTuple):
    """Where everything stands, in sectors; `cluster` in bytes."""

    bits: int
    cluster: int
    reserved: int
    table: int
    root: int
    clusters: int

    @property
    def data(self) -> int:
        """The sector of cluster 2."""
        return self.reserved + 2 * self.table + self.root

    @property
    def sectors(self) -> int:
        return self.data + self.clusters * (self.cluster // SECTOR)


@dataclass(slots=True)
class _Item:
    """A file or directory: its node, and where it is laid down."""

    path: str
    node: Node
    parent: _Item | None = None
    children: list[_Item] = field(default_factory=list)
    first: int = 0
    count: int = 0


def fat_image(
    entries: Sequence[tuple[str, Node]],
    *,
    serial: int,
    label: str = "",
    size: int = 0,
    hidden: int = 0,
) -> FatImage:
    """The file system of `entries` (sorted, parents first; folders that are missing are made).

    `serial` is the volume's 32-bit number, `label` at most 11 characters, `size` the least number
    of bytes, `hidden` the sectors in front of it on its disk. Owners, modes and extended attributes
    cannot be said and are left out. Raises `OutputError`: `fat-file-too-large`, `fat-cannot-hold`,
    `fat-name`, `fat-too-large`.
    """
    root = _items(entries)
    cluster = _cluster_size(root, size)
    end = _place(root, cluster, first=2)
    shape = _shape(cluster, end - 2, size)
    starts = {
        item.path: _at(shape, item) for item in _walk(root) if item.node.kind == FILE and item.count
    }
    return FatImage(list(_pieces(shape, root, end, serial, label, hidden)), starts)


def _items(entries: Sequence[tuple[str, Node]]) -> _Item:
    root = _Item("", directory(0o755, EPOCH))
    items = {"": root}

    def add(path: str, node: Node) -> None:
        above = folder(path.rpartition("/")[0])
        items[path] = _Item(path, node, above)
        above.children.append(items[path])

    def folder(path: str) -> _Item:
        if path not in items:
            add(path, directory(0o755, EPOCH))
        return items[path]

    for path, node in entries:
        require_node(path, node)
        if not path:
            continue
        if node.kind not in (FILE, DIRECTORY):
            raise OutputError(
                "fat-cannot-hold", "a FAT file system can hold only files and folders", place=path
            )
        if node.size > MAX_FILE:
            raise OutputError(
                "fat-file-too-large",
                f"the file has {node.size:,} bytes; the maximum on a FAT file system is "
                f"{MAX_FILE:,}",
                place=path,
                hint="Put the root on the medium instead of in the initrd: --root erofs.",
            )
        if node.kind == DIRECTORY:
            folder(path).node = node
        else:
            add(path, node)
    return root


def _walk(item: _Item) -> Iterator[_Item]:
    waiting = item.children[::-1]
    while waiting:
        child = waiting.pop()
        yield child
        waiting += reversed(child.children)


def _ordered(root: _Item) -> Iterator[_Item]:
    """Directories in front, so that few clusters separate them; then files."""
    items = list(_walk(root))
    yield from (item for item in items if item.node.kind == DIRECTORY)
    yield from (item for item in items if item.node.kind == FILE)


def _cluster_size(root: _Item, size: int) -> int:
    """The largest cluster up to 4 KiB that still makes a FAT32, else the smallest that makes a
    FAT16 or FAT32 at all."""
    contents = sum(align_up(item.node.size, ALIGNMENT) for item in _walk(root))
    room = max(contents, size)
    for cluster in (4096, 2048, 1024, 512):
        if room // cluster >= FAT32_FEWEST + 16:
            return next(large for large in CLUSTERS if large >= cluster and room // large < 1 << 22)
    return 512


def _place(root: _Item, cluster: int, first: int) -> int:
    """Give each item its clusters, from `first` on; returns the next free one."""
    step = max(ALIGNMENT // cluster, 1)
    at = first
    # A FAT16's root stands apart; giving it clusters of a FAT32 here and not using them would only
    # waste some.
    root.first, root.count = at, ceil_div(max(_folder_size(root), 32), cluster)
    at += root.count
    for item in _ordered(root):
        if item.node.kind == FILE:
            at += -(at - 2) % step
        length = item.node.size if item.node.kind == FILE else _folder_size(item)
        item.first, item.count = at, ceil_div(length, cluster)
        at += item.count
    return at


def _shape(cluster: int, clusters: int, size: int) -> _Shape:
    # A tenth of nothing would do: the file systems are read-only; but firmware writes its logs and
    # drivers.
    spare = 64 * 1024 // cluster
    clusters = max(clusters + spare, FAT16_FEWEST + 16)
    for _ in range(8):
        # [FAT] "FAT Data Structure": two entries in front of the first cluster's.
        bits = 32 if clusters >= FAT32_FEWEST else 16
        reserved, root = (32, 0) if bits == 32 else (4, FAT16_ROOT * 32 // SECTOR)
        table = ceil_div((clusters + 2) * bits // 8, SECTOR)
        # Reserved sectors bring the first cluster to a multiple of the alignment.
        reserved += -(reserved + 2 * table + root) % (ALIGNMENT // SECTOR)
        shape = _Shape(bits, cluster, reserved, table, root, clusters)
        lacking = ceil_div(size, SECTOR) - shape.sectors
        if lacking <= 0:
            break
        clusters += ceil_div(lacking * SECTOR, cluster)
    if clusters > MAX_CLUSTERS or shape.sectors > MAX_FILE:
        raise OutputError(
            "fat-too-large",
            f"a FAT file system cannot have {shape.sectors * SECTOR:,} bytes",
            hint="Use a smaller --size.",
        )
    return shape


def _at(shape: _Shape, item: _Item) -> int:
    return shape.data * SECTOR + (item.first - 2) * shape.cluster


def _pieces(
    shape: _Shape, root: _Item, end: int, serial: int, label: str, hidden: int
) -> Iterator[Piece]:
    boot = _boot_sector(shape, serial, label, hidden)
    free = shape.clusters - sum(item.count for item in (root, *_walk(root)))
    if shape.bits == 32:
        info = _INFO.pack(0x41615252, b"", 0x61417272, free, end, b"", 0xAA550000)
        head = (boot + info).ljust(6 * SECTOR, b"\0") + boot + info
    else:
        head = boot
    yield head.ljust(shape.reserved * SECTOR, b"\0")
    table = _table(shape, root)
    blank = shape.table * SECTOR - len(table)
    for _ in range(2):
        yield table
        if blank:
            yield Hole(blank)
    if shape.bits == 16:
        yield _folder(root, label).ljust(shape.root * SECTOR, b"\0")
    at = 2
    for item in (root, *_ordered(root)):
        if not item.count:
            continue
        if item.first > at:
            yield Hole((item.first - at) * shape.cluster)
        if item.node.kind == FILE:
            yield from item.node.content
            size = item.node.size
        else:
            content = b"" if item is root and shape.bits == 16 else _folder(item, label)
            yield content
            size = len(content)
        at = item.first + item.count
        if rest := item.count * shape.cluster - size:
            yield Hole(rest)
    if remaining := (shape.clusters + 2 - at) * shape.cluster:
        yield Hole(remaining)


def _boot_sector(shape: _Shape, serial: int, label: str, hidden: int) -> bytes:
    small = shape.sectors if shape.sectors < 0x10000 and shape.bits == 16 else 0
    wide = shape.bits == 32
    head = _BOOT.pack(
        b"\xeb\x58\x90" if wide else b"\xeb\x3c\x90",
        b"COMPOS  ",
        SECTOR,
        shape.cluster // SECTOR,
        shape.reserved,
        2,
        0 if wide else FAT16_ROOT,
        small,
        MEDIA,
        0 if wide else shape.table,
        63,
        255,
        hidden,
        0 if small else shape.sectors,
    )
    if wide:
        head += _BOOT32.pack(shape.table, 0, 0, 2, 1, 6, b"")
    head += _EXTENDED.pack(
        0x80, 0, 0x29, serial, _label(label), b"FAT32   " if wide else b"FAT16   "
    )
    return head.ljust(510, b"\0") + b"\x55\xaa"


def _label(label: str) -> bytes:
    return label.upper().encode("ascii", "replace")[:11].ljust(11) if label else b"NO NAME    "


def _table(shape: _Shape, root: _Item) -> bytes:
    """The used part of the allocation table: a chain for each item, each cluster naming the
    next."""
    end = 0x0FFFFFFF if shape.bits == 32 else 0xFFFF
    chains = array("I" if shape.bits == 32 else "H", (end & ~0xFF | MEDIA, end))
    for item in (root, *_ordered(root)):
        if not item.count or (item is root and shape.bits == 16):
            continue
        chains.extend([0] * (item.first - len(chains)))
        chains.extend(range(item.first + 1, item.first + item.count))
        chains.append(end)
    if sys.byteorder == "big":
        chains.byteswap()
    return chains.tobytes()


def _folder_size(item: _Item) -> int:
    own = 2 if item.parent else 1
    return 32 * (own + sum(1 + _long_entries(_name(child)) for child in item.children))


def _name(item: _Item) -> str:
    return item.path.rpartition("/")[2]


def _long_entries(name: str) -> int:
    return 0 if _is_short(name) else ceil_div(len(name.encode("utf-16-le", "surrogatepass")), 26)


def _is_short(name: str) -> bool:
    base, dot, extension = name.partition(".")
    return (
        0 < len(base) <= 8
        and len(extension) <= 3
        and bool(extension) == bool(dot)
        and all(ord(letter) in SHORT for letter in base + extension)
    )


def _folder(item: _Item, label: str) -> bytes:
    """A directory's entries. The root has the label's instead of those for itself and its
    parent."""
    parts: list[bytes] = []
    if item.parent:
        parts.append(_entry(b".".ljust(11), DIRECTORY_BIT, item.first, 0, item.node))
        # [FAT]: zero means the root, whichever cluster it has.
        above = item.parent.first if item.parent.parent else 0
        parts.append(_entry(b"..".ljust(11), DIRECTORY_BIT, above, 0, item.parent.node))
    elif label:
        parts.append(_entry(_label(label), VOLUME_BIT, 0, 0, item.node))
    taken: set[bytes] = set()
    seen: set[str] = set()
    for child in item.children:
        name = _name(child)
        _check(name, child.path, seen)
        short = _short_name(name, taken)
        taken.add(short)
        if not _is_short(name):
            parts += _long_name(name, short)
        bit = DIRECTORY_BIT if child.node.kind == DIRECTORY else ARCHIVE_BIT
        size = child.node.size if child.node.kind == FILE else 0
        parts.append(_entry(short, bit, child.first if child.count else 0, size, child.node))
    return b"".join(parts)


def _check(name: str, path: str, seen: set[str]) -> None:
    """Refuse what readers would refuse or confuse."""
    try:
        length = len(name.encode("utf-16-le")) // 2
    except UnicodeEncodeError:
        raise OutputError(
            "fat-name", "the name is not UTF-8, which a FAT file system requires", place=path
        ) from None
    if (
        length > 255
        or name[-1] in ". "
        or any(letter in FORBIDDEN or letter < " " for letter in name)
    ):
        raise OutputError("fat-name", "a FAT file system cannot hold this name", place=path)
    if name.upper() in seen:
        raise OutputError(
            "fat-name",
            "another name differs only in case, which FAT does not distinguish",
            place=path,
        )
    seen.add(name.upper())


def _short_name(name: str, taken: set[bytes]) -> bytes:
    """The 8.3 name: the name itself where it is one, else made of its letters and a number ([FAT]
    "Basis-Name")."""
    stem, _, extension = (
        name.upper().rpartition(".") if "." in name.strip(".") else (name.upper(), "", "")
    )
    base = bytes(
        ord(letter) if ord(letter) in SHORT else 95 for letter in stem if letter not in " ."
    )
    tail = bytes(
        ord(letter) if ord(letter) in SHORT else 95 for letter in extension if letter != " "
    )[:3].ljust(3)
    if _is_short(name):
        return base.ljust(8) + tail
    for number in range(1, 1_000_000):
        mark = b"~%d" % number
        short = (base[: 8 - len(mark)] + mark).ljust(8) + tail
        if short not in taken:
            return short
    raise AssertionError("a million similar names")


def _long_name(name: str, short: bytes) -> list[bytes]:
    """The entries that carry the whole name, last part first, tied to `short` by its checksum."""
    checksum = 0
    for byte in short:
        checksum = ((checksum >> 1) + ((checksum & 1) << 7) + byte) & 0xFF
    text = name.encode("utf-16-le")
    if len(text) % 26:
        text = (text + b"\0\0").ljust(align_up(len(text), 26), b"\xff")
    parts = [text[at : at + 26] for at in range(0, len(text), 26)]
    made = []
    for order in range(len(parts), 0, -1):
        part = parts[order - 1]
        last = 0x40 if order == len(parts) else 0
        made.append(
            _LONG.pack(order | last, part[:10], LONG_NAME, 0, checksum, part[10:22], 0, part[22:])
        )
    return made


def _entry(name: bytes, bits: int, cluster: int, size: int, node: Node) -> bytes:
    day, second = _dos_time(node.mtime)
    return _ENTRY.pack(
        name, bits, 0, 0, second, day, day, cluster >> 16, second, day, cluster & 0xFFFF, size
    )


def _dos_time(mtime: int) -> tuple[int, int]:
    """Date and time as [FAT] "Date and Time Formats" has them, in UTC, in steps of two seconds,
    1980 to 2107."""
    at = time.gmtime(min(max(mtime // 10**9, 315532800), 4354819198))
    day = (at.tm_year - 1980) << 9 | at.tm_mon << 5 | at.tm_mday
    return day, at.tm_hour << 11 | at.tm_min << 5 | at.tm_sec // 2
