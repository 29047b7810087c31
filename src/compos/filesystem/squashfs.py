"""A tree as a squashfs 4.0 image: read-only and compressed, what the root of a running system is mounted from.

May touch: the store's files (reading, through `Contents`), the image that the caller opened (writing).

Source: "Squashfs Binary Format" of squashfs-tools-ng (doc/format.adoc), cited as [SQ]; the order of the tables and the
limits are those that the kernel checks (fs/squashfs). mksquashfs's defaults where there is a choice.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import BinaryIO

from compos.compose.root import EPOCH
from compos.errors import OutputError
from compos.filesystem.squashfs_data import Compression, Compressor, DataWriter, Layout, compressor
from compos.filesystem.squashfs_metadata import (
    XATTR_TABLE,
    Child,
    Ids,
    Inode,
    Metadata,
    Xattrs,
    directory_listing,
    inode_head,
)
from compos.tree.contents import Contents
from compos.tree.node import DIRECTORY, FILE, Node, Piece, directory

__all__ = ["Compression", "write_squashfs"]

MAGIC = 0x73717368
_SUPER = struct.Struct("<IIIIIHHHHHHQQQQQQQQ")
"""[SQ] 3: magic, inodes, time, block size, fragments, compressor, log of the block size, flags, ids, version's major and
minor, root's reference, bytes used, places of the tables of ids, attributes, inodes, directories, fragments, exports."""
_COMPRESSORS: dict[Compression, int] = {"gzip": 1, "xz": 4, "zstd": 6}
_ENDS_PACKED, _DUPLICATES, _EXPORTABLE, _NO_XATTRS = 0x0020, 0x0040, 0x0080, 0x0200
"""[SQ] 3, flags."""
_ABSENT = 0xFFFFFFFFFFFFFFFF
"""[SQ] 3: the place of a table that is not there."""
_ALIGNMENT = 4096
_NOWHERE = Layout()
_BLOCK_SIZES = tuple(1 << bits for bits in range(12, 21))
_BLOCKS_MOST = 1 << 24
"""Of one file: 2 TiB in blocks of 128 KiB, which is as far as the kernel's documentation goes."""
_FRAGMENT = struct.Struct("<QII")
"""[SQ] 7: place, size, unused."""


def write_squashfs(
    entries: Sequence[tuple[str, Node]],
    contents: Contents,
    out: BinaryIO,
    *,
    compression: Compression = "zstd",
    block_size: int = 131072,
) -> int:
    """Write the image of `entries` (sorted, parents first) to `out`, an empty file opened `wb+`; returns its bytes.

    The size is a multiple of 4096. `block_size` is a power of two from 4096 to 1 MiB. Raises `OutputError`:
    `xattr-unknown` for attributes of another namespace than user, trusted and security (the kernel's squashfs has no
    access lists, and leaving one out would open the file to others), `xattr-too-large`, `squashfs-block-size`,
    `squashfs-file-too-large`, `squashfs-link-too-long`, `squashfs-name-too-long`, `squashfs-device-too-large`,
    `squashfs-too-many-ids`; `ImageError` (`store-corrupt`).
    """
    if block_size not in _BLOCK_SIZES:
        raise OutputError(
            "squashfs-block-size",
            f"a squashfs cannot have blocks of {block_size:,} bytes",
            hint="Take a power of two from 4096 to 1048576.",
        )
    tree = _Tree(entries)
    out.write(bytes(_SUPER.size))
    with DataWriter(contents, out, compression, block_size) as data:
        for path, node in tree.inodes:
            if node.kind == FILE:
                _check_size(path, node, block_size)
                data.add(node.content)
    tables = _Tables(out, data.position, compressor(compression, block_size))
    ids, xattrs = Ids(), Xattrs(tables.compress)
    references, inodes, listings = _inodes(tree, data.layouts, ids, xattrs, tables.compress)
    inodes_at = tables.add(inodes.finished())
    listings_at = tables.add(listings.finished())
    fragments = b"".join(_FRAGMENT.pack(start, size, 0) for start, size in data.fragments)
    fragments_at = tables.add_lookup(fragments) if fragments else _ABSENT
    exports_at = tables.add_lookup(struct.pack(f"<{len(references)}Q", *references))
    ids_at = tables.add_lookup(ids.table())
    xattrs_at = _ABSENT
    if xattrs.ids:
        values_at = tables.add(xattrs.values.finished())
        xattrs_at = tables.add_lookup(b"".join(xattrs.ids), XATTR_TABLE.pack(values_at, len(xattrs.ids), 0))
    used = tables.position
    size = used + -used % _ALIGNMENT
    tables.add(bytes(size - used))
    # Equal files that were taken back may have left the file longer than it is.
    out.truncate(size)
    out.seek(0)
    flags = _ENDS_PACKED | _DUPLICATES | _EXPORTABLE | (0 if xattrs.ids else _NO_XATTRS)
    out.write(
        _SUPER.pack(
            MAGIC, len(references), EPOCH // 10**9, block_size, len(data.fragments),
            _COMPRESSORS[compression], block_size.bit_length() - 1, flags, len(ids.values), 4, 0,
            references[0], used, ids_at, xattrs_at, inodes_at, listings_at, fragments_at, exports_at,
        )
    )  # fmt: skip
    return size


