"""Reading ext4: every file of an image, with its attributes.

Pure, but for the image that it is handed. It may come from anybody: every number is checked, and
memory is bounded whatever it says. Extended attributes are not read, nor is a journal carried out.

Source: Linux, Documentation/filesystems/ext4 ("Super Block", "Block Group Descriptors", "Index
Nodes", "Extent Tree", "Linked Directories").
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from compos.filesystem.initramfs import Member
from compos.filesystem.inodes import split_device
from compos.filesystem.walk import FilesystemError, Quota, entry_name, require_target, walked

__all__ = ["MAGIC", "MAGIC_AT", "read_ext4"]

MAGIC = b"\x53\xef"
MAGIC_AT = 1080

ROOT = 2
EXTENT_MAGIC = 0xF30A
EXTENTS_FLAG = 0x80000
UNWRITTEN = 0x8000
"""Extents of more blocks than this read as zeros ("Extent Tree", ee_len)."""
MAX_DEPTH = 5
MAX_FOLDER = 64 << 20
MAX_EXTENTS = 1 << 20
CHUNK = 1 << 20
INLINE_TARGET = 60

NEEDS_RECOVERY, BITS_64 = 0x4, 0x80
READ = 0x2 | 0x40 | BITS_64 | 0x200 | 0x2000 | 0x4000
"""Incompatible features that are understood: filetype, extents, 64bit, flex_bg, the seed of
checksums, large folders."""

# "Index Nodes", struct ext4_inode. Offset, size, field:
#     0    2  mode
#     2    2  owner, low
#     4    4  size, low
#     8   16  times
#    24    2  group, low
#    26    2  links
#    28    4  sectors
#    32    4  flags
#    36    4  version
#    40   60  map of blocks, target, or device
#   100    8  generation, attributes
#   108    4  size, high
#   112    8  more of the same
#   120    2  owner, high
#   122    2  group, high
_INODE = struct.Struct("<HHI16xHH4xI4x60s8xI8xHH")
_EXTENT_HEADER = struct.Struct("<HHHHI")
_EXTENT = struct.Struct("<IHHI")
_INDEX = struct.Struct("<IIHH")
_ENTRY = struct.Struct("<IHBB")


class _Inode(NamedTuple):
    number: int
    mode: int
    uid: int
    gid: int
    size: int
    flags: int
    blocks: bytes


class _Run(NamedTuple):
    """`length` blocks of a file, from its block `first` on, are the image's from `place` on."""

    first: int
    length: int
    place: int


def read_ext4(read: Callable[[int, int], bytes]) -> Iterator[Member]:
    """The files of the image of which `read` gives the bytes at an offset, folders first. Raises
    `FilesystemError`."""
    try:
        yield from _Image(read).members()
    except struct.error as error:
        raise FilesystemError(f"the ext4 is damaged: {error}") from error


