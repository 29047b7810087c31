"""The metadata of a squashfs: blocks of 8 KiB with inodes, directories and extended attributes. Pure.

Source: "Squashfs Binary Format" of squashfs-tools-ng (doc/format.adoc), sections 2.2 and 5 to 10, cited as [SQ].
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from compos.errors import OutputError
from compos.filesystem.squashfs_data import Compressor, Layout
from compos.tree.node import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, SYMLINK, Node

__all__ = ["NONE", "Child", "Ids", "Inode", "Metadata", "Xattrs", "directory_listing", "inode_head"]

METADATA_SIZE = 8192
"""[SQ] 2.2: what a metadata block holds before compression."""
_HEADER = struct.Struct("<H")
_STORED = 0x8000
"""[SQ] 2.2: set in a metadata block's header when it is not compressed."""

NONE = 0xFFFFFFFF
"""[SQ] 5: an inode without extended attributes."""

_BASE = struct.Struct("<HHHHII")
"""[SQ] 5.1: type, permissions, index of the user, of the group, mtime, number."""
_DIRECTORY = struct.Struct("<IIHHI")
"""[SQ] 5.2, basic: block of the listing, links, size, offset of the listing, parent's number."""
_DIRECTORY_EXTENDED = struct.Struct("<IIIIHHI")
"""[SQ] 5.2, extended: links, size, block, parent's number, index entries, offset, attributes."""
_FILE = struct.Struct("<IIII")
"""[SQ] 5.3, basic: first block, fragment, offset in it, size."""
_FILE_EXTENDED = struct.Struct("<QQQIIII")
"""[SQ] 5.3, extended: first block, size, bytes in holes, links, fragment, offset in it, attributes."""
_PAIR = struct.Struct("<II")
"""[SQ] 5.4 links and target's length of a symbolic link; 5.5 links and device."""
_WORD = struct.Struct("<I")
"""[SQ] 5.6 links; 5.4 to 5.6 attributes of an extended inode."""

TYPES = {DIRECTORY: 1, FILE: 2, SYMLINK: 3, BLOCK: 4, CHARACTER: 5, FIFO: 6}
_EXTENDED = 7
"""[SQ] 5.1: an extended type is its basic one plus this."""

_LISTING_HEADER = struct.Struct("<IIi")
"""[SQ] 6: entries less one, block of their inodes, number that theirs are relative to."""
_LISTING_ENTRY = struct.Struct("<HhHH")
"""[SQ] 6: offset of the inode in the block, number's difference, basic type, name's length less one."""
_LISTING_INDEX = struct.Struct("<III")
"""[SQ] 6.1: place in the listing, block of the directory table, name's length less one."""
_RUN_MOST = 256
"""[SQ] 6: entries behind one header."""
_INDEX_MOST = 0xFFFF
_LISTING_EXTRA = 3
"""[SQ] 5.2: a directory's size counts the `.` and `..` that are not there."""

_XATTR_PREFIXES = {"user": 0, "trusted": 1, "security": 2}
_XATTR_NAME = struct.Struct("<HH")
_XATTR_ID = struct.Struct("<QII")
"""[SQ] 10: place of a set of attributes, their number, their size."""
XATTR_TABLE = struct.Struct("<QII")
"""[SQ] 10: place of the first block of attributes, number of sets, unused."""

_NAME_MOST = 255
_TARGET_MOST = 4095
_IDS_MOST = 0xFFFF
_BASIC_MOST = 0xFFFFFFFF
_MAJOR_MOST, _MINOR_MOST = 0xFFF, 0xFFFFF


class Metadata:
    """A stream of records in compressed blocks. References are place of the block << 16 | offset in it."""

    def __init__(self, compress: Compressor) -> None:
        self.parts: list[bytes] = []
        self.starts: list[int] = [0]
        """Where each block begins, the open one's last."""
        self._compress = compress
        self._open = bytearray()

    @property
    def uncompressed(self) -> int:
        """Bytes added so far."""
        return (len(self.starts) - 1) * METADATA_SIZE + len(self._open)

    def add(self, record: bytes | bytearray) -> int:
        """Append `record`; returns the reference to it."""
        reference = self.starts[-1] << 16 | len(self._open)
        if len(self._open) + len(record) < METADATA_SIZE:
            self._open += record
            return reference
        view = memoryview(record)
        while len(self._open) + len(view) >= METADATA_SIZE:
            room = METADATA_SIZE - len(self._open)
            self._open += view[:room]
            view = view[room:]
            self._close_block()
        self._open += view
        return reference

    def finished(self) -> bytes:
        """All blocks."""
        if self._open:
            self._close_block()
        return b"".join(self.parts)

    def _close_block(self) -> None:
        data = bytes(self._open)
        packed = self._compress(data)
        header = len(packed)
        if header >= len(data):
            packed, header = data, len(data) | _STORED
        self.parts += (_HEADER.pack(header), packed)
        self.starts.append(self.starts[-1] + _HEADER.size + len(packed))
        self._open.clear()


