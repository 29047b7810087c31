"""ext4's records: superblock, group descriptors, inodes, extents, directory blocks, attributes, the
journal's head. Pure.

Source: Linux, Documentation/filesystems/ext4 (cited by its chapters), with metadata checksums
("Checksums").
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from compos.arithmetic import align_up, ceil_div
from compos.errors import OutputError
from compos.filesystem.crc32c import crc32c
from compos.filesystem.inodes import PREFIXES, split_name, st_mode
from compos.tree.node import EPOCH, Node

__all__ = [
    "BLOCK_SIZE",
    "DESCRIPTOR_SIZE",
    "INODE_SIZE",
    "MAX_LINKS",
    "Checksums",
    "Extent",
    "Shape",
    "attribute_block",
    "attributes_inline",
    "descriptor",
    "directory_blocks",
    "extent_tree",
    "inode_record",
    "journal_head",
    "superblock",
    "tree_blocks",
]

BLOCK_SIZE = 4096
INODE_SIZE = 256
DESCRIPTOR_SIZE = 64
EXTRA = 32
"""Of the fields behind the first 128 bytes of an inode."""
INLINE_ROOM = INODE_SIZE - 128 - EXTRA

EXTENTS_FLAG, HUGE_FILE_FLAG = 0x80000, 0x40000

COMPAT_JOURNAL, COMPAT_XATTR, COMPAT_SPARSE_SUPER2 = 0x4, 0x8, 0x200
INCOMPAT = 0x2 | 0x40 | 0x80 | 0x200
"""filetype, extents, 64bit, flex_bg."""
RO_COMPAT = 0x2 | 0x8 | 0x20 | 0x40 | 0x400
"""large_file, huge_file, dir_nlink, extra_isize, metadata_csum."""

# "Extent Tree", ext4_extent_header. Offset, size, field:
#     0    2  magic
#     2    2  valid entries
#     4    2  room for entries
#     6    2  depth, 0 in leaves
#     8    4  generation
_EXTENT_HEADER = struct.Struct("<HHHHI")
# "Extent Tree", ext4_extent. Offset, size, field:
#     0    4  first logical block
#     4    2  length
#     6    2  physical block, high
#     8    4  physical block, low
_EXTENT = struct.Struct("<IHHI")
# "Extent Tree", ext4_extent_idx. Offset, size, field:
#     0    4  first logical block
#     4    4  block of the next level, low
#     8    2  the same, high
#    10    2  unused
_INDEX = struct.Struct("<IIHH")
EXTENT_MAGIC = 0xF30A
BLOCKS_PER_GROUP = 32768
IN_INODE, IN_BLOCK = 4, (BLOCK_SIZE - 16) // 12

# "Extended Attributes", ext4_xattr_entry; the name follows. Offset, size, field:
#     0    1  name's length
#     1    1  namespace
#     2    2  value's offset
#     4    4  inode of the value, 0
#     8    4  value's size
#    12    4  hash
_XATTR_ENTRY = struct.Struct("<BBHIII")
XATTR_MAGIC = 0xEA020000

MAX_LINKS = 65000
"""EXT4_LINK_MAX; a folder that has more has 1 ("dir_nlink"), a file cannot."""

FIRST_SECOND, LAST_SECOND = -(1 << 31), (3 << 32) + (1 << 31) - 1
"""Of times ("Inode Timestamps"): 1901 to 2446."""


class Shape(NamedTuple):
    """A file system's numbers."""

    blocks: int
    groups: int
    inodes_per_group: int
    free_blocks: int
    free_inodes: int
    uuid: bytes
    label: str
    journal: bytes
    """The journal's inode's 60 bytes of map and its size, for the superblock's copy; empty without
    one."""


class Extent(NamedTuple):
    """Blocks in one run: `length` from `physical` on are the file's from `logical` on."""

    logical: int
    length: int
    physical: int


