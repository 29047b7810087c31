"""A tree as an ext4 file system, for disks that a system may also write. Pure: no contents are
read.

Metadata stand in front in one flexible block group, then directories and files, each in one run of
blocks; everything else is a hole. There are no backup superblocks (sparse_super2 without any):
whoever needs another copy builds it again.

Source: Linux, Documentation/filesystems/ext4; the records are in `ext4_tables`.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

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
from compos.filesystem.inodes import FILE_TYPES, Inodes, new_device
from compos.filesystem.limits import cannot_hold, encoded
from compos.tree.entries import Entries
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
    tree = _Tree(_inodes(entries))
    count = len(tree.inodes)
    blocks, groups, per_group = _measure(count + FIRST, tree.needed, size, journal=journal)
    tables = groups * per_group * INODE_SIZE // BLOCK_SIZE
    front = 1 + ceil_div(groups * DESCRIPTOR_SIZE, BLOCK_SIZE) + 2 * groups + tables
    journal_blocks = _journal_blocks(blocks) if journal else 0
    tree.base = front + journal_blocks
    end = tree.base + tree.needed
    if end > blocks:
        raise OutputError(
            "ext4-too-small",
            f"the tree needs {ceil_div(end * BLOCK_SIZE, 1 << 20):,} MiB; the file system would "
            f"have {blocks * BLOCK_SIZE >> 20:,}",
            hint="Use a larger disk: --size.",
        )
    writer = _Writer(Checksums(uuid), tree, blocks, groups, per_group, front, journal_blocks, end)
    return packed(writer.pieces(uuid, label))


def _inodes(entries: Sequence[tuple[str, Node]]) -> Inodes:
    """The root, lost+found, and an inode for each path, one for all links of a file."""
    lost = Entries.over(entries).get(LOST_FOUND) or directory(0o700, EPOCH)
    if lost.kind != DIRECTORY:
        raise cannot_hold(
            "ext4-lost-found", "ext4", LOST_FOUND, "this name is reserved for e2fsck's folder"
        )
    # The first number that is not reserved is that of lost+found, as e2fsck expects.
    inodes = Inodes(entries, [(LOST_FOUND, lost)])
    for number, links in enumerate(inodes.links):
        if links > MAX_LINKS and inodes.kind(number) != DIRECTORY:
            raise cannot_hold(
                "ext4-too-many-links",
                "ext4",
                inodes[number][0],
                f"the file has more than {MAX_LINKS:,} hard links",
            )
    return inodes


def _number(inode: int) -> int:
    """The number in the file system of one of `Inodes`."""
    return FIRST - 1 + inode if inode else ROOT


class _Place(NamedTuple):
    """Where the blocks of an inode are: all from `begin` on, its data from `start` on, those of
    its extents from `tree` on."""

    begin: int
    start: int
    tree: int
    blocks: int


class _Tree:
    """The inodes, and how their blocks follow each other."""

    def __init__(self, inodes: Inodes) -> None:
        self.inodes = inodes
        self.base = 0
        """The first block of all."""
        self._begins = array("Q")
        self._sizes = array("Q")
        at = 0
        for number, (path, node) in enumerate(inodes):
            self._begins.append(at)
            self._sizes.append(self._size(number, path, node))
            at += self.place(number, path, node).blocks
        self.needed = at
        """How many blocks they are."""

    def _size(self, number: int, path: str, node: Node) -> int:
        if node.kind == SYMLINK:
            return len(_link(node))
        if node.kind == FILE and node.size > MAX_FILE:
            raise cannot_hold(
                "ext4-file-too-large",
                "ext4",
                path,
                f"the file has {node.size:,} bytes; the maximum is {MAX_FILE:,}",
            )
        if node.kind != DIRECTORY:
            return node.size if node.kind == FILE else 0
        size = _directory_length(self.inodes.children(number)) * BLOCK_SIZE
        if size > MAX_LISTING:
            raise cannot_hold(
                "ext4-folder-too-large",
                "ext4",
                path,
                f"its names need {size:,} bytes; the maximum is {MAX_LISTING:,}",
            )
        return size

    def size(self, number: int) -> int:
        """Bytes of an inode's data."""
        return self._sizes[number]

    def place(self, number: int, path: str, node: Node) -> _Place:
        """Where an inode's blocks are. Raises `OutputError` (`xattr-unknown`)."""
        begin = self.base + self._begins[number]
        start = begin + (attributes_inline(path or "/", node) is None)
        extents = [*_extents(self.runs(number, node), start)]
        tree = start + sum(extent.length for extent in extents)
        return _Place(begin, start, tree, tree + tree_blocks(len(extents)) - begin)

    def runs(self, number: int, node: Node) -> Iterator[Run]:
        """The blocks of an inode's data that are no holes; the pieces of what is no file are made
        later."""
        size = self._sizes[number]
        if node.kind == FILE:
            yield from _file_runs(node.content, size)
        elif node.kind == DIRECTORY:
            yield Run(0, size // BLOCK_SIZE, ())
        elif node.kind == SYMLINK and size >= FAST_LINK:
            yield Run(0, 1, ())

    def names(self, number: int) -> list[tuple[bytes, int, int]]:
        """A directory's entries: names, inodes, types."""
        inodes = self.inodes
        own = [(b".", number), (b"..", inodes.parents[number])]
        return [
            (name, _number(child), FILE_TYPES[inodes.kind(child)])
            for name, child in (*own, *inodes.children(number))
        ]


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


def _directory_length(children: Iterable[tuple[bytes, int]]) -> int:
    count, used = 1, 0
    for name in (b".", b"..", *(name for name, _ in children)):
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
        tree: _Tree,
        blocks: int,
        groups: int,
        per_group: int,
        front: int,
        journal: int,
        end: int,
    ) -> None:
        self.sums = sums
        self.tree = tree
        self.inodes = tree.inodes
        self.blocks = blocks
        self.groups = groups
        self.per_group = per_group
        self.front = front
        self.journal = journal
        self.end = end
        self.used = FIRST + len(tree.inodes) - 2
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
        for number, (path, node) in enumerate(self.inodes):
            yield from self._data(number, path, node)
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
        records = (
            self._record(number, path, node) for number, (path, node) in enumerate(self.inodes)
        )
        # Reserved ones are empty.
        reserved = dict.fromkeys(range(1, FIRST), bytes(INODE_SIZE))
        reserved.update({ROOT: next(records), JOURNAL: journal})
        yield b"".join(reserved.values())
        while some := b"".join(islice(records, _INODES)):
            yield some

    def _record(self, number: int, path: str, node: Node) -> bytes:
        place = self.tree.place(number, path, node)
        inline = attributes_inline(path or "/", node)
        found = [*_extents(self.tree.runs(number, node), place.start)]
        extents = bool(found) or node.kind in (FILE, DIRECTORY)
        if extents:
            body, _ = extent_tree(self.sums, _number(number), found, place.tree)
        elif node.kind == SYMLINK:
            body = _link(node)
        elif node.kind in (CHARACTER, BLOCK):
            body = _device(*node.device)
        else:
            body = b""
        return inode_record(
            self.sums,
            _number(number),
            node,
            size=self.tree.size(number),
            links=self.inodes.links[number],
            blocks=place.blocks,
            body=body,
            extents=extents,
            inline=inline or b"",
            attributes=place.begin if inline is None else 0,
        )

    def _data(self, number: int, path: str, node: Node) -> Iterator[Piece]:
        """An inode's blocks in the order of its place."""
        place = self.tree.place(number, path, node)
        if place.start != place.begin:
            yield attribute_block(self.sums, path or "/", node, place.begin)
        if node.kind == DIRECTORY:
            yield from directory_blocks(self.sums, _number(number), self.tree.names(number))
        elif node.kind == SYMLINK and self.tree.size(number) >= FAST_LINK:
            yield _link(node).ljust(BLOCK_SIZE, b"\0")
        runs = [*self.tree.runs(number, node)]
        for run in runs:
            yield from run.pieces
            if rest := -disk_size(run.pieces) % BLOCK_SIZE:
                yield Hole(rest)
        extents = [*_extents(runs, place.start)]
        yield from extent_tree(self.sums, _number(number), extents, place.tree)[1]

    def _groups(self) -> tuple[bytes, list[Piece]]:
        """Descriptors; block bitmaps and then inode bitmaps. Used are the first blocks and the
        first inodes."""
        first_bitmap = 1 + ceil_div(self.groups * DESCRIPTOR_SIZE, BLOCK_SIZE)
        table = first_bitmap + 2 * self.groups
        folders = [0] * self.groups
        for number in range(len(self.inodes)):
            if self.inodes.kind(number) == DIRECTORY:
                folders[(_number(number) - 1) // self.per_group] += 1
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
