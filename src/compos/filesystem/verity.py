"""dm-verity: a hash tree over the blocks of a file system, with which Linux checks each block as it
reads it. Pure.

The tree follows the file system: a superblock, so that veritysetup finds its parameters, then the
levels, the topmost first. Whoever holds the root hash can trust every block.

Source: Linux, Documentation/admin-guide/device-mapper/verity.rst; cryptsetup wiki, "DM-Verity"
(superblock, "hash tree" and hash format 1: the salt stands in front of the block).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import NamedTuple

from compos.arithmetic import ceil_div

__all__ = ["BLOCK", "Verity", "hash_tree"]

BLOCK = 4096
"""Bytes of a block of data, and of one of hashes."""
DIGEST = 32
PER_BLOCK = BLOCK // DIGEST

MARK = 32
"""Bytes of the superblock up to the end of its UUID."""

# The superblock. Offset, size, field:
#     0    8  signature
#     8    4  version
#    12    4  hash type: 1, the salt in front
#    16   16  UUID
#    32   32  algorithm
#    64    4  size of a block of data
#    68    4  size of a block of hashes
#    72    8  blocks of data
#    80    2  bytes of salt
#    88  256  salt
_SUPERBLOCK = struct.Struct("<8sII16s32sIIQH6x256s168x")


class Verity(NamedTuple):
    """A hash tree: `data` follows `blocks` blocks of a file system, and `correction`, if there is
    any, follows the tree."""

    data: bytes
    blocks: int
    salt: bytes
    correction: bytes = b""

    @property
    def root(self) -> bytes:
        """The root hash: that of the topmost level, a single block behind the superblock."""
        return hashlib.sha256(self.salt + self.data[BLOCK : 2 * BLOCK]).digest()

    @property
    def whole(self) -> bytes:
        """The tree with what corrects errors."""
        return self.data + self.correction

    @property
    def corrected(self) -> int:
        """How many blocks can be corrected: the file system's, and the tree's without its
        superblock, which only veritysetup reads."""
        return self.blocks + len(self.data) // BLOCK - 1

    @property
    def mark(self) -> bytes:
        """The first 32 bytes of the superblock, which end with the UUID."""
        return self.data[:MARK]

    @property
    def start(self) -> int:
        """The first block of hashes, counted from the file system's beginning: behind the
        superblock."""
        return self.blocks + 1


def hash_tree(chunks: Iterable[bytes], *, salt: bytes, uuid: bytes) -> Verity:
    """The tree over a file system whose contents are `chunks`, together a multiple of 4096 bytes
    and more than that; `salt` has up to 256 bytes. Raises `ValueError`."""
    salted = hashlib.sha256(salt)

    def hashed(block: bytes | memoryview) -> bytes:
        hasher = salted.copy()
        hasher.update(block)
        return hasher.digest()

    digests = bytearray()
    rest = b""
    for chunk in chunks:
        view = memoryview(rest + chunk if rest else chunk)
        whole = len(view) - len(view) % BLOCK
        for at in range(0, whole, BLOCK):
            digests += hashed(view[at : at + BLOCK])
        rest = bytes(view[whole:])
    blocks = len(digests) // DIGEST
    if rest or blocks < 2:
        # A single block would have no tree, and its own hash as the root.
        raise ValueError("not at least two whole blocks")
    levels = []
    while True:
        level = bytes(digests).ljust(ceil_div(len(digests), BLOCK) * BLOCK, b"\0")
        levels.append(level)
        if len(level) <= BLOCK:
            break
        digests = bytearray()
        for at in range(0, len(level), BLOCK):
            digests += hashed(level[at : at + BLOCK])
    superblock = _SUPERBLOCK.pack(
        b"verity\0\0", 1, 1, uuid, b"sha256", BLOCK, BLOCK, blocks, len(salt), salt
    )
    tree = superblock.ljust(BLOCK, b"\0") + b"".join(reversed(levels))
    return Verity(tree, blocks, salt)