class _Tree:
    """The entries as inodes, numbered from 1 in their order, and what each directory holds."""

    def __init__(self, entries: Sequence[tuple[str, Node]]) -> None:
        root = next((node for path, node in entries if not path), directory(0o755, EPOCH))
        self.inodes: list[tuple[str, Node]] = [("", root)]
        """An inode's first path and its node, in the order of numbers."""
        self.links = [2]
        self.folders: dict[str, int] = {"": 1}
        """A directory's number; those above it come before it."""
        self.children: dict[str, list[tuple[str, int]]] = {"": []}
        """A directory's paths and their inodes' numbers."""
        shared: dict[str, int] = {}
        for path, node in entries:
            if not path:
                continue
            number = shared.get(node.inode) if node.inode else None
            parent = path.rpartition("/")[0]
            if number is None:
                self.inodes.append((path, node))
                self.links.append(1)
                number = len(self.inodes)
                if node.inode:
                    shared[node.inode] = number
            else:
                self.links[number - 1] += 1
            self.children[parent].append((path, number))
            if node.kind == DIRECTORY:
                self.folders[path] = number
                self.children[path] = []
                self.links[number - 1] = 2
                self.links[self.folders[parent] - 1] += 1


def _check_size(path: str, node: Node, block_size: int) -> None:
    if node.size > block_size * _BLOCKS_MOST:
        raise OutputError(
            "squashfs-file-too-large",
            f"the file has {node.size:,} bytes; {block_size * _BLOCKS_MOST:,} are the most in a squashfs with blocks of"
            f" {block_size:,}",
            place=path,
            hint="Keep this file on a disk of its own.",
        )


def _inodes(
    tree: _Tree, layouts: dict[tuple[Piece, ...], Layout], ids: Ids, xattrs: Xattrs, compress: Compressor
) -> tuple[list[int], Metadata, Metadata]:
    """References to all inodes in the order of numbers, the inode table and the directory table.

    A directory's inode comes behind those that it lists, since each of them names the other's place: the deepest are
    written first, each one's files together.
    """
    inodes, listings = Metadata(compress), Metadata(compress)
    references = [-1] * len(tree.inodes)

    def described(number: int) -> Inode:
        path, node = tree.inodes[number - 1]
        links = tree.links[number - 1]
        return Inode(path, node, number, links, ids.index(node.uid), ids.index(node.gid), xattrs.index(path, node))

    for folder, folder_number in reversed(tree.folders.items()):
        children: list[Child] = []
        prefix = len(folder) + 1 if folder else 0
        for path, number in tree.children[folder]:
            node = tree.inodes[number - 1][1]
            if references[number - 1] < 0:
                layout = layouts[node.content] if node.kind == FILE else _NOWHERE
                references[number - 1] = inodes.add(inode_head(described(number), layout))
                inodes.add(layout.sizes)
            name = path[prefix:].encode("utf-8", "surrogateescape")
            children.append(Child(name, node.kind, number, references[number - 1]))
        children.sort()
        parent = tree.folders[folder.rpartition("/")[0]]
        references[folder_number - 1] = inodes.add(
            directory_listing(listings, described(folder_number), children, parent)
        )
    return references, inodes, listings


class _Tables:
    """The end of the image: tables one behind the other."""

    def __init__(self, out: BinaryIO, position: int, compress: Compressor) -> None:
        self.position = out.seek(position)
        self.compress = compress
        self._out = out

    def add(self, data: bytes) -> int:
        """Write `data`; returns its place."""
        place = self.position
        self.position += self._out.write(data)
        return place

    def add_lookup(self, data: bytes, head: bytes = b"") -> int:
        """Write `data` in metadata blocks, then `head` and the blocks' places; returns the place of those. [SQ] 2.3."""
        blocks = Metadata(self.compress)
        blocks.add(data)
        first = self.add(blocks.finished())
        places = [first + start for start in blocks.starts[:-1]]
        return self.add(head + struct.pack(f"<{len(places)}Q", *places))