class Checksums:
    """Metadata checksums of one file system: all begin with its UUID."""

    def __init__(self, uuid: bytes) -> None:
        self.seed = crc32c(uuid)

    def inode(self, number: int) -> int:
        """What an inode's own records begin with."""
        return crc32c(struct.pack("<II", number, 0), self.seed)

    def bitmap(self, data: bytes) -> int:
        """Of a bitmap."""
        return crc32c(data, self.seed)


def superblock(shape: Shape, seconds: int = EPOCH // 10**9) -> bytes:
    """The 1024 bytes at offset 1024 ("Super Block")."""
    # Offset, size, field ("Super Block"); what is not named is zero:
    #     0x0    4  inodes                           0x5c   4  compatible features
    #     0x4    4  blocks, low                      0x60   4  incompatible features
    #     0xc    4  free blocks, low                 0x64   4  read-only compatible features
    #     0x10   4  free inodes                      0x68  16  UUID
    #     0x18   4  block size, 1024 << n            0x78  16  label
    #     0x1c   4  cluster size, 1024 << n          0xe0   4  journal's inode
    #     0x20   4  blocks per group                 0xec  16  hash seed
    #     0x24   4  clusters per group               0xfc   1  hash version
    #     0x28   4  inodes per group                 0xfd   1  journal's copy is valid
    #     0x30   4  write time                       0xfe   2  group descriptor size
    #     0x34   2  mounts since fsck                0x100  4  mount options
    #     0x36   2  mounts until fsck                0x108  4  creation time
    #     0x38   2  magic, 0xef53                    0x10c 68  journal's map and size
    #     0x3a   2  state, 1 is clean                0x150  4  blocks, high
    #     0x3c   2  behaviour on errors              0x158  4  free blocks, high
    #     0x40   4  time of last fsck                0x15c  4  extra inode size: least, wanted
    #     0x4c   4  revision, 1                      0x160  4  flags, signed hash
    #     0x54   4  first inode not reserved         0x174  1  groups per flex_bg, 1 << n
    #     0x58   2  inode size                       0x175  1  checksum type, 1 is CRC-32C
    #                                                0x3fc  4  checksum
    data = bytearray(1024)

    def put(at: int, form: str, *values: object) -> None:
        struct.pack_into(f"<{form}", data, at, *values)

    put(
        0,
        "IIIII",
        shape.groups * shape.inodes_per_group,
        shape.blocks & 0xFFFFFFFF,
        0,
        shape.free_blocks & 0xFFFFFFFF,
        shape.free_inodes,
    )
    put(0x14, "IIIIII", 0, 2, 2, BLOCKS_PER_GROUP, BLOCKS_PER_GROUP, shape.inodes_per_group)
    # Mounted never, written at EPOCH; magic, clean, go on after errors.
    put(0x2C, "IIHHHHHH", 0, seconds, 0, 0xFFFF, 0xEF53, 1, 1, 0)
    put(0x40, "IIIIHH", seconds, 0, 0, 1, 0, 0)
    # First inode that is not reserved, an inode's size, features.
    compat = COMPAT_XATTR | COMPAT_SPARSE_SUPER2 | (COMPAT_JOURNAL if shape.journal else 0)
    put(0x54, "IHHIII", 11, INODE_SIZE, 0, compat, INCOMPAT, RO_COMPAT)
    data[0x68:0x78] = shape.uuid
    data[0x78:0x88] = shape.label.encode()[:16].ljust(16, b"\0")
    if shape.journal:
        put(0xE0, "I", 8)
        put(0xFD, "B", 1)
        # The journal inode's map and size, in case that inode is lost.
        data[0x10C : 0x10C + 60] = shape.journal[:60]
        put(0x10C + 60, "II", 0, int.from_bytes(shape.journal[60:], "little"))
    data[0xEC:0xFC] = shape.uuid
    put(0xFC, "B", 1)
    put(0xFE, "H", DESCRIPTOR_SIZE)
    put(0x100, "III", 0x000C, 0, seconds)
    put(0x150, "III", shape.blocks >> 32, 0, shape.free_blocks >> 32)
    put(0x15C, "HHI", EXTRA, EXTRA, 1)
    # All groups are one flexible group; checksums are CRC-32C.
    put(0x174, "BB", max(shape.groups - 1, 1).bit_length(), 1)
    struct.pack_into("<I", data, 1020, crc32c(bytes(data[:1020])))
    return bytes(data)


def descriptor(
    sums: Checksums,
    group: int,
    places: tuple[int, int, int],
    counts: tuple[int, int, int, int],
    flags: int,
    bitmaps: tuple[int, int],
) -> bytes:
    """A group ("Block Group Descriptors").

    Places of block bitmap, inode bitmap, inode table; counts of free blocks, free inodes,
    directories and unused inodes; flags; the bitmaps' checksums.
    """
    # Offset, size, field ("Block Group Descriptors"); the high halves follow from 0x20 on:
    #     0x0  4  block bitmap's block     0x20  4     0x14  4  exclusion bitmap, none   0x34  4
    #     0x4  4  inode bitmap's block     0x24  4     0x18  2  block bitmap's CRC-32C   0x38  2
    #     0x8  4  inode table's block      0x28  4     0x1a  2  inode bitmap's CRC-32C   0x3a  2
    #     0xc  2  free blocks              0x2c  2     0x1c  2  unused inodes            0x32  2
    #     0xe  2  free inodes              0x2e  2     0x1e  2  checksum, low 16 bits
    #     0x10 2  directories              0x30  2     0x3c  4  reserved
    #     0x12 2  flags
    low = [place & 0xFFFFFFFF for place in places]
    high = [place >> 32 for place in places]
    blocks, inodes, folders, unused = counts
    data = struct.pack(
        "<IIIHHHHIHHHHIIIHHHHIHHI",
        *low, blocks & 0xFFFF, inodes & 0xFFFF, folders & 0xFFFF, flags, 0, bitmaps[0] & 0xFFFF,
        bitmaps[1] & 0xFFFF,
        unused & 0xFFFF, 0, *high, blocks >> 16, inodes >> 16, folders >> 16, unused >> 16, 0,
        bitmaps[0] >> 16,
        bitmaps[1] >> 16, 0,
    )  # fmt: skip
    checksum = crc32c(data, crc32c(struct.pack("<I", group), sums.seed)) & 0xFFFF
    return data[:0x1E] + struct.pack("<H", checksum) + data[0x20:]


def inode_record(
    sums: Checksums,
    number: int,
    node: Node,
    *,
    size: int,
    links: int,
    blocks: int,
    body: bytes,
    extents: bool,
    inline: bytes = b"",
    attributes: int = 0,
) -> bytes:
    """An inode ("Inode Table"): `blocks` of 4096 bytes, `body` its map's 60 bytes, `attributes` the
    block of its attributes."""
    # Offset, size, field ("Inode Table"):
    #     0x0   2  mode                  0x28  60  map, or a short link's target
    #     0x2   2  uid, low              0x64   4  generation
    #     0x4   4  size, low             0x68   4  attribute block, low
    #     0x8   4  access time           0x6c   4  size, high
    #     0xc   4  change time           0x74   2  sectors, high
    #     0x10  4  modification time     0x76   2  attribute block, high
    #     0x14  4  deletion time         0x78   4  uid, gid, high
    #     0x18  2  gid, low              0x7c   2  checksum, low
    #     0x1a  2  links                 0x80   2  extra size
    #     0x1c  4  sectors, low          0x82   2  checksum, high
    #     0x20  4  flags                 0x84  16  more bits of change, modification, access time;
    #     0x24  4  version                         creation time, and its more bits (0x94)
    time, extra = _time(node.mtime)
    sectors = blocks * (BLOCK_SIZE // 512)
    flags = EXTENTS_FLAG if extents else 0
    head = struct.pack(
        "<HHIIIIIHHIII60sIIIIHHHHHH",
        st_mode(node), node.uid & 0xFFFF, size & 0xFFFFFFFF, time, time, time, 0,
        node.gid & 0xFFFF,
        links if links <= MAX_LINKS else 1, sectors & 0xFFFFFFFF, flags, 0, body, 0,
        attributes & 0xFFFFFFFF, size >> 32, 0,
        sectors >> 32, attributes >> 32, node.uid >> 16, node.gid >> 16, 0, 0,
    )  # fmt: skip
    tail = struct.pack("<HHIIIIIII", EXTRA, 0, extra, extra, extra, time, extra, 0, 0)
    data = (head + tail + inline).ljust(INODE_SIZE, b"\0")
    checksum = crc32c(data, sums.inode(number))
    return (
        data[:0x7C]
        + struct.pack("<H", checksum & 0xFFFF)
        + data[0x7E:0x82]
        + struct.pack("<H", checksum >> 16)
        + data[0x84:]
    )


def _time(mtime: int) -> tuple[int, int]:
    """Seconds, and nanoseconds with two more bits of seconds; what is before or after becomes the
    first or last second."""
    seconds, nanoseconds = divmod(min(max(mtime, FIRST_SECOND * 10**9), LAST_SECOND * 10**9), 10**9)
    low = (seconds + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
    return low & 0xFFFFFFFF, nanoseconds << 2 | (seconds - low) >> 32 & 3


def tree_blocks(count: int) -> int:
    """Blocks that the extent tree of `count` extents has outside of the inode."""
    blocks = 0
    while count > IN_INODE:
        count = ceil_div(count, IN_BLOCK)
        blocks += count
    return blocks


def extent_tree(
    sums: Checksums, number: int, extents: Sequence[Extent], at: int
) -> tuple[bytes, list[bytes]]:
    """The inode's 60 bytes, and the tree's blocks, which will stand from block `at` on."""
    blocks: list[bytes] = []
    level = [
        (
            one.logical,
            _EXTENT.pack(one.logical, one.length, one.physical >> 32, one.physical & 0xFFFFFFFF),
        )
        for one in extents
    ]
    depth = 0
    while len(level) > IN_INODE:
        above = []
        for start in range(0, len(level), IN_BLOCK):
            part = level[start : start + IN_BLOCK]
            body = _EXTENT_HEADER.pack(EXTENT_MAGIC, len(part), IN_BLOCK, depth, 0) + b"".join(
                entry for _, entry in part
            )
            body = body.ljust(BLOCK_SIZE - 4, b"\0")
            place = at + len(blocks)
            blocks.append(body + struct.pack("<I", crc32c(body, sums.inode(number))))
            above.append((part[0][0], _INDEX.pack(part[0][0], place & 0xFFFFFFFF, place >> 32, 0)))
        level = above
        depth += 1
    root = _EXTENT_HEADER.pack(EXTENT_MAGIC, len(level), IN_INODE, depth, 0) + b"".join(
        entry for _, entry in level
    )
    return root.ljust(60, b"\0"), blocks


def directory_blocks(
    sums: Checksums, number: int, entries: Sequence[tuple[bytes, int, int]]
) -> list[bytes]:
    """A directory's blocks ("Linear Directories"); entries are (name, inode, type)."""
    blocks = []
    room = BLOCK_SIZE - 12
    for group in _grouped(entries, room):
        data = bytearray(BLOCK_SIZE)
        at = 0
        for index, (name, inode, kind) in enumerate(group):
            length = _entry_size(name) if index + 1 < len(group) else room - at
            struct.pack_into("<IHBB", data, at, inode, length, len(name), kind)
            data[at + 8 : at + 8 + len(name)] = name
            at += length
        # The tail looks like an entry of no file, so that older programs pass over the checksum.
        struct.pack_into(
            "<IHBBI", data, room, 0, 12, 0, 0xDE, crc32c(bytes(data[:room]), sums.inode(number))
        )
        blocks.append(bytes(data))
    return blocks


def _grouped(
    entries: Sequence[tuple[bytes, int, int]], room: int
) -> Iterator[list[tuple[bytes, int, int]]]:
    group: list[tuple[bytes, int, int]] = []
    used = 0
    for entry in entries:
        size = _entry_size(entry[0])
        if used + size > room:
            yield group
            group, used = [], 0
        group.append(entry)
        used += size
    yield group


def _entry_size(name: bytes) -> int:
    return 8 + align_up(len(name), 4)


def attributes_inline(path: str, node: Node) -> bytes | None:
    """The attributes as they stand behind an inode, or None when they need a block."""
    if not node.xattrs:
        return b""
    entries, values, room = _attributes(path, node, INLINE_ROOM - 4, 0)
    if room < 0:
        return None
    return struct.pack("<I", XATTR_MAGIC) + entries + bytes(room) + values


def attribute_block(sums: Checksums, path: str, node: Node, place: int) -> bytes:
    """The attributes in a block of their own at block `place`. Raises `OutputError`
    (`xattr-too-large`)."""
    entries, values, room = _attributes(path, node, BLOCK_SIZE - 32, 32)
    if room < 0:
        raise OutputError(
            "xattr-too-large",
            f"the extended attributes need {BLOCK_SIZE - room:,} bytes; the maximum is 4,096",
            place=path,
        )
    header = struct.pack("<IIII16s", XATTR_MAGIC, 1, 1, _block_hash(entries), b"")
    blank = header + entries + bytes(room) + values
    digest = crc32c(blank, crc32c(struct.pack("<Q", place), sums.seed))
    return blank[:0x10] + struct.pack("<I", digest) + blank[0x14:]


def _attributes(path: str, node: Node, size: int, base: int) -> tuple[bytes, bytes, int]:
    """Entries with the zero behind them, values, and the bytes between; `base` is what a value's
    offset counts besides."""
    found = []
    for name, value in node.xattrs:
        split = split_name(name, PREFIXES)
        if split is None:
            raise OutputError(
                "xattr-unknown",
                f"ext4 does not support the extended attribute {name} here",
                place=path,
            )
        found.append((*split, value))
    found.sort(key=lambda one: (one[0], len(one[1]), one[1]))
    room = (
        size
        - 4
        - sum(16 + align_up(len(one), 4) + align_up(len(value), 4) for _, one, value in found)
    )
    if room < 0:
        return b"", b"", room
    entries = values = b""
    for index, name_bytes, value in found:
        padded = value + bytes(-len(value) % 4)
        values = padded + values
        offset = base + size - len(values) if value else 0
        entry = (
            _XATTR_ENTRY.pack(
                len(name_bytes), index, offset, 0, len(value), _hash(name_bytes, padded)
            )
            + name_bytes
        )
        entries += entry + bytes(-len(entry) % 4)
    entries += bytes(4)
    return entries, values, room


def _hash(name: bytes, value: bytes) -> int:
    """An entry's hash ("Extended Attributes"); characters are unsigned."""
    result = 0
    for byte in name:
        result = (result << 5 ^ result >> 27 ^ byte) & 0xFFFFFFFF
    for (word,) in struct.iter_unpack("<I", value):
        result = (result << 16 ^ result >> 16 ^ word) & 0xFFFFFFFF
    return result


def _block_hash(entries: bytes) -> int:
    """The hash of all entries' hashes; zero when one is zero."""
    result = at = 0
    while entries[at : at + 4] != bytes(4):
        (length,) = entries[at : at + 1]
        (own,) = struct.unpack_from("<I", entries, at + 12)
        if not own:
            return 0
        result = (result << 16 ^ result >> 16 ^ own) & 0xFFFFFFFF
        at += 16 + align_up(length, 4)
    return result


def journal_head(blocks: int, uuid: bytes) -> bytes:
    """The first block of an empty journal ("Journal (jbd2)", "Super Block"), big-endian."""
    head = struct.pack(">IIIIIIIII", 0xC03B3998, 4, 0, BLOCK_SIZE, blocks, 1, 1, 0, 0)
    head += struct.pack(">III16sI", 0, 0, 0, uuid, 1)
    return head.ljust(BLOCK_SIZE, b"\0")