class Ids:
    """The table of users and groups: inodes hold indexes into it."""

    def __init__(self) -> None:
        self.values: dict[int, int] = {}

    def index(self, value: int) -> int:
        """The place of the user or group `value`. Raises `OutputError` (`squashfs-too-many-ids`)."""
        index = self.values.setdefault(value, len(self.values))
        if index >= _IDS_MOST:
            raise OutputError(
                "squashfs-too-many-ids",
                f"a squashfs can name {_IDS_MOST:,} different users and groups; there are more",
                hint="Write the root as EROFS.",
            )
        return index

    def table(self) -> bytes:
        """The values in order."""
        return struct.pack(f"<{len(self.values)}I", *self.values)


class Xattrs:
    """Sets of extended attributes, equal ones once."""

    def __init__(self, compress: Compressor) -> None:
        self.values = Metadata(compress)
        self.ids: list[bytes] = []
        self._known: dict[tuple[tuple[str, bytes], ...], int] = {}

    def index(self, path: str, node: Node) -> int:
        """The set of `node`, or `NONE`. Raises `OutputError` (`xattr-unknown`, `xattr-too-large`)."""
        if not node.xattrs:
            return NONE
        index = self._known.get(node.xattrs)
        if index is None:
            index = self._known[node.xattrs] = len(self.ids)
            body = b"".join(_attribute(path, name, value) for name, value in node.xattrs)
            self.ids.append(_XATTR_ID.pack(self.values.add(body), len(node.xattrs), len(body)))
        return index


def _attribute(path: str, name: str, value: bytes) -> bytes:
    space, _, rest = name.partition(".")
    short = rest.encode("utf-8", "surrogateescape")
    if space not in _XATTR_PREFIXES or not short:
        raise OutputError(
            "xattr-unknown",
            f"squashfs has no place for the extended attribute {name}",
            place=path,
            hint="Write the root as EROFS, or take the attribute off the file.",
        )
    if len(short) > _NAME_MOST:
        raise OutputError(
            "xattr-too-large",
            f"an extended attribute's name has {len(short)} bytes; {_NAME_MOST} are the most",
            place=path,
        )
    return _XATTR_NAME.pack(_XATTR_PREFIXES[space], len(short)) + short + _WORD.pack(len(value)) + value


class Inode(NamedTuple):
    """What all inodes have beside their node. `path` is for messages."""

    path: str
    node: Node
    number: int
    links: int
    user: int
    group: int
    xattrs: int


