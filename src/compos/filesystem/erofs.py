"""A tree as an EROFS image: read-only, what the root of a running system is mounted from.

Plain, contents are not read: blocks are the nodes' own pieces, the ends of files stand beside their
inodes; Linux reads these images since 5.4 (with large holes since 5.15). Compressed with zstd,
which Linux reads since 6.10, two threads compress.

Source: Linux, Documentation/filesystems/erofs.rst and the on-disk structures of
fs/erofs/erofs_fs.h, cited as [FS].
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from compos.arithmetic import align_up, ceil_div
from compos.errors import OutputError
from compos.filesystem.compress import zstd_block
from compos.filesystem.crc32c import crc32c
from compos.filesystem.inodes import (
    FILE_TYPES,
    PREFIXES,
    Inode,
    inode_table,
    new_device,
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

BLOCK_SIZE = 4096
_BITS = 12
MAGIC = 0xE0F5E1E2
_SUPER_AT = 1024

# [FS] erofs_super_block, at offset 1024 of the image. Offset, size, field:
#     0    4  magic
#     4    4  CRC-32C
#     8    4  compatible features
#    12    1  block bits
#    13    1  extension slots
#    14    2  root's nid
#    16    8  inodes
#    24    8  build time, seconds
#    32    4  nanoseconds
#    36    4  blocks
#    40    4  metadata's block
#    44    4  shared xattrs' block
#    48   16  UUID
#    64   16  volume name
#    80    4  incompatible features
#    84    2  compression algorithms
#    86    2  extra devices
#    88    2  their slot
#    90    1  directory block bits
#    91    1  xattr prefixes
#    92    4  their place
#    96    8  packed inode
#   104   24  reserved
_SUPER = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQ24s")
CHECKSUM, MTIME = 0x1, 0x2
"""feature_compat."""
ZERO_PADDING, CONFIGURED, CHUNKED = 0x1, 0x2, 0x4
"""feature_incompat; CONFIGURED also allows clusters of several blocks."""

# [FS] erofs_inode_extended. Offset, size, field:
#     0    2  format
#     2    2  xattr count
#     4    2  mode
#     6    2  reserved
#     8    8  size
#    16    4  first block, device or chunk format
#    20    4  inode number
#    24    4  uid
#    28    4  gid
#    32    8  mtime, seconds
#    40    4  nanoseconds
#    44    4  links
#    48   16  reserved
_INODE = struct.Struct("<HHHHQIIIIQII16s")
PLAIN, COMPRESSED, INLINE, CHUNKS = 0, 1, 2, 4
"""[FS] data layouts; bit 0 of the format says that the inode is an extended one."""
_SLOT = 32
"""An inode's number is its offset in slots."""

# [FS] erofs_dirent. Offset, size, field:
#     0    8  nid
#     8    2  offset of the name
#    10    1  type
#    11    1  reserved
_DIRENT = struct.Struct("<QHBB")
_XATTR_HEADER = struct.Struct("<IB7s")
_XATTR_ENTRY = struct.Struct("<BBH")
"""[FS] erofs_xattr_ibody_header (filter, shared ones, reserved) and erofs_xattr_entry (name length,
prefix, value size)."""
_ACLS = {"system.posix_acl_access": 2, "system.posix_acl_default": 3}
"""[FS] Their names are a prefix each, with nothing behind it."""
MAX_XATTR_VALUE = 0xFFFF
MAX_XATTRS = 0xFFFE * 4
"""Bytes of one value, and of all attributes of an inode: each is counted with 16 bits, the second
in words of four bytes, and one more."""

