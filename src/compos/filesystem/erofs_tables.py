"""The structures of an EROFS image, for its writer and its reader. Pure.

Source: Linux, Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h.
"""

from __future__ import annotations

import struct

__all__ = [
    "ACLS",
    "BIG_CLUSTERS",
    "BLOCK_BITS",
    "BLOCK_SIZE",
    "CHECKSUM",
    "CHUNKED",
    "CHUNKS",
    "COMPRESSED",
    "CONFIGURED",
    "COUNT",
    "DIRENT",
    "HEAD",
    "INLINE",
    "INODE",
    "MAGIC",
    "MAP_HEADER",
    "MTIME",
    "NOT_HEAD",
    "NULL_BLOCK",
    "PLAIN",
    "SHORT_INODE",
    "SLOT",
    "SUPER",
    "SUPER_AT",
    "TYPE_HEAD",
    "TYPE_NOT_HEAD",
    "TYPE_PLAIN",
    "XATTR_ENTRY",
    "XATTR_HEADER",
    "ZERO_PADDING",
    "ZSTD",
    "ZSTD_CONFIG",
]

BLOCK_SIZE = 4096
BLOCK_BITS = 12
MAGIC = 0xE0F5E1E2
SUPER_AT = 1024

# erofs_super_block, at offset 1024 of the image. Offset, size, field:
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
SUPER = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQ24s")
CHECKSUM, MTIME = 0x1, 0x2
"""feature_compat."""
ZERO_PADDING, CONFIGURED, CHUNKED = 0x1, 0x2, 0x4
"""feature_incompat; CONFIGURED also allows clusters of several blocks."""

# erofs_inode_extended. Offset, size, field:
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
INODE = struct.Struct("<HHHHQIIIIQII16s")
# erofs_inode_compact. Offset, size, field:
#     0    2  format
#     2    2  xattr count
#     4    2  mode
#     6    2  links
#     8    4  size
#    12    4  reserved
#    16    4  first block, device or chunk format
#    20    4  inode number
#    24    2  uid
#    26    2  gid
#    28    4  reserved
SHORT_INODE = struct.Struct("<HHHHIIIIHHI")
PLAIN, COMPRESSED, INLINE, CHUNKS = 0, 1, 2, 4
"""Data layouts; bit 0 of the format says that the inode is an extended one."""
SLOT = 32
"""An inode's number is its offset in slots."""

# erofs_dirent. Offset, size, field:
#     0    8  nid
#     8    2  offset of the name
#    10    1  type
#    11    1  reserved
DIRENT = struct.Struct("<QHBB")
XATTR_HEADER = struct.Struct("<IB7s")
XATTR_ENTRY = struct.Struct("<BBH")
"""erofs_xattr_ibody_header (filter, shared ones, reserved) and erofs_xattr_entry (name length,
prefix, value size)."""
ACLS = {"system.posix_acl_access": 2, "system.posix_acl_default": 3}
"""Their names are a prefix each, with nothing behind it."""
ZSTD = 3
ZSTD_CONFIG = struct.Struct("<HBB4s")
"""z_erofs_zstd_cfgs with its length in front: format, window (as a power of two, less 10),
reserved."""
MAP_HEADER = struct.Struct("<IHBB8x")
"""z_erofs_map_header: fragment, advice, algorithm, cluster bits; and the gap behind it."""
BIG_CLUSTERS = 0x2
HEAD = struct.Struct("<HHI")
NOT_HEAD = struct.Struct("<HHHH")
"""z_erofs_lcluster_index: type, offset in the block, then a block address, or the distances to
this and the next head."""
TYPE_PLAIN, TYPE_HEAD, TYPE_NOT_HEAD = 0, 1, 2
COUNT = 1 << 11
"""The distance of the second block says how many blocks the compressed cluster has instead."""

NULL_BLOCK = 0xFFFFFFFF
"""The address of a block in a hole (EROFS_NULL_ADDR)."""
