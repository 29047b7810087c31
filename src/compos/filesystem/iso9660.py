"""A tree as an ISO 9660 image: Rock Ridge for Unix, Joliet for Windows, El Torito for BIOS and
UEFI. Pure.

Extended attributes and hard links cannot be said: each link is a file with the same contents'
place.

Sources: ECMA-119 (cited by section); Joliet specification 1995; "El Torito" Bootable CD-ROM Format
Specification 1.0; UEFI specification 2.10, 13.3.2. Directories may be deeper than ECMA-119's eight
levels: systems that boot Linux do not mind.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from compos.arithmetic import align_up, ceil_div
from compos.errors import OutputError
from compos.filesystem.limits import cannot_hold, require_node
from compos.filesystem.rockridge import (
    CE_SIZE,
    SECTOR,
    both,
    continuation,
    extension,
    posix_fields,
    recorded_time,
    sharing,
    split,
)
from compos.tree.node import DIRECTORY, EPOCH, FILE, Hole, Node, Piece, directory

__all__ = ["BIOS", "SECTOR", "SYSTEM_AREA", "UEFI", "BootImage", "IsoLayout"]

SYSTEM_AREA = 16 * SECTOR
"""ECMA-119 6.2.1: the first sixteen sectors are the system's, for a disk's boot record and
partition table."""

MAX_EXTENT = 0xFFFFF800
"""A longer file has several extents (6.5.1)."""
MAX_DIRECTORIES = 0xFFFF
"""A path table numbers them with 16 bits (9.4.3)."""
MAX_SECTORS = 0xFFFFFFFF
MAX_EXTENTS = 100
"""Of one file, that Linux reads (fs/isofs/inode.c, isofs_read_level3_size)."""

DIRECTORY_FLAG, MULTI_EXTENT = 0x02, 0x80
LEVEL2 = 30
JOLIET = 103
"""Longest names: 7.5.1, and what every reader of Joliet takes although it says 64."""

BIOS, UEFI = 0x00, 0xEF
"""El Torito, 2.1: platforms."""
_D_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_NOT_JOLIET = frozenset("*/:;?\\")

# ECMA-119 9.1, directory record; the name and Rock Ridge's fields follow. Offset, size, field:
#     0    1  record's length
#     1    1  extended attribute record's length
#     2    8  extent's sector, both orders
#    10    8  data length, both orders
#    18    7  recording time
#    25    1  flags
#    26    1  file unit size
#    27    1  interleave gap size
#    28    4  volume sequence number, both orders
#    32    1  name's length
_RECORD = struct.Struct("<BB8s8s7sBBB4sB")
_VOLUME_TIME = b"2017041816300000\0"
"""8.4.26.1: EPOCH, in digits."""


class BootImage(NamedTuple):
    """What a firmware starts: a file of the tree; `sectors` (of 512 bytes) are loaded at once, 0
    means: find out."""

    platform: int
    path: str
    sectors: int


@dataclass(slots=True)
class _Entry:
    """A file or directory. `extent`: its first sector (of the Rock Ridge tree, for a directory)."""

    path: str
    node: Node
    parent: _Entry | None
    children: list[_Entry] = field(default_factory=list)
    extent: int = 0

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class _Record(NamedTuple):
    """A directory record to be: identifier, the entry it is about, and its fields in groups
    (`rockridge.split`)."""

    name: bytes
    entry: _Entry
    groups: list[list[bytes]]

    def size(self) -> int:
        fields = sum(map(len, self.groups[0])) + (CE_SIZE if len(self.groups) > 1 else 0)
        return _padded_name(self.name) + fields + fields % 2


class _Hierarchy:
    """One of the two trees of directories over the same files: where each directory is, and its
    records."""

    def __init__(
        self,
        root: _Entry,
        identifiers: Callable[[list[_Entry]], list[tuple[bytes, _Entry]]],
        *,
        posix: bool,
    ) -> None:
        self.root = root
        self.posix = posix
        self.order: list[_Entry] = []
        self.names: dict[int, bytes] = {id(root): b"\0"}
        self.records: dict[int, list[_Record]] = {}
        self.sizes: dict[int, int] = {}
        self.rests: dict[int, int] = {}
        """Bytes of the fields that stand behind a directory because its records were too short for
        them."""
        self.extents: dict[int, int] = {}
        level = [root]
        while level:
            following: list[_Entry] = []
            for folder in level:
                self.order.append(folder)
                children = identifiers(folder.children)
                self._describe(folder, children)
                following += [entry for _, entry in children if entry.node.kind == DIRECTORY]
            level = following
        if len(self.order) > MAX_DIRECTORIES:
            raise OutputError(
                "iso-too-many-folders",
                f"the root has {len(self.order):,} folders; the maximum in an ISO image is "
                f"{MAX_DIRECTORIES:,}",
                hint="Use a file system image for the root: --root erofs.",
            )

    def _describe(self, folder: _Entry, children: list[tuple[bytes, _Entry]]) -> None:
        links = 2 + sum(entry.node.kind == DIRECTORY for _, entry in children)
        own: list[bytes] = []
        above: list[bytes] = []
        if self.posix:
            own = posix_fields(folder.node, "", links=links, number=0)
            above = posix_fields((folder.parent or folder).node, "", links=2, number=0)
            if folder is self.root:
                own = [sharing(), *own, extension()]
        records = [
            _Record(b"\0", folder, split(own, 254 - 34)),
            _Record(b"\1", folder.parent or folder, split(above, 254 - 34)),
        ]
        for name, entry in children:
            fields = posix_fields(entry.node, entry.name, links=1, number=0) if self.posix else []
            records.append(_Record(name, entry, split(fields, 254 - _padded_name(name))))
            self.names[id(entry)] = name
        at = 0
        for record in records:
            for _ in _sections(record.entry.node):
                at = _fitting(at, record.size()) + record.size()
        rest = 0
        for record in records:
            for number in range(1, len(record.groups)):
                length = _group_size(record.groups, number)
                rest = _fitting(rest, length) + length
        self.records[id(folder)] = records
        self.sizes[id(folder)] = align_up(at, SECTOR)
        if self.sizes[id(folder)] > MAX_EXTENT:
            raise cannot_hold(
                "iso-folder-too-large", "an ISO image", folder.path, f"its names need {at:,} bytes"
            )
        self.rests[id(folder)] = ceil_div(rest, SECTOR)

    def place(self, sector: int) -> int:
        """Give every directory its sectors from `sector` on; returns the next free one."""
        for folder in self.order:
            self.extents[id(folder)] = sector
            sector += self.sizes[id(folder)] // SECTOR + self.rests[id(folder)]
        return sector

    def directories(self) -> Iterator[bytes]:
        """All directories' bytes, as placed."""
        for folder in self.order:
            yield self._directory(folder)

    def _directory(self, folder: _Entry) -> bytes:
        data = bytearray(self.sizes[id(folder)])
        rests = bytearray(self.rests[id(folder)] * SECTOR)
        base = self.extents[id(folder)] + len(data) // SECTOR
        at = rest = 0
        for record in self.records[id(folder)]:
            # The fields that found no room, each group naming the place of the next.
            places = []
            for number in range(1, len(record.groups)):
                length = _group_size(record.groups, number)
                rest = _fitting(rest, length)
                places.append((rest, length))
                rest += length
            links = [
                continuation(base + begin // SECTOR, begin % SECTOR, length)
                for begin, length in places
            ]
            for number, (begin, length) in enumerate(places):
                content = b"".join(record.groups[number + 1]) + (
                    links[number + 1] if number + 1 < len(links) else b""
                )
                rests[begin : begin + length] = content
            fields = b"".join(record.groups[0]) + (links[0] if links else b"")
            for extent, size, flags in self._extents(record.entry):
                made = _record(record.name, extent, size, flags, record.entry.node.mtime, fields)
                at = _fitting(at, len(made))
                data[at : at + len(made)] = made
                at += len(made)
        return bytes(data + rests)

    def _extents(self, entry: _Entry) -> Iterator[tuple[int, int, int]]:
        if entry.node.kind == DIRECTORY:
            yield self.extents[id(entry)], self.sizes[id(entry)], DIRECTORY_FLAG
            return
        sections = _sections(entry.node)
        for number, size in enumerate(sections):
            extent = entry.extent + number * (MAX_EXTENT // SECTOR) if size else 0
            yield extent, size, MULTI_EXTENT if number + 1 < len(sections) else 0

    def root_record(self) -> bytes:
        """The 34 bytes of a volume descriptor."""
        (extent, size, flags), *_ = self._extents(self.root)
        return _record(b"\0", extent, size, flags, self.root.node.mtime, b"")

    def path_table(self, order: str) -> bytes:
        """9.4, with numbers in the byte order `<` or `>`."""
        number = {id(folder): index for index, folder in enumerate(self.order, start=1)}
        parts = []
        for folder in self.order:
            name = self.names[id(folder)]
            parent = number[id(folder.parent or folder)]
            parts.append(
                struct.pack(f"{order}BBIH", len(name), 0, self.extents[id(folder)], parent)
                + name
                + bytes(len(name) % 2)
            )
        return b"".join(parts)


class IsoLayout:
    """An image laid out: `starts` tells where each file's contents will begin, in bytes; `pieces`
    gives the image.

    `volume` is the volume's name (at most 16 characters of A-Z, a-z, 0-9 and _ for both trees),
    `boot` what firmware starts; the file `first` lies in front of all others, so that its place
    depends on their names alone. Times are clamped to 1900 to 2155. Raises `OutputError`:
    `iso-too-many-folders`, `iso-too-large`, `iso-file-too-large`, `iso-folder-too-large`,
    `iso-name-too-long`, `iso-device`.
    """

    def __init__(
        self,
        entries: Sequence[tuple[str, Node]],
        *,
        volume: str,
        boot: Sequence[BootImage] = (),
        first: str = "",
    ) -> None:
        self._volume = volume
        self._boot = boot
        root = _entries(entries)
        self._trees = (
            _Hierarchy(root, _iso_names, posix=True),
            _Hierarchy(root, _joliet_names, posix=False),
        )
        # Behind the system area: primary, boot record (17, as El Torito demands), Joliet, end; then
        # the boot catalogue.
        sector = 16 + 3 + (1 if boot else 0)
        self._catalogue = sector
        sector += 1 if boot else 0
        self._tables: list[int] = []
        for tree in self._trees:
            tree.place(0)
            for order in "<>":
                self._tables.append(sector)
                sector += ceil_div(len(tree.path_table(order)), SECTOR)
        for tree in self._trees:
            sector = tree.place(sector)
        self._files: list[_Entry] = []
        self.starts: dict[str, int] = {}
        laid: dict[tuple[Piece, ...], int] = {(): 0}
        apart = {image.path for image in boot}
        for entry in sorted(_files(root), key=lambda entry: entry.path != first):
            # Equal slices are equal bytes, which lie there once. Boot images stay apart: they are
            # filled in later.
            known = laid.get(entry.node.content) if entry.path not in apart else None
            if known is not None:
                entry.extent = known
            elif entry.node.size:
                entry.extent = laid[entry.node.content] = sector
                sector += ceil_div(entry.node.size, SECTOR)
                self._files.append(entry)
            self.starts[entry.path] = entry.extent * SECTOR
        self.size = sector * SECTOR
        if sector > MAX_SECTORS:
            raise OutputError("iso-too-large", f"an ISO image cannot have {self.size:,} bytes")

    def pieces(
        self, *, system_area: bytes = b"", filled: Mapping[str, bytes] = {}
    ) -> Iterator[Piece]:
        """The image, `size` bytes; `filled` gives other contents, of the same length, to some
        files."""
        yield system_area.ljust(SYSTEM_AREA, b"\0")
        yield self._descriptor(1, *self._trees[:1], self._tables[:2])
        if self._boot:
            yield struct.pack(
                "<B5sB32s32sI", 0, b"CD001", 1, b"EL TORITO SPECIFICATION", b"", self._catalogue
            ).ljust(SECTOR, b"\0")
        yield self._descriptor(2, *self._trees[1:], self._tables[2:])
        yield struct.pack("<B5sB", 255, b"CD001", 1).ljust(SECTOR, b"\0")
        if self._boot:
            yield self._boot_catalogue().ljust(SECTOR, b"\0")
        for tree in self._trees:
            for order in "<>":
                table = tree.path_table(order)
                yield table.ljust(align_up(len(table), SECTOR), b"\0")
        for tree in self._trees:
            yield from tree.directories()
        for entry in self._files:
            yield from (filled[entry.path],) if entry.path in filled else entry.node.content
            if rest := -entry.node.size % SECTOR:
                yield Hole(rest)

    def _descriptor(self, kind: int, tree: _Hierarchy, tables: Sequence[int]) -> bytes:
        """A primary (8.4) or supplementary (8.5) volume descriptor."""

        def text(value: str, length: int) -> bytes:
            if kind == 1:
                return value.upper().encode("ascii", "replace")[:length].ljust(length)
            encoded = value.encode("utf-16-be")[: length // 2 * 2]
            return (encoded + b"\0 " * length)[:length]

        # Offset, size, field; "both" is a number in both byte orders:
        #     0    1  type, 1 or 2            140    4  type L path table's sector
        #     1    5  "CD001"                 144    4  an optional one's
        #     6    1  version                 148    4  type M path table's, big-endian
        #     7    1  flags                   152    4  an optional one's
        #     8   32  system identifier       156   34  root's directory record
        #    40   32  volume identifier       190  384  volume set, publisher, preparer
        #    72    8  zeros                   574  128  application identifier
        #    80    8  sectors, both           702  111  three files' identifiers
        #    88   32  escape sequences        813   17  creation
        #   120    4  volume set size, both   830   17  modification
        #   124    4  volume's number, both   847   17  expiration, none
        #   128    4  block size, both        864   17  effective from
        #   132    8  path table size, both   881    1  file structure version
        size = len(tree.path_table("<"))
        return b"".join(
            (
                struct.pack("<B5sBB", kind, b"CD001", 1, 0),
                text("", 32),
                text(self._volume, 32),
                bytes(8),
                both(self.size // SECTOR),
                # 8.5.6: UCS-2, level 3.
                (b"%/E" if kind == 2 else b"").ljust(32, b"\0"),
                _both16(1),
                _both16(1),
                _both16(SECTOR),
                both(size),
                struct.pack("<II", tables[0], 0),
                struct.pack(">II", tables[1], 0),
                tree.root_record(),
                text("", 128),
                text("", 128),
                text("", 128),
                text("COMPOS", 128),
                text("", 37) * 3,
                _VOLUME_TIME * 2,
                b"0" * 16 + b"\0",
                _VOLUME_TIME,
                b"\1\0",
            )
        ).ljust(SECTOR, b"\0")

    def _boot_catalogue(self) -> bytes:
        """El Torito, 2.0: a validation entry, the first image, and a section for each further
        platform."""
        # 32 bytes each. Offset, size, field of a validation entry; then of an initial or section
        # entry; then of a section header:
        #     0    1  1                  0    1  0x88, bootable     0    1  0x91 last, 0x90 others
        #     1    1  platform           1    1  0, no emulation    1    1  platform
        #     2    2  reserved           2    2  load segment       2    2  number of entries
        #     4   24  identification     4    1  system type        4   28  identification
        #    28    2  checksum: all      5    1  unused
        #             words add up to 0  6    2  sectors of 512
        #    30    2  0x55 0xAA          8    4  sector of 2048
        first, *others = self._boot
        blank = struct.pack("<BBH24sHH", 1, first.platform, 0, b"compos", 0, 0xAA55)
        total = sum(struct.unpack("<16H", blank)) & 0xFFFF
        parts = [blank[:28] + struct.pack("<HH", -total & 0xFFFF, 0xAA55), self._boot_entry(first)]
        for number, image in enumerate(others, start=1):
            more = 0x90 if number < len(others) else 0x91
            parts += [struct.pack("<BBH28s", more, image.platform, 1, b""), self._boot_entry(image)]
        return b"".join(parts)

    def _boot_entry(self, image: BootImage) -> bytes:
        # Bootable, no emulation, usual load segment.
        return struct.pack(
            "<BBHBBHI20s", 0x88, 0, 0, 0, 0, image.sectors, self.starts[image.path] // SECTOR, b""
        )


def _entries(entries: Sequence[tuple[str, Node]]) -> _Entry:
    root = _Entry("", directory(0o755, EPOCH), None)
    found = {"": root}
    for path, node in entries:
        require_node(path, node)
        if not path:
            root.node = node
            continue
        if node.size > MAX_EXTENTS * MAX_EXTENT:
            raise cannot_hold(
                "iso-file-too-large",
                "an ISO image",
                path,
                f"the file has {node.size:,} bytes; the maximum is {MAX_EXTENTS * MAX_EXTENT:,}",
            )
        parent = found[path.rpartition("/")[0]]
        entry = _Entry(path, node, parent)
        parent.children.append(entry)
        if node.kind == DIRECTORY:
            found[path] = entry
    return root


def _files(root: _Entry) -> Iterator[_Entry]:
    waiting = [root]
    while waiting:
        entry = waiting.pop()
        if entry.node.kind == FILE:
            yield entry
        waiting += reversed(entry.children)


def _iso_names(children: list[_Entry]) -> list[tuple[bytes, _Entry]]:
    """7.5 and 7.6: capitals, digits and underscores; files with a dot and a version."""
    made: dict[bytes, _Entry] = {}
    for child in children:
        folder = child.node.kind == DIRECTORY
        stem, dot, extension = child.name.upper().rpartition(".")
        if folder or not dot or not stem:
            stem, extension = child.name.upper(), ""
        stem, extension = _cleaned(stem, _D_CHARACTERS), _cleaned(extension, _D_CHARACTERS)[:8]
        end = "" if folder else f".{extension};1"
        room = LEVEL2 + 1 - len(extension) - (0 if folder else 1)
        name = _unlike(stem, end, room, lambda text: text.encode("ascii"), made)
        made[name] = child
    return sorted(made.items(), key=lambda item: item[0])


def _joliet_names(children: list[_Entry]) -> list[tuple[bytes, _Entry]]:
    """Joliet: names in UCS-2; what is neither file nor directory has none."""
    made: dict[bytes, _Entry] = {}
    for child in children:
        if child.node.kind not in (FILE, DIRECTORY):
            continue
        text = "".join(
            "_"
            if letter in _NOT_JOLIET
            or letter < " "
            or not letter.isprintable()
            or ord(letter) > 0xFFFF
            else letter
            for letter in child.name
        )
        end = "" if child.node.kind == DIRECTORY else ";1"
        name = _unlike(text, end, JOLIET - len(end), lambda text: text.encode("utf-16-be"), made)
        made[name] = child
    return sorted(made.items(), key=lambda item: item[0])


def _cleaned(text: str, allowed: frozenset[str]) -> str:
    return "".join(letter if letter in allowed else "_" for letter in text)


def _unlike(
    stem: str, end: str, room: int, encode: Callable[[str], bytes], taken: Mapping[bytes, _Entry]
) -> bytes:
    """`stem` and `end`, the stem cut to `room` and, where the name is taken, ending in a number."""
    name = encode(stem[:room] + end)
    number = 0
    while name in taken:
        number += 1
        # Thousands of long names alike: begin the search where the last one of them probably ended.
        mark = f"{number if number < 16 else len(taken) + number - 16:03}"
        name = encode(stem[: room - len(mark)] + mark + end)
    return name


def _sections(node: Node) -> list[int]:
    """A file's length in extents."""
    if node.kind != FILE or node.size <= MAX_EXTENT:
        return [node.size if node.kind == FILE else 0]
    whole, rest = divmod(node.size, MAX_EXTENT)
    return [MAX_EXTENT] * whole + ([rest] if rest else [])


def _record(name: bytes, extent: int, size: int, flags: int, mtime: int, fields: bytes) -> bytes:
    length = _padded_name(name) + len(fields) + len(fields) % 2
    head = _RECORD.pack(
        length,
        0,
        both(extent),
        both(size),
        recorded_time(mtime),
        flags,
        0,
        0,
        _both16(1),
        len(name),
    )
    return ((head + name).ljust(_padded_name(name), b"\0") + fields).ljust(length, b"\0")


def _padded_name(name: bytes) -> int:
    return _RECORD.size + len(name) + (len(name) + 1) % 2


def _group_size(groups: list[list[bytes]], number: int) -> int:
    return sum(map(len, groups[number])) + (CE_SIZE if number + 1 < len(groups) else 0)


def _fitting(at: int, length: int) -> int:
    """`at`, or the next sector: neither records nor groups of fields cross a sector's end
    (6.8.1.1)."""
    return at if at % SECTOR + length <= SECTOR else align_up(at, SECTOR)


def _both16(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)