ZSTD = 3
_ZSTD_CONFIG = struct.Struct("<HBB4s")
"""[FS] z_erofs_zstd_cfgs with its length in front: format, window (as a power of two, less 10),
reserved."""
CLUSTER_BITS = 17
CLUSTER = 1 << CLUSTER_BITS
"""Bytes that are compressed at once."""
_MAP_HEADER = struct.Struct("<IHBB8x")
"""[FS] z_erofs_map_header: fragment, advice, algorithm, cluster bits; and the gap behind it."""
BIG_CLUSTERS = 0x2
_HEAD = struct.Struct("<HHI")
_NOT_HEAD = struct.Struct("<HHHH")
"""[FS] z_erofs_lcluster_index: type, offset in the block, then a block address, or the distances to
this and the next head."""
TYPE_PLAIN, TYPE_HEAD, TYPE_NOT_HEAD = 0, 1, 2
COUNT = 1 << 11
"""The distance of the second block says how many blocks the compressed cluster has instead."""

HOLE_WORTH = 64 << 10
"""A file with a hole of this size gets a map of chunks; smaller holes are zeros."""
_MAX_CHUNKS = 16384
_NULL = 0xFFFFFFFF
"""[FS] EROFS_NULL_ADDR."""
_MAX_BLOCKS = 0xFFFFFFFF

MAX_FILE = 16 << 40
"""Bytes of a file with holes: its chunks have a GiB then, and each that is not a hole as a whole
takes as much of the image. Our own limit, that of ext4; the format's is 2^57."""

_OPEN_BLOCKS = 32


@dataclass(slots=True)
class _Inode(Inode):
    """An inode, and where it and its data are; of a directory, `children` has `.` and `..`,
    too."""

    size: int = 0
    layout: int = PLAIN
    xattrs: bytes = b""
    chunk_bits: int = 0
    nid: int = 0
    block: int = 0
    tail: tuple[Piece, ...] = ()
    chunks: Sequence[int] = ()
    index: bytes = b""
    """Where the blocks of a compressed file are, once they are written."""

    @property
    def head(self) -> int:
        """Bytes of the inode with its attributes and its map of chunks or clusters, without inline
        data."""
        own = _INODE.size + len(self.xattrs)
        if self.layout == COMPRESSED:
            return own + own % 8 + _MAP_HEADER.size + 8 * ceil_div(self.size, BLOCK_SIZE)
        return own + 4 * len(self.chunks)


class _Metadata:
    """Blocks of inodes, each filled where something fits best. Block 0 is the superblock's alone:
    its checksum covers it."""

    def __init__(self) -> None:
        self._used = [BLOCK_SIZE]
        self._open: list[int] = []

    def place(self, size: int) -> int:
        """Where `size` bytes go, in bytes: within one block if they fit into one."""
        size = align_up(size, _SLOT)
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
    inodes = _inodes(entries)
    data = _Data()
    for inode in inodes:
        _lay_data(inode, data)
    base = _place(inodes)
    metadata = _metadata(inodes, base, base + data.blocks, uuid)
    return packed(chain(metadata, _data_pieces(data)))


def write_erofs(
    entries: Sequence[tuple[str, Node]], contents: Contents, out: BinaryIO, *, uuid: bytes
) -> int:
    """Write the image with files compressed to the empty file `out`; returns its bytes. Raises as
    `erofs_pieces` does, and `too-many-holes`."""
    require_holes("a compressed EROFS", (node for _, node in entries if not _has_hole(node)))
    inodes = _inodes(entries)
    data = _Data()
    for inode in inodes:
        if inode.node.kind == FILE and inode.size >= BLOCK_SIZE and not _has_hole(inode.node):
            inode.layout = COMPRESSED
        else:
            _lay_data(inode, data)
    base = _place(inodes)
    at = base + data.blocks
    _require_blocks(at)
    out.seek(at * BLOCK_SIZE)
    indexes: dict[tuple[Piece, ...], list[bytes]] = {}
    files = (inode.node for inode in inodes if inode.layout == COMPRESSED)
    for content, (length, body) in in_parallel(_clusters(contents, files), _compressed):
        index, blocks = _indexed(length, len(body), at)
        indexes.setdefault(content, []).append(index)
        out.write(body)
        at += blocks
    for inode in inodes:
        inode.index = b"".join(indexes.get(inode.node.content, ()))
    out.seek(0)
    for chunk in contents.chunks(
        chain(_metadata(inodes, base, at, uuid, compressed=True), _data_pieces(data))
    ):
        out.write(chunk)
    return at * BLOCK_SIZE


