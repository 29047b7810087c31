"""A tree as a squashfs image: read-only, compressed. Reads contents; two threads compress, memory
is bounded.

Files shorter than a block, and the ends of longer ones, share fragment blocks; equal contents are
stored once.

Source: Linux, Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h, cited as [FS].
"""

from __future__ import annotations

import hashlib
import struct
import sys
from array import array
from collections.abc import Generator, Iterator, Sequence
from itertools import chain
from typing import BinaryIO, Literal, NamedTuple, TypeAlias

from compos.errors import OutputError
from compos.filesystem.compress import block_compressor
from compos.filesystem.inodes import Inodes, new_device, repeated_contents
from compos.filesystem.limits import cannot_hold, encoded, require_holes
from compos.filesystem.parallel import in_parallel
from compos.filesystem.squashfs_tables import NO_XATTR, Metadata, Xattrs, indexed_table
from compos.tree.contents import Contents
from compos.tree.node import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    EPOCH,
    FIFO,
    FILE,
    SYMLINK,
    Node,
    Piece,
)
from compos.tree.runs import blocks_of

__all__ = ["BLOCK_SIZE", "COMPRESSORS", "SquashfsCompression", "write_squashfs"]

SquashfsCompression: TypeAlias = Literal["zstd", "xz", "gzip"]
COMPRESSORS: dict[SquashfsCompression, int] = {"gzip": 1, "xz": 4, "zstd": 6}
"""[FS] squashfs_super_block: compression."""

BLOCK_SIZE = 128 << 10
PADDING = 4096
"""Of the whole image: what block devices and loop devices are made of."""

# [FS] squashfs_super_block. Offset, size, field:
#     0    4  magic, "hsqs"
#     4    4  inodes
#     8    4  build time
#    12    4  block size
#    16    4  fragments
#    20    2  compression
#    22    2  block size's logarithm
#    24    2  flags
#    26    2  ids
#    28    2  major version
#    30    2  minor version
#    32    8  root inode's reference
#    40    8  bytes used
#    48    8  ids' place
#    56    8  xattrs' place
#    64    8  inode table's place
#    72    8  directory table's place
#    80    8  fragment table's place
#    88    8  export table's place
_SUPER = struct.Struct("<4sIIIIHHHHHHQQQQQQQQ")
DUPLICATES, EXPORTABLE, NO_XATTRS = 0x40, 0x80, 0x200
NOWHERE = 0xFFFFFFFFFFFFFFFF
_STORED = 1 << 24
"""In a block's length: it is not compressed."""
NO_FRAGMENT = 0xFFFFFFFF

# [FS] squashfs_base_inode, in front of each inode. Offset, size, field:
#     0    2  type
#     2    2  permissions
#     4    2  uid's index
#     6    2  gid's index
#     8    4  mtime
#    12    4  inode number
_COMMON = struct.Struct("<HHHHII")
_TYPES = {DIRECTORY: 1, FILE: 2, SYMLINK: 3, BLOCK: 4, CHARACTER: 5, FIFO: 6}
LONG = 7
"""A type's extended form has a number higher by this."""
# [FS] squashfs_dir_header. Offset, size, field:
#     0    4  entries, less one
#     4    4  inode block's place
#     8    4  inode number that entries count from
_DIR_HEADER = struct.Struct("<III")
# [FS] squashfs_dir_entry; the name follows. Offset, size, field:
#     0    2  offset in the inode block
#     2    2  inode number's difference
#     4    2  type
#     6    2  name's length, less one
_DIR_ENTRY = struct.Struct("<HhHH")
# [FS] squashfs_dir_index; the name follows. Offset, size, field:
#     0    4  offset in the listing
#     4    4  directory block's place
#     8    4  name's length, less one
_DIR_INDEX = struct.Struct("<III")
DIR_ENTRIES = 256
_MAX_FIELD = 0xFFFFFFFF

MAX_IDS = 0xFFFF
"""Different owners and groups: the superblock counts them with 16 bits."""

MAX_HOLES = 2 << 40
"""Bytes of holes in all files: an inode lists the blocks of its holes, too, with four bytes each.
Our own limit, above what login records of the highest user id have (/var/log/lastlog, 1.2 TB)."""

MAX_LISTING = 0xFFFFFFFF
MAX_INDEX = 0xFFFF
"""[FS] squashfs_ldir_inode: bytes of a folder's listing, and entries of its index."""


class _Unit(NamedTuple):
    """A block to compress: the block `number` of a file (`inode`), or the fragment `number`."""

    inode: int | None
    number: int


