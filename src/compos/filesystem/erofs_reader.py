"""Reading EROFS: every file of an image, with its attributes.

Pure, but for the image that it is handed. It may come from anybody: every number is checked, and
memory is bounded whatever it says. Read are plain images, and those that are compressed as ours are
(zstd, full indexes). Extended attributes are not read.

Source: Linux, Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from compos.arithmetic import align_up, ceil_div
from compos.decompressors import Damaged, zstd
from compos.filesystem.erofs_tables import (
    BIG_CLUSTERS,
    BLOCK_BITS,
    BLOCK_SIZE,
    CHUNKED,
    CHUNKS,
    COMPRESSED,
    CONFIGURED,
    COUNT,
    DIRENT,
    HEAD,
    INLINE,
    INODE,
    MAGIC,
    MAP_HEADER,
    NOT_HEAD,
    NULL_BLOCK,
    PLAIN,
    SHORT_INODE,
    SLOT,
    SUPER,
    SUPER_AT,
    TYPE_HEAD,
    TYPE_NOT_HEAD,
    TYPE_PLAIN,
    XATTR_HEADER,
    ZERO_PADDING,
    ZSTD,
)
from compos.filesystem.initramfs import Member
from compos.filesystem.inodes import KINDS, split_device
from compos.filesystem.walk import (
    FilesystemError,
    Quota,
    entry_name,
    require_target,
    walked,
)

__all__ = ["read_erofs"]

MAX_EXTENT = 16 << 20
"""Bytes that are decompressed at once."""

_READ = 1 << 20
_INDEXES = 4096
"""Entries of a map that are read at once."""

_UNDERSTOOD = ZERO_PADDING | CONFIGURED | CHUNKED
_CHUNK_BITS, _CHUNK_INDEXES = 0x1F, 0x20
"""Of a chunk format: the chunks' size in blocks, as a power of two; eight bytes for a chunk instead
of four."""


class _Inode(NamedTuple):
    """An inode. `field` is the first block, the device or the chunk format, as its kind has it;
    `rest` is where what stands behind it begins, in bytes."""

    number: int
    layout: int
    mode: int
    uid: int
    gid: int
    size: int
    field: int
    rest: int


class _Extent(NamedTuple):
    """Bytes of a file that are compressed together: where they begin in the file, and the blocks
    that have them; None for blocks that have them as they are."""

    start: int
    block: int
    packed: int | None


def read_erofs(read: Callable[[int, int], bytes]) -> Iterator[Member]:
    """The files of the image of which `read` gives the bytes at an offset, folders first. Raises
    `FilesystemError`."""
    return _Image(read).members()


class _Image:
    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._source = read
        (
            magic, _, _, bits, _, self._root, _, _, _, _, metadata, _, _, _, features, _,
            devices, _, folder_bits, _, _, _, _,
        ) = SUPER.unpack(self._read(SUPER_AT, SUPER.size))  # fmt: skip
        if magic != MAGIC:
            raise FilesystemError("it is no EROFS")
        if bits != BLOCK_BITS or folder_bits or devices or features & ~_UNDERSTOOD:
            raise FilesystemError("it is an EROFS with features that are not read")
        self._metadata = metadata * BLOCK_SIZE
        self._quota = Quota()

    def _read(self, at: int, size: int) -> bytes:
        if at >= 1 << 62:
            raise FilesystemError("a place beyond all files")
        data = self._source(at, size)
        if len(data) != size:
            raise FilesystemError("the EROFS ends early")
        return data

    def members(self) -> Iterator[Member]:
        """All files, a folder before what is in it."""
        for path, inode in walked(self._root, self._inode, self._listed):
            yield self._member(path, inode)

    def _member(self, path: str, inode: _Inode) -> Member:
        kind = stat.S_IFMT(inode.mode)
        has_body = kind in (stat.S_IFREG, stat.S_IFLNK)
        device = split_device(inode.field) if kind in (stat.S_IFBLK, stat.S_IFCHR) else (0, 0)
        size = inode.size if has_body else 0
        self._quota.take(size)
        if kind == stat.S_IFLNK:
            require_target(size)
        body = self._contents(inode) if has_body else iter(())
        return Member(
            path or ".",
            inode.mode,
            inode.uid,
            inode.gid,
            1,
            (0, 0, 0, inode.number),
            device,
            size,
            iter([b"".join(body)]) if kind == stat.S_IFLNK else body,
        )

    def _inode(self, number: int) -> _Inode:
        at = self._metadata + number * SLOT
        (form,) = struct.unpack("<H", self._read(at, 2))
        structure = INODE if form & 1 else SHORT_INODE
        fields = structure.unpack(self._read(at, structure.size))
        if form & 1:
            _, count, mode, _, size, field, _, uid, gid, *_ = fields
        else:
            _, count, mode, _, size, _, field, _, uid, gid, _ = fields
        layout = form >> 1 & 7
        if stat.S_IFMT(mode) not in KINDS or layout not in (PLAIN, COMPRESSED, INLINE, CHUNKS):
            raise FilesystemError("an inode is of no kind, or has a layout that is not read")
        attributes = XATTR_HEADER.size + 4 * (count - 1) if count else 0
        rest = at + structure.size + attributes
        return _Inode(number, layout, mode, uid, gid, size, field, rest)

    def _listed(self, inode: _Inode) -> Iterator[tuple[str, int]] | None:
        return self._names(inode) if stat.S_ISDIR(inode.mode) else None

    def _names(self, inode: _Inode) -> Iterator[tuple[str, int]]:
        """Names in a folder, each with its inode."""
        if inode.layout not in (PLAIN, INLINE):
            raise FilesystemError("a folder is no list of names")
        for data in self._contents(inode):
            for at in range(0, len(data), BLOCK_SIZE):
                yield from _names_in(data[at : at + BLOCK_SIZE])

    def _contents(self, inode: _Inode) -> Iterator[bytes]:
        """What is in a file, in pieces; all but the last are whole blocks."""
        if inode.layout == COMPRESSED:
            return self._compressed(inode)
        if inode.layout == CHUNKS:
            return self._chunks(inode)
        return self._plain(inode)

    def _plain(self, inode: _Inode) -> Iterator[bytes]:
        size = inode.size
        whole = size // BLOCK_SIZE * BLOCK_SIZE if inode.layout == INLINE else size
        yield from self._blocks(inode.field, whole)
        if whole < size:
            # Linux refuses what lies across two blocks.
            if inode.rest % BLOCK_SIZE + size - whole > BLOCK_SIZE:
                raise FilesystemError("the end of a file lies across two blocks")
            yield self._read(inode.rest, size - whole)

    def _blocks(self, block: int, size: int) -> Iterator[bytes]:
        """`size` bytes from a block on."""
        for at in range(0, size, _READ):
            yield self._read(block * BLOCK_SIZE + at, min(_READ, size - at))

    def _map(self, at: int, entry: struct.Struct, count: int) -> Iterator[tuple[int, ...]]:
        """The entries of a map."""
        for first in range(0, count, _INDEXES):
            size = min(_INDEXES, count - first) * entry.size
            yield from entry.iter_unpack(self._read(at + first * entry.size, size))

    def _chunks(self, inode: _Inode) -> Iterator[bytes]:
        chunk = BLOCK_SIZE << (inode.field & _CHUNK_BITS)
        entry = HEAD if inode.field & _CHUNK_INDEXES else struct.Struct("<I")
        at, left = align_up(inode.rest, entry.size), inode.size
        for *_, block in self._map(at, entry, ceil_div(left, chunk)):
            size = min(chunk, left)
            if block == NULL_BLOCK:
                for start in range(0, size, _READ):
                    yield bytes(min(_READ, size - start))
            else:
                yield from self._blocks(block, size)
            left -= size

    def _compressed(self, inode: _Inode) -> Iterator[bytes]:
        at = align_up(inode.rest, 8)
        _, advice, algorithm, bits = MAP_HEADER.unpack(self._read(at, MAP_HEADER.size))
        if advice & ~BIG_CLUSTERS or algorithm & 0xF != ZSTD or bits:
            raise FilesystemError("a file is compressed in a way that is not read")
        before: _Extent | None = None
        for extent in self._extents(at + MAP_HEADER.size, inode.size):
            if before:
                yield self._unpacked(before, extent.start - before.start)
            before = extent
        if before:
            yield self._unpacked(before, inode.size - before.start)

    def _extents(self, at: int, size: int) -> Iterator[_Extent]:
        """What is compressed together, in order; the first begins at 0."""
        head: _Extent | None = None
        number = -1
        for kind, start, low, high in self._map(at, NOT_HEAD, ceil_div(size, BLOCK_SIZE)):
            number += 1
            if kind == TYPE_NOT_HEAD:
                if head is None:
                    raise FilesystemError("a file begins within a cluster")
                if low & COUNT:
                    head = head._replace(packed=low & ~COUNT)
                continue
            if kind not in (TYPE_PLAIN, TYPE_HEAD) or start >= BLOCK_SIZE:
                raise FilesystemError("a cluster is of no kind")
            begin = number * BLOCK_SIZE + start
            if head:
                yield head
            elif begin:
                raise FilesystemError("a file begins within a cluster")
            head = _Extent(begin, low | high << 16, None if kind == TYPE_PLAIN else 1)
        if head:
            yield head

    def _unpacked(self, extent: _Extent, size: int) -> bytes:
        if not 0 < size <= MAX_EXTENT:
            raise FilesystemError("a cluster is too long")
        at = extent.block * BLOCK_SIZE
        if extent.packed is None:
            return self._read(at, size)
        if not extent.packed or extent.packed * BLOCK_SIZE > MAX_EXTENT:
            raise FilesystemError("a cluster is too long")
        # The zeros are in front.
        data = self._read(at, extent.packed * BLOCK_SIZE).lstrip(b"\0")
        try:
            plain = zstd().decompress(data, size)
        except (Damaged, EOFError) as error:
            raise FilesystemError(f"a cluster is damaged: {error}") from error
        if len(plain) != size:
            raise FilesystemError("a cluster has another size than its file needs")
        return plain


def _names_in(block: bytes) -> Iterator[tuple[str, int]]:
    """The names in a block of a folder, each with its inode."""
    if len(block) < DIRENT.size:
        raise FilesystemError("a folder's block is too short")
    _, end, _, _ = DIRENT.unpack_from(block)
    if not end or end % DIRENT.size or end > len(block):
        raise FilesystemError("a folder's block has no names")
    entries = list(DIRENT.iter_unpack(block[:end]))
    offsets = [offset for _, offset, _, _ in entries] + [len(block)]
    for (number, start, _, _), following in zip(entries, offsets[1:], strict=True):
        if not end <= start < following <= len(block):
            raise FilesystemError("a folder's names are not in order")
        name = block[start:following]
        if following == len(block):
            name = name.rstrip(b"\0")
        if name not in (b".", b".."):
            yield entry_name(name), number