class _Image:
    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._source = read
        head = read(1024, 1024)
        if head[56:58] != MAGIC:
            raise FilesystemError("it is no ext4")
        self._inodes, blocks = struct.unpack_from("<II", head)
        log, self._per_group = struct.unpack_from("<I12xI", head, 24)
        (self._first,) = struct.unpack_from("<I", head, 20)
        (self._inode_size,) = struct.unpack_from("<H", head, 88)
        (features,) = struct.unpack_from("<I", head, 96)
        (size,) = struct.unpack_from("<H", head, 254)
        if features & NEEDS_RECOVERY:
            raise FilesystemError("its journal is yet to be carried out")
        if features & ~READ:
            raise FilesystemError(f"it has features that are not read: {features & ~READ:#x}")
        self._descriptor = size if features & BITS_64 else 32
        sizes = 128 <= self._inode_size <= 4096 and 32 <= self._descriptor <= 1024
        if log > 5 or not sizes or not 0 < self._per_group <= 1 << 20 or not blocks:
            raise FilesystemError("its superblock says what cannot be")
        self._block = 1024 << log
        self._quota = Quota()

    def members(self) -> Iterator[Member]:
        """All files, a folder before what is in it."""
        for path, inode in walked(ROOT, self._inode, self._listed):
            yield self._member(path, inode)

    def _read(self, at: int, size: int) -> bytes:
        if at >= 1 << 62:
            raise FilesystemError("a place beyond all files")
        data = self._source(at, size)
        if len(data) != size:
            raise FilesystemError("it is not whole")
        return data

    def _inode(self, number: int) -> _Inode:
        if not 0 < number <= self._inodes:
            raise FilesystemError("a name has an inode that is not there")
        group, index = divmod(number - 1, self._per_group)
        at = (self._first + 1) * self._block + group * self._descriptor
        descriptor = self._read(at, self._descriptor)
        (table,) = struct.unpack_from("<I", descriptor, 8)
        if len(descriptor) >= 64:
            table |= struct.unpack_from("<I", descriptor, 40)[0] << 32
        data = self._read(table * self._block + index * self._inode_size, 128)
        (
            mode, uid, size, gid, links, flags, blocks, size_high, uid_high, gid_high,
        ) = _INODE.unpack_from(data)  # fmt: skip
        if not links:
            raise FilesystemError("a name has an inode that is not used")
        high = size_high if stat.S_ISREG(mode) else 0
        size |= high << 32
        return _Inode(number, mode, uid | uid_high << 16, gid | gid_high << 16, size, flags, blocks)

    def _member(self, path: str, inode: _Inode) -> Member:
        kind = stat.S_IFMT(inode.mode)
        size = inode.size if kind in (stat.S_IFREG, stat.S_IFLNK) else 0
        if kind == stat.S_IFLNK:
            require_target(size)
        self._quota.take(size)
        device = (0, 0)
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            old, new = struct.unpack_from("<II", inode.blocks)
            device = (old >> 8 & 0xFF, old & 0xFF) if old else split_device(new)
        body = self._contents(inode, size) if size else iter(())
        return Member(
            path or ".",
            inode.mode,
            inode.uid,
            inode.gid,
            1,
            (0, 0, 0, inode.number),
            device,
            size,
            body,
        )

    def _contents(self, inode: _Inode, size: int) -> Iterator[bytes]:
        if stat.S_ISLNK(inode.mode) and size < INLINE_TARGET and not inode.flags & EXTENTS_FLAG:
            yield inode.blocks[:size]
            return
        at = 0
        for run in self._runs(inode):
            start, end = run.first * self._block, (run.first + run.length) * self._block
            yield from _zeros(min(start, size) - at)
            at = max(at, min(start, size))
            while at < min(end, size):
                count = min(CHUNK, min(end, size) - at)
                yield self._read(run.place * self._block + at - start, count)
                at += count
        yield from _zeros(size - at)

    def _runs(self, inode: _Inode) -> Iterator[_Run]:
        """Where a file's blocks are, in their order, without those that are not written."""
        if not inode.flags & EXTENTS_FLAG:
            raise FilesystemError("a file has no extents, as in ext2 and ext3")
        last = 0
        for number, run in enumerate(self._extents(inode.blocks, MAX_DEPTH)):
            if run.first < last or number >= MAX_EXTENTS:
                raise FilesystemError("a file's extents are in no order")
            last = run.first + run.length
            if run.place:
                yield run

    def _extents(self, node: bytes, depth: int) -> Iterator[_Run]:
        magic, count, _, below, _ = _EXTENT_HEADER.unpack_from(node)
        if magic != EXTENT_MAGIC or below > depth or (count + 1) * 12 > len(node):
            raise FilesystemError("an extent tree is damaged")
        for at in range(12, 12 * (count + 1), 12):
            if below:
                _, low, high, _ = _INDEX.unpack_from(node, at)
                block = self._read((high << 32 | low) * self._block, self._block)
                if _EXTENT_HEADER.unpack_from(block)[3] != below - 1:
                    raise FilesystemError("an extent tree is damaged")
                yield from self._extents(block, below - 1)
            else:
                first, length, high, low = _EXTENT.unpack_from(node, at)
                if length > UNWRITTEN:
                    yield _Run(first, length - UNWRITTEN, 0)
                else:
                    yield _Run(first, length, high << 32 | low)

    def _listed(self, inode: _Inode) -> Iterator[tuple[str, int]] | None:
        return self._names(inode) if stat.S_ISDIR(inode.mode) else None

    def _names(self, inode: _Inode) -> Iterator[tuple[str, int]]:
        """Names in a folder with their inodes. The nodes of a folder's index look like blocks
        without names ("Hash Tree Directories")."""
        if inode.size > MAX_FOLDER:
            raise FilesystemError("a folder is too large")
        data = b"".join(self._contents(inode, inode.size))
        for block in range(0, len(data), self._block):
            at, end = block, min(block + self._block, len(data))
            while at + 8 <= end:
                number, length, size, _ = _ENTRY.unpack_from(data, at)
                if length < 8 + size or at + length > end:
                    raise FilesystemError("a folder is damaged")
                name = data[at + 8 : at + 8 + size]
                if number and name not in (b".", b".."):
                    yield entry_name(name), number
                at += length


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        part = min(count, CHUNK)
        yield bytes(part)
        count -= part
