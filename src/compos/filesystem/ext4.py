"""A tree as an ext4 file system, for disks that a system may also write. Pure: no contents are
read.

Metadata stand in front in one flexible block group, then directories and files, each in one run of
blocks; everything else is a hole. There are no backup superblocks (sparse_super2 without any):
whoever needs another copy builds it again.

Source: Linux, Documentation/filesystems/ext4; the records are in `ext4_tables`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from compos.arithmetic import align_up, ceil_div
from compos.errors import OutputError
from compos.filesystem.ext4_tables import (
    BLOCK_SIZE,
    DESCRIPTOR_SIZE,
    INODE_SIZE,
    MAX_LINKS,
    Checksums,
    Extent,
    Shape,
    attribute_block,
    attributes_inline,
    descriptor,
    directory_blocks,
    extent_tree,
    inode_record,
    journal_head,
    superblock,
    tree_blocks,
)
from compos.filesystem.inodes import FILE_TYPES, Inode, inode_table, new_device
from compos.filesystem.limits import cannot_hold, encoded
from compos.tree.node import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    EPOCH,
    FILE,
    SYMLINK,
    Hole,
    Node,
    Piece,
    directory,
)
from compos.tree.packed import PackedPieces, packed
from compos.tree.runs import Run, data_runs, disk_size

__all__ = ["ext4_pieces"]

GROUP = 8 * BLOCK_SIZE
"""Blocks of a group: as many as a bitmap's block has bits."""
MAX_EXTENT = 32768
ROOT, JOURNAL, FIRST = 2, 8, 11
"""Inode numbers: the root's, the journal's, the first that is not reserved."""
_INODES = 4096
"""Inodes that are made at a time: a megabyte."""
LOST_FOUND = "lost+found"
FAST_LINK = 60
SMALLEST_WITH_JOURNAL = 2048
BYTES_PER_INODE = 65536
UNINITIALISED, ZEROED = 0x1 | 0x2, 0x4
"""Group flags: neither inodes nor blocks are used; the inode table is zeros."""
MAX_FILE = (2**32 - 1) * BLOCK_SIZE
"""Blocks of a file have numbers of 32 bits, and their count does, too (ext4_max_size,
fs/ext4/super.c)."""

MAX_LISTING = (1 << 31) - BLOCK_SIZE
"""Bytes of a folder, without the feature "largedir"."""

SHORTEST_GROUP = 50
"""Blocks; mke2fs leaves a shorter last group out."""
MAX_SIZE = 1 << 60