def _clusters(
    contents: Contents, files: Iterator[Node]
) -> Iterator[tuple[tuple[Piece, ...], bytes]]:
    """What is compressed at once, with the file's contents as key; equal contents once."""
    seen: set[tuple[Piece, ...]] = set()
    for node in files:
        if node.content in seen:
            continue
        seen.add(node.content)
        for data, length in blocks_of(contents, node.content, CLUSTER):
            yield node.content, data or bytes(length)


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
        return b"".join(_HEAD.pack(TYPE_PLAIN, 0, at + number) for number in range(blocks)), blocks
    parts = [_HEAD.pack(TYPE_HEAD, 0, at)]
    for number in range(1, logical):
        back = COUNT | blocks if number == 1 else number
        parts.append(_NOT_HEAD.pack(TYPE_NOT_HEAD, 0, back, logical - number))
    return b"".join(parts), blocks


def _place(inodes: Sequence[_Inode]) -> int:
    """Give every inode its number; returns the blocks of metadata."""
    metadata = _Metadata()
    for inode in inodes:
        at = metadata.place(inode.head + sum(map(piece_size, inode.tail)))
        inode.nid = at // _SLOT
    return metadata.blocks


def _metadata(
    inodes: Sequence[_Inode],
    base: int,
    blocks: int,
    uuid: bytes,
    *,
    compressed: bool = False,
) -> Iterator[Piece]:
    """Superblock and inodes: `base` blocks of an image of `blocks`."""
    _require_blocks(blocks)
    yield _superblock(inodes[0].nid, len(inodes), blocks, uuid, compressed=compressed)
    at = BLOCK_SIZE
    for inode in sorted(inodes, key=lambda inode: inode.nid):
        if (offset := inode.nid * _SLOT) > at:
            yield bytes(offset - at)
        at = offset
        for piece in _inode_pieces(inode, base):
            yield piece
            at += piece_size(piece)
    if rest := base * BLOCK_SIZE - at:
        yield bytes(rest)


def _require_blocks(blocks: int) -> None:
    if blocks > _MAX_BLOCKS:
        raise OutputError("erofs-too-large", f"an EROFS cannot have {blocks * BLOCK_SIZE:,} bytes")


