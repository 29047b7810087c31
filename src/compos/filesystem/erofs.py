"""A tree as an EROFS image: read-only, what the root of a running system is mounted from.

Plain, contents are not read: blocks are the nodes' own pieces, the ends of files stand beside their
inodes; Linux reads these images since 5.4 (with large holes since 5.15). Compressed with zstd,
which Linux reads since 6.10, two threads compress.

Source: Linux, Documentation/filesystems/erofs.rst and the on-disk structures of
fs/erofs/erofs_fs.h; the structures are in `erofs_tables`.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import BinaryIO

from compos.arithmetic import align_up, ceil_div
from compos.errors import OutputError
from compos.filesystem.compress import zstd_block
from compos.filesystem.crc32c import crc32c
from compos.filesystem.erofs_tables import (
    ACLS,
    BIG_CLUSTERS,
    BLOCK_BITS,
    BLOCK_SIZE,
    CHECKSUM,
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
    MTIME,
    NOT_HEAD,
    NULL_BLOCK,
    PLAIN,
    SLOT,
    SUPER,
    SUPER_AT,
    TYPE_HEAD,
    TYPE_NOT_HEAD,
    TYPE_PLAIN,
    XATTR_ENTRY,
    XATTR_HEADER,
    ZERO_PADDING,
    ZSTD,
    ZSTD_CONFIG,
)
from compos.filesystem.inodes import (
    FILE_TYPES,
    PREFIXES,
    Inodes,
    new_device,
    repeated_contents,
    split_name,
    st_mode,
)
from compos.filesystem.limits import cannot_hold, encoded, require_holes
from compos.filesystem.parallel import in_parallel
from compos.tree.contents import Contents, cut, piece_size
from compos.tree.node import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    EPOCH,
    FIFO,
    FILE,
    SYMLINK,
    Hole,
    Node,
    Piece,
)
from compos.tree.packed import PackedPieces, packed
from compos.tree.runs import Front, blocks_of

__all__ = ["BLOCK_SIZE", "erofs_pieces", "write_erofs"]

MAX_XATTR_VALUE = 0xFFFF
MAX_XATTRS = 0xFFFE * 4
"""Bytes of one value, and of all attributes of an inode: each is counted with 16 bits, the second
in words of four bytes, and one more."""

CLUSTER_BITS = 17
CLUSTER = 1 << CLUSTER_BITS
"""Bytes that are compressed at once."""

HOLE_WORTH = 64 << 10
"""A file with a hole of this size gets a map of chunks; smaller holes are zeros."""
_MAX_CHUNKS = 16384
_MAX_BLOCKS = 0xFFFFFFFF

MAX_FILE = 16 << 40
"""Bytes of a file with holes: its chunks have a GiB then, and each that is not a hole as a whole
takes as much of the image. Our own limit, that of ext4; the format's is 2^57."""

_OPEN_BLOCKS = 32


class _Metadata:
    """Blocks of inodes, each filled where something fits best. Block 0 is the superblock's alone:
    its checksum covers it."""

    def __init__(self) -> None:
        self._used = [BLOCK_SIZE]
        self._open: list[int] = []

    def place(self, size: int) -> int:
        """Where `size` bytes go, in bytes: within one block if they fit into one."""
        size = align_up(size, SLOT)
        if size > BLOCK_SIZE:
            block = len(self._used)
            whole, rest = divmod(size, BLOCK_SIZE)
            self._used += [BLOCK_SIZE] * whole
            if rest:
                self._used.append(rest)
                self._open.append(len(self._used) - 1)
            return block * BLOCK_SIZE
        fitting = [block for block in self._open if BLOCK_SIZE - self._used[block] >= size]
        if fitting:
            block = max(fitting, key=lambda number: (self._used[number], -number))
        else:
            block = len(self._used)
            self._used.append(0)
            self._open.append(block)
            if len(self._open) > _OPEN_BLOCKS:
                self._open.remove(max(self._open, key=lambda number: (self._used[number], -number)))
        at = block * BLOCK_SIZE + self._used[block]
        self._used[block] += size
        return at

    @property
    def blocks(self) -> int:
        return len(self._used)