@dataclass(slots=True)
class _Inode(Inode):
    """An inode, and where its blocks are."""

    size: int = 0
    start: int = 0
    """Of its data; its extents' own blocks are at `tree`."""
    tree: int = 0
    inline: bytes | None = b""
    attributes: int = 0
    blocks: int = 0

    def runs(self) -> Iterator[Run]:
        """The blocks of its data that are no holes; the pieces of what is no file are made
        later."""
        if self.node.kind == FILE:
            yield from _file_runs(self.node.content, self.size)
        elif self.node.kind == DIRECTORY:
            yield Run(0, self.size // BLOCK_SIZE, ())
        elif self.node.kind == SYMLINK and self.size >= FAST_LINK:
            yield Run(0, 1, ())

    def extents(self) -> list[Extent]:
        """Where its data is. They are made when they are asked for: a million files has a million
        of them."""
        return [*_extents(self.runs(), self.start)]


def ext4_pieces(
    entries: Sequence[tuple[str, Node]],
    *,
    uuid: bytes,
    size: int | None = None,
    journal: bool = False,
    label: str = "",
) -> PackedPieces:
    """The file system of `entries` (sorted, parents first), a multiple of 4096 bytes.

    `size` in bytes; None is as small as holds the tree and a little more. `uuid` has 16 bytes,
    `label` at most 16. Times are clamped to 1901 to 2446. Raises `OutputError`: `ext4-too-small`,
    `ext4-file-too-large`, `ext4-folder-too-large`, `ext4-too-many-links`, `ext4-lost-found`,
    `xattr-unknown`, `xattr-too-large`.
    """
    inodes = _inodes(entries)
    sums = Checksums(uuid)
    needed = _lay_out(inodes, 0)
    blocks, groups, per_group = _measure(len(inodes) + FIRST, needed, size, journal=journal)
    tables = groups * per_group * INODE_SIZE // BLOCK_SIZE
    front = 1 + ceil_div(groups * DESCRIPTOR_SIZE, BLOCK_SIZE) + 2 * groups + tables
    journal_blocks = _journal_blocks(blocks) if journal else 0
    end = front + journal_blocks + _lay_out(inodes, front + journal_blocks)
    if end > blocks:
        raise OutputError(
            "ext4-too-small",
            f"the tree needs {ceil_div(end * BLOCK_SIZE, 1 << 20):,} MiB; the file system would "
            f"have {blocks * BLOCK_SIZE >> 20:,}",
            hint="Use a larger disk: --size.",
        )
    writer = _Writer(sums, inodes, blocks, groups, per_group, front, journal_blocks, end)
    return packed(writer.pieces(uuid, label))


def _inodes(entries: Sequence[tuple[str, Node]]) -> list[_Inode]:
    """The root, lost+found, and an inode for each path, one for all links of a file."""
    top: list[tuple[str, Node]] = []
    lost = directory(0o700, EPOCH)
    rest: list[tuple[str, Node]] = []
    for path, node in entries:
        if path != LOST_FOUND:
            (rest if path else top).append((path, node))
        elif node.kind == DIRECTORY:
            lost = node
        else:
            raise cannot_hold(
                "ext4-lost-found", "ext4", path, "this name is reserved for e2fsck's folder"
            )
    # The first number that is not reserved is that of lost+found, as e2fsck expects.
    inodes = inode_table([*top, (LOST_FOUND, lost), *rest], _Inode)
    for number, inode in enumerate(inodes, FIRST - 1):
        inode.number = number
        if inode.node.kind != DIRECTORY and inode.links > MAX_LINKS:
            raise cannot_hold(
                "ext4-too-many-links",
                "ext4",
                inode.path,
                f"the file has more than {MAX_LINKS:,} hard links",
            )
    inodes[0].number = ROOT
    return inodes


def _lay_out(inodes: Sequence[_Inode], start: int) -> int:
    """Give every inode its blocks from `start` on; returns how many they are."""
    at = start
    for inode in inodes:
        node = inode.node
        inode.inline = attributes_inline(inode.path or "/", node)
        begin = at
        if inode.inline is None:
            inode.attributes = at
            at += 1
        if node.kind == DIRECTORY:
            count = _directory_length(inode)
            inode.size = count * BLOCK_SIZE
            if inode.size > MAX_LISTING:
                raise cannot_hold(
                    "ext4-folder-too-large",
                    "ext4",
                    inode.path,
                    f"its names need {inode.size:,} bytes; the maximum is {MAX_LISTING:,}",
                )
        elif node.kind == SYMLINK:
            inode.size = len(_link(node))
        elif node.kind == FILE:
            if node.size > MAX_FILE:
                raise cannot_hold(
                    "ext4-file-too-large",
                    "ext4",
                    inode.path,
                    f"the file has {node.size:,} bytes; the maximum is {MAX_FILE:,}",
                )
            inode.size = node.size
        inode.start = at
        extents = inode.extents()
        at += sum(extent.length for extent in extents)
        inode.tree = at
        at += tree_blocks(len(extents))
        inode.blocks = at - begin
    return at - start


def _file_runs(content: Sequence[Piece], size: int) -> Sequence[Run]:
    if size and not any(isinstance(piece, Hole) for piece in content):
        return (Run(0, ceil_div(size, BLOCK_SIZE), tuple(content)),)
    return data_runs(content, BLOCK_SIZE)


def _extents(runs: Iterable[Run], at: int) -> Iterator[Extent]:
    for first, length, _ in runs:
        for offset in range(0, length, MAX_EXTENT):
            yield Extent(first + offset, min(MAX_EXTENT, length - offset), at + offset)
        at += length


def _link(node: Node) -> bytes:
    return encoded(node.link)


def _entries(inode: _Inode) -> list[tuple[bytes, int, int]]:
    own = [
        (b".", inode.number, FILE_TYPES[DIRECTORY]),
        (b"..", (inode.parent or inode).number, FILE_TYPES[DIRECTORY]),
    ]
    return own + [
        (name, child.number, FILE_TYPES[child.node.kind]) for name, child in inode.children
    ]


def _directory_length(inode: _Inode) -> int:
    count, used = 1, 0
    for name in (b".", b"..", *(name for name, _ in inode.children)):
        size = 8 + align_up(len(name), 4)
        if used + size > BLOCK_SIZE - 12:
            count, used = count + 1, 0
        used += size
    return count


def _measure(inodes: int, needed: int, size: int | None, *, journal: bool) -> tuple[int, int, int]:
    """Blocks, groups and inodes of a group, for `needed` blocks of data."""
    if size is not None and not 0 < size <= MAX_SIZE:
        raise OutputError("ext4-too-small", f"a file system cannot have {size:,} bytes")
    blocks = (size or 0) // BLOCK_SIZE
    wanted = max(inodes + max(inodes // 10, 16), blocks * BLOCK_SIZE // BYTES_PER_INODE)
    table = ceil_div(wanted * INODE_SIZE, BLOCK_SIZE)
    if size is None:
        blocks = needed + needed // 50 + 64 + table
        for _ in range(3):
            groups = ceil_div(blocks, GROUP)
            extra = (_journal_blocks(blocks) if journal else 0) + groups * (2 + 16) + 8
            blocks = needed + needed // 50 + 64 + table + extra
        # A group has as many inodes as a bitmap's block has bits.
        blocks = max(blocks, (ceil_div(wanted, GROUP) - 1) * GROUP + SHORTEST_GROUP)
    groups = ceil_div(blocks, GROUP)
    # A last group that is too short for anything of its own is left out.
    if groups > 1 and blocks % GROUP and blocks % GROUP < SHORTEST_GROUP:
        groups -= 1
        blocks = groups * GROUP
    if inodes > groups * GROUP:
        raise OutputError(
            "ext4-too-small",
            f"the tree has {inodes:,} files and folders; a file system of "
            f"{blocks * BLOCK_SIZE >> 20:,} MiB can hold at most {groups * GROUP:,}",
            hint="Use a larger disk: --size.",
        )
    step = BLOCK_SIZE // INODE_SIZE
    return blocks, groups, min(max(ceil_div(ceil_div(wanted, groups), step) + 1, 1) * step, GROUP)


def _journal_blocks(blocks: int) -> int:
    """As many as mke2fs gives a file system of this size."""
    if blocks < SMALLEST_WITH_JOURNAL:
        return 0
    sizes = (
        (32_768, 1024),
        (262_144, 4096),
        (524_288, 8192),
        (4_194_304, 16_384),
        (8_388_608, 32_768),
    )
    return next((count for limit, count in sizes if blocks < limit), 65_536)


class _Writer:
    def __init__(
        self,
        sums: Checksums,
        inodes: Sequence[_Inode],
        blocks: int,
        groups: int,
        per_group: int,
        front: int,
        journal: int,
        end: int,
    ) -> None:
        self.sums = sums
        self.inodes = inodes
        self.blocks = blocks
        self.groups = groups
        self.per_group = per_group
        self.front = front
        self.journal = journal
        self.end = end
        self.used = FIRST + len(inodes) - 2
        """Inode numbers from 1 to here are taken."""

    def pieces(self, uuid: bytes, label: str) -> Iterator[Piece]:
        journal, record = self._journal()
        free_inodes = self.groups * self.per_group - self.used
        shape = Shape(
            self.blocks,
            self.groups,
            self.per_group,
            self.blocks - self.end,
            free_inodes,
            uuid,
            label,
            journal,
        )
        descriptors, bitmaps = self._groups()
        yield (bytes(1024) + superblock(shape)).ljust(BLOCK_SIZE, b"\0")
        yield descriptors.ljust(align_up(len(descriptors), BLOCK_SIZE), b"\0")
        yield from bitmaps
        yield from self._inode_table(record)
        if free_inodes:
            yield Hole(free_inodes * INODE_SIZE)
        if self.journal:
            yield journal_head(self.journal, uuid)
            yield Hole((self.journal - 1) * BLOCK_SIZE)
        for inode in self.inodes:
            yield from self._data(inode)
        if self.blocks > self.end:
            yield Hole((self.blocks - self.end) * BLOCK_SIZE)

    def _journal(self) -> tuple[bytes, bytes]:
        """The journal's map and size, and its inode; nothing and an empty inode without one."""
        if not self.journal:
            return b"", bytes(INODE_SIZE)
        extents = list(_extents([Run(0, self.journal, ())], self.front))
        body, _ = extent_tree(self.sums, JOURNAL, extents, 0)
        node = Node(FILE, 0o600, mtime=EPOCH)
        size = self.journal * BLOCK_SIZE
        record = inode_record(
            self.sums,
            JOURNAL,
            node,
            size=size,
            links=1,
            blocks=self.journal,
            body=body,
            extents=True,
        )
        return body + struct.pack("<Q", size), record

    def _inode_table(self, journal: bytes) -> Iterator[bytes]:
        """All inodes up to the last that is used, some at a time."""
        root, *others = self.inodes
        # Reserved ones are empty.
        reserved = dict.fromkeys(range(1, FIRST), bytes(INODE_SIZE))
        reserved.update({ROOT: self._record(root), JOURNAL: journal})
        yield b"".join(reserved.values())
        for at in range(0, len(others), _INODES):
            yield b"".join(map(self._record, others[at : at + _INODES]))

    def _record(self, inode: _Inode) -> bytes:
        node = inode.node
        found = inode.extents()
        extents = bool(found) or node.kind in (FILE, DIRECTORY)
        if extents:
            body, _ = extent_tree(self.sums, inode.number, found, inode.tree)
        elif node.kind == SYMLINK:
            body = _link(node)
        elif node.kind in (CHARACTER, BLOCK):
            body = _device(*node.device)
        else:
            body = b""
        return inode_record(
            self.sums,
            inode.number,
            node,
            size=inode.size,
            links=inode.links,
            blocks=inode.blocks,
            body=body,
            extents=extents,
            inline=inode.inline or b"",
            attributes=inode.attributes if inode.inline is None else 0,
        )

    def _data(self, inode: _Inode) -> Iterator[Piece]:
        """An inode's blocks in the order in which `_lay_out` placed them."""
        node = inode.node
        if inode.inline is None:
            yield attribute_block(self.sums, inode.path or "/", node, inode.attributes)
        if node.kind == DIRECTORY:
            yield from directory_blocks(self.sums, inode.number, _entries(inode))
        elif node.kind == SYMLINK and inode.size >= FAST_LINK:
            yield _link(node).ljust(BLOCK_SIZE, b"\0")
        for run in inode.runs():
            yield from run.pieces
            if rest := -disk_size(run.pieces) % BLOCK_SIZE:
                yield Hole(rest)
        _, tree = extent_tree(self.sums, inode.number, inode.extents(), inode.tree)
        yield from tree

    def _groups(self) -> tuple[bytes, list[Piece]]:
        """Descriptors; block bitmaps and then inode bitmaps. Used are the first blocks and the
        first inodes."""
        first_bitmap = 1 + ceil_div(self.groups * DESCRIPTOR_SIZE, BLOCK_SIZE)
        table = first_bitmap + 2 * self.groups
        folders = [0] * self.groups
        for inode in self.inodes:
            if inode.node.kind == DIRECTORY:
                folders[(inode.number - 1) // self.per_group] += 1
        descriptors = []
        block_maps: list[Piece] = []
        inode_maps: list[Piece] = []
        for group in range(self.groups):
            length = min(GROUP, self.blocks - group * GROUP)
            blocks = min(max(self.end - group * GROUP, 0), length)
            inodes = min(max(self.used - group * self.per_group, 0), self.per_group)
            unused = not blocks and not inodes and group + 1 < self.groups
            block_map, inode_map = _bitmap(blocks, length), _bitmap(inodes, self.per_group)
            checksums = (
                (0, 0)
                if unused
                else (
                    self.sums.bitmap(block_map),
                    self.sums.bitmap(inode_map[: self.per_group // 8]),
                )
            )
            block_maps.append(Hole(BLOCK_SIZE) if unused else block_map)
            inode_maps.append(Hole(BLOCK_SIZE) if unused else inode_map)
            places = (
                first_bitmap + group,
                first_bitmap + self.groups + group,
                table + group * (self.per_group * INODE_SIZE // BLOCK_SIZE),
            )
            counts = (
                length - blocks,
                self.per_group - inodes,
                folders[group],
                self.per_group - inodes,
            )
            flags = ZEROED | (UNINITIALISED if unused else 0)
            descriptors.append(descriptor(self.sums, group, places, counts, flags, checksums))
        return b"".join(descriptors), [*block_maps, *inode_maps]


def _bitmap(used: int, length: int) -> bytes:
    """A block with a bit for each of `length` things, of which the first `used` are taken; there
    are no others."""
    bits = (1 << used) - 1 | ((1 << GROUP) - 1 ^ (1 << length) - 1)
    return bits.to_bytes(BLOCK_SIZE, "little")


def _device(major: int, minor: int) -> bytes:
    """Old numbers in the first word, others in the second ("Device files")."""
    if major < 256 and minor < 256:
        return struct.pack("<I", major << 8 | minor)
    return struct.pack("<II", 0, new_device(major, minor))