class _Files:
    """Where the data of files are: by inode, in arrays."""

    def __init__(self, count: int) -> None:
        self.starts = array("Q", bytes(8 * count))
        """The first block's place."""
        self.fragments = array("I", [NO_FRAGMENT]) * count
        self.offsets = array("I", bytes(4 * count))
        """The fragment, and the place in it."""
        self.sparse = array("Q", bytes(8 * count))
        self.same: dict[int, int] = {}
        """Files of the same contents as an earlier one."""
        self._lengths = array("I")
        self._first = array("Q", bytes(8 * (count + 1)))

    def open(self, inode: int) -> None:
        """Begin with a file's blocks, which come together."""
        self._first[inode] = len(self._lengths)

    def add(self, inode: int, count: int) -> int:
        """Note `count` blocks more; returns how many the file has then."""
        self._lengths.frombytes(bytes(count * self._lengths.itemsize))
        return len(self._lengths) - self._first[inode]

    def set_length(self, inode: int, number: int, length: int) -> None:
        """Note what the block `number` of a file takes."""
        self._lengths[self._first[inode] + number] = length

    def lengths(self, inode: int, size: int, block_size: int) -> array[int]:
        """What the blocks of a file of `size` bytes take."""
        first = self._first[inode]
        return self._lengths[first : first + size // block_size]


def write_squashfs(
    entries: Sequence[tuple[str, Node]],
    contents: Contents,
    out: BinaryIO,
    *,
    compression: SquashfsCompression = "zstd",
    block_size: int = BLOCK_SIZE,
) -> int:
    """Write the image of `entries` (sorted, parents first) to the empty file `out`; returns its
    bytes, a multiple of 4096.

    Times are clamped to 1970 to 2106. Raises `OutputError`: `squashfs-too-many-ids`,
    `squashfs-folder-too-large`, `too-many-holes`, `xattr-unknown`.
    """
    require_holes("a squashfs", (node for _, node in entries), MAX_HOLES)
    return _Writer(contents, out, compression, block_size, Inodes(entries)).write()


class _Writer:
    def __init__(
        self,
        contents: Contents,
        out: BinaryIO,
        compression: SquashfsCompression,
        block_size: int,
        inodes: Inodes,
    ) -> None:
        self.contents = contents
        self.out = out
        self.compression = compression
        self.block_size = block_size
        self.compress = block_compressor(compression, block_size)
        self.tree = inodes
        self.files = _Files(len(inodes))
        self.blocks = array("Q", bytes(8 * len(inodes)))
        self.offsets = array("H", bytes(2 * len(inodes)))
        """Of each inode the block and the offset in the inode table, once `written`."""
        self.written = bytearray(len(inodes))
        self.fragments: list[tuple[int, int]] = []
        self.ids: dict[int, int] = {}
        self.xattrs = Xattrs(self.compress)
        self.inodes = Metadata(self.compress)
        self.directories = Metadata(self.compress)

    def write(self) -> int:
        count = len(self.tree)
        self.out.seek(_SUPER.size)
        end = self._data()
        reference = self._inode()
        # [FS]: inodes, directories, fragments, exports, ids, xattrs, in this order.
        places = []
        for table in (self.inodes.finished(), self.directories.finished()):
            places.append(end)
            self.out.write(table)
            end += len(table)
        fragments = b"".join(
            struct.pack("<QII", start, length, 0) for start, length in self.fragments
        )
        ids = struct.pack(f"<{len(self.ids)}I", *self.ids)
        exports = array("Q", map(_reference, self.blocks, self.offsets))
        for content in (fragments, _little_endian(exports), ids):
            table, index = indexed_table(content, end, self.compress)
            self.out.write(table)
            places.append(end + index if content else NOWHERE)
            end += len(table)
        xattrs, index = self.xattrs.finished(end)
        self.out.write(xattrs)
        places.append(end + index if xattrs else NOWHERE)
        end += len(xattrs)
        self.out.write(bytes(-end % PADDING))
        self.out.truncate()
        inode_at, directory_at, fragment_at, export_at, id_at, xattr_at = places
        self.out.seek(0)
        self.out.write(
            _SUPER.pack(
                b"hsqs", count, EPOCH // 10**9, self.block_size, len(self.fragments),
                COMPRESSORS[self.compression],
                self.block_size.bit_length() - 1,
                DUPLICATES | EXPORTABLE | (0 if xattrs else NO_XATTRS), len(self.ids),
                4, 0, reference, end, id_at, xattr_at, inode_at, directory_at, fragment_at,
                export_at,
            )
        )  # fmt: skip
        return end + -end % PADDING

    def _data(self) -> int:
        """Write all files' blocks and the fragments; returns the end."""
        at = _SUPER.size

        def pack(data: bytes) -> tuple[bytes, int]:
            packed = self.compress(data)
            return (packed, len(packed)) if len(packed) < len(data) else (data, len(data) | _STORED)

        stored: dict[tuple[int, bytes, bytes], int] = {}
        files = self.files
        current: int | None = None
        digest = hashlib.sha256()
        for unit, (packed, length) in in_parallel(
            chain(self._units(), [(_Unit(None, -1), b"")]), pack
        ):
            if current is not None and unit.inode != current:
                # The same bytes from another layer: the earlier ones serve, the next file
                # overwrites these.
                size = self.tree[current][1].size
                lengths = files.lengths(current, size, self.block_size).tobytes()
                key = (size, lengths, digest.digest())
                if (known := stored.setdefault(key, files.starts[current])) != files.starts[
                    current
                ]:
                    at, files.starts[current] = files.starts[current], known
                    self.out.seek(at)
            if unit.inode is not None:
                if unit.inode != current:
                    files.starts[unit.inode] = at
                    digest = hashlib.sha256()
                files.set_length(unit.inode, unit.number, length)
                digest.update(packed)
            elif packed:
                self.fragments.append((at, length))
            current = unit.inode
            self.out.write(packed)
            at += len(packed)
        return at

    def _units(self) -> Iterator[tuple[_Unit, bytes]]:
        """Blocks to compress, in the order in which they are stored; notes where everything will
        be."""
        files = self.files
        ends = bytearray()
        known: dict[bytes, int] = {}
        number = 0
        for inode, node in self._different_files():
            tail = yield from self._file_units(inode, node)
            if not tail:
                continue
            if not files.lengths(inode, node.size, self.block_size):
                # Short files of equal bytes come from different layers: their bytes tell.
                first = known.setdefault(hashlib.sha256(tail).digest(), inode)
                if first != inode:
                    files.same[inode] = first
                    continue
            if len(ends) + len(tail) > self.block_size:
                yield _Unit(None, number), bytes(ends)
                number += 1
                ends.clear()
            files.fragments[inode], files.offsets[inode] = number, len(ends)
            ends += tail
        if ends:
            yield _Unit(None, number), bytes(ends)

    def _different_files(self) -> Iterator[tuple[int, Node]]:
        """The first of all files that have the same pieces; the others are noted as its like."""
        repeated = repeated_contents(node for _, node in self.tree if node.content)
        known: dict[tuple[Piece, ...], int] = {}
        same = self.files.same
        for inode, (_, node) in enumerate(self.tree):
            if node.kind != FILE or not node.size:
                continue
            if hash(node.content) in repeated:
                first = known.setdefault(node.content, inode)
                if first != inode:
                    same[inode] = same.get(first, first)
                    continue
            yield inode, node

    def _file_units(self, inode: int, node: Node) -> Generator[tuple[_Unit, bytes], None, bytes]:
        """A file's whole blocks; returns the rest."""
        files = self.files
        files.open(inode)
        for data, length in blocks_of(self.contents, node.content, self.block_size):
            if length < self.block_size:
                return data or bytes(length)
            blocks = files.add(inode, length // self.block_size)
            if data:
                yield _Unit(inode, blocks - 1), data
            else:
                files.sparse[inode] += length
        return b""

    def _inode(self) -> int:
        """Write all inodes, children before their directories, which name their places; returns the
        root's reference."""
        waiting = [(0, False)]
        while waiting:
            inode, ready = waiting.pop()
            if self.written[inode]:
                continue
            path, node = self.tree[inode]
            if node.kind == DIRECTORY and not ready:
                waiting.append((inode, True))
                waiting += [(child, False) for _, child in reversed(self.tree.children(inode))]
                continue
            body = self._body(inode, path, node)
            self.blocks[inode], self.offsets[inode] = self.inodes.place()
            self.written[inode] = True
            self.inodes.add(body)
        return _reference(self.blocks[0], self.offsets[0])

    def _body(self, inode: int, path: str, node: Node) -> bytes:
        xattr = self.xattrs.add(path, node.xattrs)
        kind = _TYPES[node.kind]
        long = xattr != NO_XATTR
        if node.kind == DIRECTORY:
            long, rest = self._directory(inode, path, xattr)
        elif node.kind == FILE:
            long, rest = self._file(inode, node, xattr)
        else:
            rest = struct.pack("<I", self.tree.links[inode])
            if node.kind == SYMLINK:
                target = encoded(node.link)
                rest += struct.pack("<I", len(target)) + target
            elif node.kind in (CHARACTER, BLOCK):
                rest += struct.pack("<I", new_device(*node.device))
            if long:
                rest += struct.pack("<I", xattr)
        time = min(max(node.mtime // 10**9, 0), _MAX_FIELD)
        common = _COMMON.pack(
            kind + (LONG if long else 0),
            node.mode,
            self._id(node.uid),
            self._id(node.gid),
            time,
            inode + 1,
        )
        return common + rest

    def _id(self, value: int) -> int:
        index = self.ids.setdefault(value, len(self.ids))
        if index >= MAX_IDS:
            raise OutputError(
                "squashfs-too-many-ids",
                f"a squashfs can have at most {MAX_IDS:,} different owners and groups",
                hint="Use EROFS for the root: --root erofs.",
            )
        return index

    def _file(self, inode: int, node: Node, xattr: int) -> tuple[bool, bytes]:
        """[FS] squashfs_reg_inode, or squashfs_lreg_inode for what is large, sparse, linked or has
        attributes."""
        files, size, links = self.files, node.size, self.tree.links[inode]
        at = files.same.get(inode, inode)
        start, fragment, offset = files.starts[at], files.fragments[at], files.offsets[at]
        lengths = _little_endian(files.lengths(at, size, self.block_size))
        if (
            xattr != NO_XATTR
            or links > 1
            or files.sparse[at]
            or size > _MAX_FIELD
            or start > _MAX_FIELD
        ):
            # Of a file that is a hole as a whole the kernel wants to hear of less than its size.
            sparse = min(files.sparse[at], size - 1) if files.sparse[at] else 0
            head = struct.pack("<QQQIIII", start, size, sparse, links, fragment, offset, xattr)
            return True, head + lengths
        return False, struct.pack("<IIII", start, fragment, offset, size) + lengths

    def _directory(self, inode: int, path: str, xattr: int) -> tuple[bool, bytes]:
        """Write the listing; [FS] squashfs_dir_inode, or squashfs_ldir_inode with an index when the
        listing is long."""
        block, offset = self.directories.place()
        size = 0
        index: list[bytes] = []
        seen = block
        for group in self._groups(self.tree.children(inode)):
            at = self.directories.place()[0]
            if at != seen:
                name = group[0][0]
                index.append(_DIR_INDEX.pack(size, at, len(name) - 1) + name)
                seen = at
            first = group[0][1]
            parts = [_DIR_HEADER.pack(len(group) - 1, self.blocks[first], first + 1)]
            for name, child in group:
                kind = _TYPES[self.tree.kind(child)]
                parts.append(
                    _DIR_ENTRY.pack(self.offsets[child], child - first, kind, len(name) - 1) + name
                )
            listing = b"".join(parts)
            self.directories.add(listing)
            size += len(listing)
        # The size counts "." and "..", which are not there.
        size += 3
        if size > MAX_LISTING or len(index) > MAX_INDEX:
            raise cannot_hold(
                "squashfs-folder-too-large",
                "a squashfs",
                path,
                f"its names need {size:,} bytes",
            )
        links = self.tree.links[inode]
        # The root's parent is what would be the next inode.
        parent = self.tree.parents[inode] + 1 if inode else len(self.tree) + 1
        if xattr != NO_XATTR or size > 0xFFFF:
            head = struct.pack("<IIIIHHI", links, size, block, parent, len(index), offset, xattr)
            return True, head + b"".join(index)
        return False, struct.pack("<IIHHI", block, links, size, offset, parent)

    def _groups(self, children: Sequence[tuple[bytes, int]]) -> Iterator[list[tuple[bytes, int]]]:
        """A listing's parts that can share a header: one inode block, numbers close to the first
        one's."""
        group: list[tuple[bytes, int]] = []
        for item in children:
            if group:
                first = group[0][1]
                near = -0x8000 <= item[1] - first <= 0x7FFF
                together = self.blocks[item[1]] == self.blocks[first]
                if len(group) == DIR_ENTRIES or not together or not near:
                    yield group
                    group = []
            group.append(item)
        if group:
            yield group


def _reference(block: int, offset: int) -> int:
    """An inode's place in the inode table as one number."""
    return block << 16 | offset


def _little_endian(lengths: array[int]) -> bytes:
    if sys.byteorder == "big":
        lengths = lengths[:]
        lengths.byteswap()
    return lengths.tobytes()