def erofs_pieces(entries: Sequence[tuple[str, Node]], *, uuid: bytes) -> PackedPieces:
    """The image of `entries` (sorted, parents first), a multiple of 4096 bytes; `uuid` has 16.

    Times are clamped to 1970 to 2262. Raises `OutputError`: `xattr-unknown` for attributes of
    another namespace than user, trusted, security and ACLs, `xattr-too-large`,
    `erofs-file-too-large`, `erofs-too-large`.
    """
    image = _Image(Inodes(entries))
    return packed(chain(image.metadata(image.end, uuid), image.data_pieces()))


def write_erofs(
    entries: Sequence[tuple[str, Node]], contents: Contents, out: BinaryIO, *, uuid: bytes
) -> int:
    """Write the image with files compressed to the empty file `out`; returns its bytes. Raises as
    `erofs_pieces` does, and `too-many-holes`."""
    require_holes("a compressed EROFS", (node for _, node in entries if not _has_hole(node)))
    image = _Image(Inodes(entries), compressed=True)
    at = image.end
    _require_blocks(at)
    out.seek(at * BLOCK_SIZE)
    for number, (length, body) in in_parallel(_clusters(contents, image), _compressed):
        index, blocks = _indexed(length, len(body), at)
        image.indexes.setdefault(number, bytearray()).extend(index)
        out.write(body)
        at += blocks
    out.seek(0)
    for chunk in contents.chunks(chain(image.metadata(at, uuid), image.data_pieces())):
        out.write(chunk)
    return at * BLOCK_SIZE


def _clusters(contents: Contents, image: _Image) -> Iterator[tuple[int, bytes]]:
    """What is compressed at once, with the number of the inode whose contents it is."""
    for number, (_, node) in enumerate(image.inodes):
        if image.layouts[number] == COMPRESSED and number not in image.same:
            for data, length in blocks_of(contents, node.content, CLUSTER):
                yield number, data or bytes(length)


def _compressed(data: bytes) -> tuple[int, bytes]:
    """The length, and whole blocks: compressed at their end, behind zeros, or as they are when that
    saves no block."""
    packed = zstd_block(data)
    if ceil_div(len(packed), BLOCK_SIZE) < ceil_div(len(data), BLOCK_SIZE):
        return len(data), bytes(-len(packed) % BLOCK_SIZE) + packed
    return len(data), data + bytes(-len(data) % BLOCK_SIZE)


def _indexed(length: int, stored: int, at: int) -> tuple[bytes, int]:
    """The index of a cluster of `length` bytes that is stored in `stored` from block `at` on; and
    its blocks."""
    logical, blocks = ceil_div(length, BLOCK_SIZE), stored // BLOCK_SIZE
    if blocks == logical:
        return b"".join(HEAD.pack(TYPE_PLAIN, 0, at + number) for number in range(blocks)), blocks
    parts = [HEAD.pack(TYPE_HEAD, 0, at)]
    for number in range(1, logical):
        back = COUNT | blocks if number == 1 else number
        parts.append(NOT_HEAD.pack(TYPE_NOT_HEAD, 0, back, logical - number))
    return b"".join(parts), blocks


def _require_blocks(blocks: int) -> None:
    if blocks > _MAX_BLOCKS:
        raise OutputError("erofs-too-large", f"an EROFS cannot have {blocks * BLOCK_SIZE:,} bytes")


def _link(node: Node) -> bytes:
    return encoded(node.link)