def _base(inode: Inode, *, extended: bool) -> bytes:
    kind = TYPES[inode.node.kind] + (_EXTENDED if extended else 0)
    mtime = min(max(inode.node.mtime // 10**9, 0), 0xFFFFFFFF)
    return _BASE.pack(kind, inode.node.mode & 0o7777, inode.user, inode.group, mtime, inode.number)


def inode_head(inode: Inode, layout: Layout) -> bytes:
    """The record of an inode that is no directory; of a file, all but the sizes of its blocks.

    Raises `OutputError` (`squashfs-link-too-long`, `squashfs-device-too-large`).
    """
    node = inode.node
    extended = inode.xattrs != NONE
    xattrs = _WORD.pack(inode.xattrs) if extended else b""
    if node.kind == FILE:
        basic = inode.links == 1 and not extended and not layout.sparse
        if basic and node.size <= _BASIC_MOST and layout.start <= _BASIC_MOST:
            record = _FILE.pack(layout.start, layout.fragment, layout.offset, node.size)
            return _base(inode, extended=False) + record
        record = _FILE_EXTENDED.pack(
            layout.start, node.size, layout.sparse, inode.links, layout.fragment, layout.offset, inode.xattrs
        )
        return _base(inode, extended=True) + record
    if node.kind == SYMLINK:
        target = node.link.encode("utf-8", "surrogateescape")
        if len(target) > _TARGET_MOST:
            raise OutputError(
                "squashfs-link-too-long",
                f"the target has {len(target):,} bytes; Linux takes at most {_TARGET_MOST:,}",
                place=inode.path,
            )
        record = _PAIR.pack(inode.links, len(target)) + target
    elif node.kind in (CHARACTER, BLOCK):
        record = _PAIR.pack(inode.links, _device(inode.path, *node.device))
    else:
        record = _WORD.pack(inode.links)
    return _base(inode, extended=extended) + record + xattrs


def _device(path: str, major: int, minor: int) -> int:
    """[SQ] 5.5: as the kernel's new_encode_dev has it."""
    if not (0 <= major <= _MAJOR_MOST and 0 <= minor <= _MINOR_MOST):
        raise OutputError(
            "squashfs-device-too-large",
            f"the device is {major}:{minor}; {_MAJOR_MOST}:{_MINOR_MOST} is the last there is",
            place=path,
        )
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


class Child(NamedTuple):
    """A name in a directory, and the inode that it names."""

    name: bytes
    kind: str
    number: int
    reference: int


def directory_listing(table: Metadata, inode: Inode, children: Sequence[Child], parent: int) -> bytes:
    """Add the listing of `children` (sorted by name) to the directory table; returns the directory's inode.

    Raises `OutputError` (`squashfs-name-too-long`).
    """
    begin = table.uncompressed
    # A listing of more than a block gets an index: the places of the first header in each further block.
    indexed = sum(_LISTING_ENTRY.size + len(child.name) for child in children) > METADATA_SIZE
    marks: list[tuple[int, bytes]] = []
    parts: list[bytes] = []
    at = begin
    for run in _runs(inode.path, children, begin, indexed):
        if indexed and at // METADATA_SIZE > (begin + marks[-1][0] if marks else begin) // METADATA_SIZE:
            marks.append((at - begin, run[0].name))
        number = run[0].number
        parts.append(_LISTING_HEADER.pack(len(run) - 1, run[0].reference >> 16, number))
        at += _LISTING_HEADER.size
        for child in run:
            offset, difference = child.reference & 0xFFFF, child.number - number
            parts += (_LISTING_ENTRY.pack(offset, difference, TYPES[child.kind], len(child.name) - 1), child.name)
            at += _LISTING_ENTRY.size + len(child.name)
    reference = table.add(b"".join(parts))
    start, offset = reference >> 16, reference & 0xFFFF
    size = at - begin + _LISTING_EXTRA
    if not marks and inode.xattrs == NONE and size <= 0xFFFF:
        return _base(inode, extended=False) + _DIRECTORY.pack(start, inode.links, size, offset, parent)
    # Names behind the last mark that the inode can count are found by reading on from there.
    marks = marks[:_INDEX_MOST]
    record = _DIRECTORY_EXTENDED.pack(inode.links, size, start, parent, len(marks), offset, inode.xattrs)
    index = b"".join(
        _LISTING_INDEX.pack(place, table.starts[(begin + place) // METADATA_SIZE], len(name) - 1) + name
        for place, name in marks
    )
    return _base(inode, extended=True) + record + index


def _runs(path: str, children: Sequence[Child], begin: int, indexed: bool) -> Iterator[list[Child]]:
    """`children` in runs that can share a header; of an indexed directory, a run's entries begin in one block."""
    run: list[Child] = []
    header = at = begin
    for child in children:
        if len(child.name) > _NAME_MOST:
            raise OutputError(
                "squashfs-name-too-long",
                f"a name has {len(child.name)} bytes; {_NAME_MOST} are the most",
                place=f"{path}/{child.name.decode('utf-8', 'surrogateescape')}",
            )
        if run and (
            child.reference >> 16 != run[0].reference >> 16
            or not -0x8000 <= child.number - run[0].number <= 0x7FFF
            or len(run) == _RUN_MOST
            or (indexed and at // METADATA_SIZE != header // METADATA_SIZE)
        ):
            yield run
            run = []
            header = at
        if not run:
            at += _LISTING_HEADER.size
        run.append(child)
        at += _LISTING_ENTRY.size + len(child.name)
    if run:
        yield run