def _data_pieces(data: _Data) -> Iterator[Piece]:
    for content in data.pieces:
        if isinstance(content, _Inode):
            whole = _directory(content)
            yield whole[: len(whole) // BLOCK_SIZE * BLOCK_SIZE]
        else:
            yield from content
            if rest := -sum(map(piece_size, content)) % BLOCK_SIZE:
                yield Hole(rest)


def _inodes(entries: Sequence[tuple[str, Node]]) -> list[_Inode]:
    """An inode for each path, one for all links of a file; the root first."""
    inodes = inode_table(entries, _Inode)
    for number, inode in enumerate(inodes):
        node = inode.node
        if node.size > MAX_FILE:
            raise cannot_hold(
                "erofs-file-too-large",
                "EROFS",
                inode.path,
                f"the file has {node.size:,} bytes; the maximum is {MAX_FILE:,}",
            )
        inode.number = number
        inode.xattrs = _xattrs(inode.path or "/", node)
        if node.kind == DIRECTORY:
            own = [(b".", inode), (b"..", inode.parent or inode)]
            inode.children = sorted([*inode.children, *own], key=lambda child: child[0])
            inode.size = _directory_size(inode)
        elif node.kind == SYMLINK:
            inode.size = len(_link(node))
        elif node.kind == FILE:
            inode.size = node.size
    return inodes


def _link(node: Node) -> bytes:
    return encoded(node.link)


def _xattrs(path: str, node: Node) -> bytes:
    """The attributes behind an inode, with their header."""
    parts = []
    for name, value in node.xattrs:
        split = (_ACLS[name], b"") if name in _ACLS else split_name(name, PREFIXES)
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
        part = _XATTR_ENTRY.pack(len(short), index, len(value)) + short + value
        parts.append(part + bytes(-len(part) % 4))
    body = b"".join(parts)
    if len(body) > MAX_XATTRS:
        raise OutputError(
            "xattr-too-large",
            f"the extended attributes have {len(body):,} bytes; the maximum is {MAX_XATTRS:,}",
            place=path,
        )
    return _XATTR_HEADER.pack(0, 0, b"") + body if body else b""


class _Data:
    """The blocks behind the metadata, in order; equal contents lie there once."""

    def __init__(self) -> None:
        self.pieces: list[tuple[Piece, ...] | _Inode] = []
        self.blocks = 0
        self._known: dict[tuple[Piece, ...], int] = {}

    def add(self, content: tuple[Piece, ...], size: int) -> int:
        """The first block of `content`, counted from the data's beginning."""
        known = self._known.get(content)
        if known is None:
            known = self._known[content] = self.blocks
            self.pieces.append(content)
            self.blocks += ceil_div(size, BLOCK_SIZE)
        return known

    def add_directory(self, inode: _Inode, blocks: int) -> int:
        """The same for a directory, whose bytes are known later."""
        first = self.blocks
        self.pieces.append(inode)
        self.blocks += blocks
        return first


def _lay_data(inode: _Inode, data: _Data) -> None:
    """Choose the layout of an inode's data, and place what is not inline."""
    kind = inode.node.kind
    if kind in (CHARACTER, BLOCK, FIFO) or not inode.size:
        return
    if kind == FILE and _has_hole(inode.node):
        _lay_chunks(inode, data)
        return
    whole, rest = divmod(inode.size, BLOCK_SIZE)
    inline = rest and inode.head + rest <= BLOCK_SIZE
    inode.layout = INLINE if inline else PLAIN
    blocks = whole if inline or not rest else whole + 1
    if kind == DIRECTORY:
        inode.block = data.add_directory(inode, blocks) if blocks else 0
        # Its bytes are made when all numbers are known; until then a hole of the length.
        inode.tail = (Hole(rest),) if inline else ()
        return
    content = (_link(inode.node),) if kind == SYMLINK else inode.node.content
    if not inline:
        inode.block = data.add(tuple(content), inode.size)
        return
    front, inode.tail = cut(content, whole * BLOCK_SIZE)
    inode.block = data.add(front, whole * BLOCK_SIZE) if whole else 0


def _has_hole(node: Node) -> bool:
    return any(isinstance(piece, Hole) and piece.size >= HOLE_WORTH for piece in node.content)


def _lay_chunks(inode: _Inode, data: _Data) -> None:
    """A map with a block address for each chunk, none for those in holes."""
    inode.layout = CHUNKS
    while ceil_div(inode.size, BLOCK_SIZE << inode.chunk_bits) > _MAX_CHUNKS:
        inode.chunk_bits += 1
    chunk = BLOCK_SIZE << inode.chunk_bits
    rest = Front(inode.node.content)
    chunks: list[int] = []
    remaining = inode.size
    while remaining:
        length = min(chunk, remaining)
        if (hole := rest.hole()) >= length:
            # Many chunks of a hole at once.
            count = max(hole // chunk, 1)
            chunks += [_NULL] * count
            length = min(count * chunk, remaining)
            rest.take(length)
        else:
            chunks.append(data.add(rest.take(length), length))
        remaining -= length
    inode.chunks = chunks


def _inode_pieces(inode: _Inode, base: int) -> Iterator[Piece]:
    """The inode with what stands behind it; `base` is the first data block."""
    node = inode.node
    seconds, nanoseconds = divmod(min(max(node.mtime, 0), (1 << 63) - 1), 10**9)
    field_ = inode.block + base if inode.size >= BLOCK_SIZE or inode.layout == PLAIN else 0
    if node.kind in (CHARACTER, BLOCK):
        field_ = new_device(*node.device)
    elif inode.layout == CHUNKS:
        field_ = inode.chunk_bits
    elif inode.layout == COMPRESSED:
        field_ = _stored_blocks(inode.index)
    elif not inode.size:
        field_ = 0
    count = (len(inode.xattrs) - _XATTR_HEADER.size) // 4 + 1 if inode.xattrs else 0
    yield _INODE.pack(
        1 | inode.layout << 1, count, st_mode(node), 0, inode.size, field_,
        inode.number,
        node.uid, node.gid, seconds, nanoseconds, inode.links, b"",
    ) + inode.xattrs  # fmt: skip
    if inode.layout == COMPRESSED:
        yield (
            bytes(len(inode.xattrs) % 8) + _MAP_HEADER.pack(0, BIG_CLUSTERS, ZSTD, 0) + inode.index
        )
    if inode.chunks:
        yield struct.pack(
            f"<{len(inode.chunks)}I",
            *(_NULL if one == _NULL else one + base for one in inode.chunks),
        )
    if node.kind == DIRECTORY and inode.tail:
        whole = _directory(inode)
        yield whole[len(whole) // BLOCK_SIZE * BLOCK_SIZE :]
    else:
        yield from inode.tail


def _stored_blocks(index: bytes) -> int:
    """Blocks that a compressed file takes."""
    count = 0
    for kind, _, low, _ in _NOT_HEAD.iter_unpack(index):
        if kind == TYPE_NOT_HEAD:
            count += (low & ~COUNT) - 1 if low & COUNT else 0
        else:
            count += 1
    return count


def _groups(inode: _Inode) -> Iterator[list[tuple[bytes, _Inode]]]:
    """A directory's entries, block by block."""
    group: list[tuple[bytes, _Inode]] = []
    used = 0
    for child in inode.children:
        size = _DIRENT.size + len(child[0])
        if used + size > BLOCK_SIZE:
            yield group
            group, used = [], 0
        group.append(child)
        used += size
    yield group


def _directory_size(inode: _Inode) -> int:
    *full, last = _groups(inode)
    return len(full) * BLOCK_SIZE + sum(_DIRENT.size + len(name) for name, _ in last)


def _directory(inode: _Inode) -> bytes:
    """A directory's blocks; the last one is short when it goes beside the inode."""
    blocks = []
    for group in _groups(inode):
        at = len(group) * _DIRENT.size
        entries = []
        for name, child in group:
            entries.append(_DIRENT.pack(child.nid, at, FILE_TYPES[child.node.kind], 0))
            at += len(name)
        blocks.append(b"".join((*entries, *(name for name, _ in group))))
    last = blocks.pop()
    inline = inode.layout == INLINE
    return b"".join(block.ljust(BLOCK_SIZE, b"\0") for block in blocks) + (
        last if inline else last.ljust(BLOCK_SIZE, b"\0")
    )


def _superblock(root: int, inodes: int, blocks: int, uuid: bytes, *, compressed: bool) -> bytes:
    """Block 0."""

    features = CHUNKED | (ZERO_PADDING | CONFIGURED if compressed else 0)
    configuration = (
        _ZSTD_CONFIG.pack(_ZSTD_CONFIG.size - 2, 0, CLUSTER_BITS - 10, b"") if compressed else b""
    )

    def packed(checksum: int) -> bytes:
        fixed = _SUPER.pack(
            MAGIC, checksum, CHECKSUM | MTIME, _BITS, 0, root, inodes, *divmod(EPOCH, 10**9),
            blocks, 0, 0,
            uuid, b"", features, 1 << ZSTD if compressed else 0, 0, 0, 0, 0, 0, 0, b"",
        )  # fmt: skip
        return (fixed + configuration).ljust(BLOCK_SIZE - _SUPER_AT, b"\0")

    # The kernel's crc32c does not invert at the end; it covers the block from the superblock on.
    return bytes(_SUPER_AT) + packed(crc32c(packed(0)))