def _xattrs(path: str, node: Node) -> bytes:
    """The attributes behind an inode, with their header."""
    parts = []
    for name, value in node.xattrs:
        split = (ACLS[name], b"") if name in ACLS else split_name(name, PREFIXES)
        if split is None:
            raise OutputError(
                "xattr-unknown", f"EROFS does not support the extended attribute {name}", place=path
            )
        if len(value) > MAX_XATTR_VALUE:
            raise OutputError(
                "xattr-too-large",
                f"the extended attribute {name} has {len(value):,} bytes; the maximum is "
                f"{MAX_XATTR_VALUE:,}",
                place=path,
            )
        index, short = split
        part = XATTR_ENTRY.pack(len(short), index, len(value)) + short + value
        parts.append(part + bytes(-len(part) % 4))
    body = b"".join(parts)
    if len(body) > MAX_XATTRS:
        raise OutputError(
            "xattr-too-large",
            f"the extended attributes have {len(body):,} bytes; the maximum is {MAX_XATTRS:,}",
            place=path,
        )
    return XATTR_HEADER.pack(0, 0, b"") + body if body else b""


def _has_hole(node: Node) -> bool:
    return any(isinstance(piece, Hole) and piece.size >= HOLE_WORTH for piece in node.content)


def _stored_blocks(index: bytes | bytearray) -> int:
    """Blocks that a compressed file takes."""
    count = 0
    for kind, _, low, _ in NOT_HEAD.iter_unpack(index):
        if kind == TYPE_NOT_HEAD:
            count += (low & ~COUNT) - 1 if low & COUNT else 0
        else:
            count += 1
    return count


def _groups(names: Iterable[tuple[bytes, int]]) -> Iterator[list[tuple[bytes, int]]]:
    """A directory's entries, block by block."""
    group: list[tuple[bytes, int]] = []
    used = 0
    for name in names:
        size = DIRENT.size + len(name[0])
        if used + size > BLOCK_SIZE:
            yield group
            group, used = [], 0
        group.append(name)
        used += size
    yield group


class _Image:
    """The inodes of an image, and where they and their data are: by number, in arrays."""

    def __init__(self, inodes: Inodes, *, compressed: bool = False) -> None:
        count = len(inodes)
        self.inodes = inodes
        self.compressed = compressed
        self.layouts = bytearray(count)
        self.sizes = array("Q", bytes(8 * count))
        self.blocks = array("Q", bytes(8 * count))
        """The first data block of each, counted from the data's beginning."""
        self.nids = array("Q", bytes(8 * count))
        self.chunks: dict[int, tuple[int, Sequence[int]]] = {}
        """Of files with large holes: the chunks' size and blocks."""
        self.indexes: dict[int, bytearray] = {}
        """Where the blocks of a compressed file are, once they are written."""
        self.same: dict[int, int] = {}
        """Compressed files of the same contents as an earlier one."""
        self._ranges: dict[int, tuple[Piece, ...]] = {}
        """Of `_order`, what is a part of a file with large holes."""
        self._order = array("I")
        """The inodes whose data lie behind the metadata, in order."""
        self._data = 0
        self._known: dict[tuple[Piece, ...], int] = {}
        self._repeated = repeated_contents(
            node for path, node in inodes if node.kind == FILE and node.content
        )
        metadata = _Metadata()
        for number, (path, node) in enumerate(inodes):
            at = metadata.place(self._lay(number, path, node))
            self.nids[number] = at // SLOT
        self.base = metadata.blocks
        """Blocks of metadata, in front of the data."""
        self.end = self.base + self._data

    def _lay(self, number: int, path: str, node: Node) -> int:
        """Choose an inode's layout, and place what is not inline; returns the bytes of the inode
        with its attributes, its map of chunks or clusters, and inline data."""
        if node.size > MAX_FILE:
            raise cannot_hold(
                "erofs-file-too-large",
                "EROFS",
                path,
                f"the file has {node.size:,} bytes; the maximum is {MAX_FILE:,}",
            )
        head = INODE.size + len(_xattrs(path or "/", node))
        size = self.sizes[number] = self._size(number, node)
        if node.kind in (CHARACTER, BLOCK, FIFO) or not size:
            return head
        if node.kind == FILE and _has_hole(node):
            return head + self._lay_chunks(number, node)
        if self.compressed and node.kind == FILE and size >= BLOCK_SIZE:
            self.layouts[number] = COMPRESSED
            if hash(node.content) in self._repeated:
                first = self._known.setdefault(node.content, number)
                if first != number:
                    self.same[number] = first
            return head + head % 8 + MAP_HEADER.size + 8 * ceil_div(size, BLOCK_SIZE)
        whole, rest = divmod(size, BLOCK_SIZE)
        inline = rest and head + rest <= BLOCK_SIZE
        self.layouts[number] = INLINE if inline else PLAIN
        blocks = whole if inline or not rest else whole + 1
        if blocks:
            self.blocks[number] = self._add(number, node, blocks)
        return head + rest if inline else head

    def _size(self, number: int, node: Node) -> int:
        if node.kind == DIRECTORY:
            *full, last = _groups(self._names(number))
            return len(full) * BLOCK_SIZE + sum(DIRENT.size + len(name) for name, _ in last)
        return len(_link(node)) if node.kind == SYMLINK else node.size

    def _names(self, number: int) -> list[tuple[bytes, int]]:
        """A directory's entries with `.` and `..`."""
        own = [(b".", number), (b"..", self.inodes.parents[number])]
        return sorted((*self.inodes.children(number), *own))

    def _add(self, number: int, node: Node, blocks: int) -> int:
        """The first block of an inode's data; equal contents lie there once."""
        first = self._data
        if node.kind == SYMLINK or (node.content and hash(node.content) in self._repeated):
            first = self._known.setdefault(self._front(number, node), first)
        if first == self._data:
            self._order.append(number)
            self._data += blocks
        return first

    def _lay_chunks(self, number: int, node: Node) -> int:
        """A map with a block address for each chunk, none for those in holes; returns its bytes."""
        self.layouts[number] = CHUNKS
        bits = 0
        while ceil_div(node.size, BLOCK_SIZE << bits) > _MAX_CHUNKS:
            bits += 1
        chunk = BLOCK_SIZE << bits
        rest = Front(node.content)
        chunks: list[int] = []
        remaining = node.size
        while remaining:
            length = min(chunk, remaining)
            if (hole := rest.hole()) >= length:
                # Many chunks of a hole at once.
                count = max(hole // chunk, 1)
                chunks += [NULL_BLOCK] * count
                length = min(count * chunk, remaining)
                rest.take(length)
            else:
                chunks.append(self._add_range(number, rest.take(length), length))
            remaining -= length
        self.chunks[number] = bits, chunks
        return 4 * len(chunks)

    def _add_range(self, number: int, content: tuple[Piece, ...], size: int) -> int:
        first = self._known.setdefault(content, self._data)
        if first == self._data:
            self._ranges[len(self._order)] = content
            self._order.append(number)
            self._data += ceil_div(size, BLOCK_SIZE)
        return first

    def _whole(self, number: int, node: Node) -> tuple[Piece, ...]:
        """The data of what is no directory."""
        return (_link(node),) if node.kind == SYMLINK else node.content

    def _front(self, number: int, node: Node) -> tuple[Piece, ...]:
        """What of it is not inline."""
        whole = self._whole(number, node)
        if self.layouts[number] == INLINE:
            return cut(whole, self.sizes[number] // BLOCK_SIZE * BLOCK_SIZE)[0]
        return whole

    def metadata(self, blocks: int, uuid: bytes) -> Iterator[Piece]:
        """Superblock and inodes of an image of `blocks`."""
        _require_blocks(blocks)
        nids = self.nids
        yield _superblock(nids[0], len(nids), blocks, uuid, compressed=self.compressed)
        at = BLOCK_SIZE
        for number in array("I", sorted(range(len(nids)), key=nids.__getitem__)):
            if (offset := nids[number] * SLOT) > at:
                yield bytes(offset - at)
            at = offset
            for piece in self._inode_pieces(number):
                yield piece
                at += piece_size(piece)
        if rest := self.base * BLOCK_SIZE - at:
            yield bytes(rest)

    def data_pieces(self) -> Iterator[Piece]:
        """What lies between the metadata and compressed files."""
        for at, number in enumerate(self._order):
            content = self._ranges.get(at)
            if content is None:
                _, node = self.inodes[number]
                if node.kind == DIRECTORY:
                    yield self._directory(number)[0]
                    continue
                content = self._front(number, node)
            yield from content
            if rest := -sum(map(piece_size, content)) % BLOCK_SIZE:
                yield Hole(rest)

    def _inode_pieces(self, number: int) -> Iterator[Piece]:
        """The inode with what stands behind it."""
        path, node = self.inodes[number]
        layout, size = self.layouts[number], self.sizes[number]
        xattrs = _xattrs(path or "/", node)
        bits, chunks = self.chunks.get(number, (0, ()))
        index = self.indexes.get(self.same.get(number, number), bytearray())
        seconds, nanoseconds = divmod(min(max(node.mtime, 0), (1 << 63) - 1), 10**9)
        field = self.blocks[number] + self.base if size >= BLOCK_SIZE or layout == PLAIN else 0
        if node.kind in (CHARACTER, BLOCK):
            field = new_device(*node.device)
        elif layout == CHUNKS:
            field = bits
        elif layout == COMPRESSED:
            field = _stored_blocks(index)
        elif not size:
            field = 0
        count = (len(xattrs) - XATTR_HEADER.size) // 4 + 1 if xattrs else 0
        yield INODE.pack(
            1 | layout << 1, count, st_mode(node), 0, size, field,
            number,
            node.uid, node.gid, seconds, nanoseconds, self.inodes.links[number], b"",
        ) + xattrs  # fmt: skip
        if layout == COMPRESSED:
            yield bytes(len(xattrs) % 8) + MAP_HEADER.pack(0, BIG_CLUSTERS, ZSTD, 0) + index
        elif chunks:
            yield struct.pack(
                f"<{len(chunks)}I",
                *(NULL_BLOCK if one == NULL_BLOCK else one + self.base for one in chunks),
            )
        elif layout == INLINE and node.kind == DIRECTORY:
            yield self._directory(number)[1]
        elif layout == INLINE:
            yield from cut(self._whole(number, node), size // BLOCK_SIZE * BLOCK_SIZE)[1]

    def _directory(self, number: int) -> tuple[bytes, bytes]:
        """A directory's whole blocks, and what stands beside its inode."""
        blocks = []
        for group in _groups(self._names(number)):
            at = len(group) * DIRENT.size
            entries = []
            for name, child in group:
                kind = FILE_TYPES[self.inodes.kind(child)]
                entries.append(DIRENT.pack(self.nids[child], at, kind, 0))
                at += len(name)
            blocks.append(b"".join((*entries, *(name for name, _ in group))))
        inline = blocks.pop() if self.layouts[number] == INLINE else b""
        return b"".join(block.ljust(BLOCK_SIZE, b"\0") for block in blocks), inline


def _superblock(root: int, inodes: int, blocks: int, uuid: bytes, *, compressed: bool) -> bytes:
    """Block 0."""

    features = CHUNKED | (ZERO_PADDING | CONFIGURED if compressed else 0)
    configuration = (
        ZSTD_CONFIG.pack(ZSTD_CONFIG.size - 2, 0, CLUSTER_BITS - 10, b"") if compressed else b""
    )

    def packed(checksum: int) -> bytes:
        fixed = SUPER.pack(
            MAGIC, checksum, CHECKSUM | MTIME, BLOCK_BITS, 0, root, inodes, *divmod(EPOCH, 10**9),
            blocks, 0, 0,
            uuid, b"", features, 1 << ZSTD if compressed else 0, 0, 0, 0, 0, 0, 0, b"",
        )  # fmt: skip
        return (fixed + configuration).ljust(BLOCK_SIZE - SUPER_AT, b"\0")

    # The kernel's crc32c does not invert at the end; it covers the block from the superblock on.
    return bytes(SUPER_AT) + packed(crc32c(packed(0)))
