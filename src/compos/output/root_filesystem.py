"""The root as a file system of its own, for a partition, a disk or a file on a CD: the writers of
the kinds in `output.roots`.

May touch: the store (`EROFS` and `SQUASHFS`, which are compressed). Writers of file systems are
imported where they are needed: most media have an initrd.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, cast
from uuid import UUID

from compos import progress
from compos.filesystem.compress import block_compressor_identity
from compos.image.derived_kinds import DerivedKind
from compos.output.cached import cached_file
from compos.output.job import Job, identity
from compos.output.roots import RootKind
from compos.tree.contents import Contents
from compos.tree.entries import Entries
from compos.tree.node import Piece
from compos.tree.packed import Pieces, total_size

if TYPE_CHECKING:
    from compos.filesystem.verity import Verity

__all__ = ["RootFilesystem", "root_filesystem"]

EXT4_UUID = 1024 + 0x68
EROFS_UUID = 1024 + 48
"""Where they have their UUIDs: both superblocks begin at 1024."""

_Made = tuple[Pieces, int]
"""A file system image, and where in it the mark stands."""


class RootFilesystem(NamedTuple):
    """A file system image as pieces; the bytes `mark` stand at `mark_at` in it and in no other
    system's. `verity` is the hash tree over it."""

    kind: RootKind
    image: Pieces
    mark_at: int
    mark: bytes
    verity: Verity | None = None

    @property
    def pieces(self) -> Pieces:
        """The image with the hash tree behind it, if there is one."""
        return (*self.image, self.verity.whole) if self.verity else self.image

    @property
    def size(self) -> int:
        """Length of `pieces` in bytes, a multiple of 4096."""
        return total_size(self.pieces)


def root_filesystem(job: Job, kind: RootKind) -> RootFilesystem:
    """The system's root, without what is below `boot/`, as the file system `kind`."""
    nodes = job.system.root.entries
    uuid = identity(f"root {kind.name}", nodes)
    with progress.task(f"root as {kind.name}"):
        pieces, mark_at = _WRITERS[kind.name](job, nodes, uuid)
        tree = _hash_tree(job, kind, uuid, pieces) if kind.verity else None
    return RootFilesystem(kind, pieces, mark_at, uuid.bytes, tree)


def _hash_tree(job: Job, kind: RootKind, uuid: UUID, pieces: Pieces) -> Verity:
    """The tree over a file system. It is hashed once, whatever media it is on."""
    from compos.filesystem.verity import BLOCK, Verity, hash_tree

    # The versions of a system that is updated have the same salt: what has not changed has the same
    # hashes, and an update need not bring the whole tree.
    update = job.request.update
    salted = update.compatible.encode() if update else uuid.bytes
    salt = hashlib.sha256(b"salt" + salted).digest()
    name = f"hash tree {uuid}"
    if name not in job.made:
        with Contents(job.store.root) as contents:
            made = hash_tree(contents.chunks(pieces), salt=salt, uuid=uuid.bytes)
            if kind.corrected:
                from compos.filesystem.correction import parity

                # What Linux corrects of the tree begins behind the superblock.
                parts = chain(contents.chunks(pieces), (made.data[BLOCK:],))
                made = made._replace(correction=parity(parts, made.corrected))
        job.made[name] = [made.data, made.correction]
    data, correction = (cast(bytes, one) for one in job.made[name])
    return Verity(data, total_size(pieces) // BLOCK, salt, correction)


def _erofs(job: Job, nodes: Entries, uuid: UUID) -> _Made:
    from compos.filesystem.erofs import erofs_pieces

    return erofs_pieces(nodes, uuid=uuid.bytes), EROFS_UUID


def _erofs_zstd(job: Job, nodes: Entries, uuid: UUID) -> _Made:
    from compos.filesystem.erofs import write_erofs

    image = cached_file(
        job.store,
        DerivedKind.EROFS,
        block_compressor_identity("zstd"),
        nodes,
        lambda contents, out: write_erofs(nodes, contents, out, uuid=uuid.bytes),
        _reads(nodes),
    )
    return (image,), EROFS_UUID


def _ext4(job: Job, nodes: Entries, uuid: UUID) -> _Made:
    from compos.filesystem.ext4 import ext4_pieces

    return ext4_pieces(nodes, uuid=uuid.bytes, label="root"), EXT4_UUID


def _squashfs(job: Job, nodes: Entries, uuid: UUID) -> _Made:
    from compos.filesystem.squashfs import SquashfsCompression, write_squashfs

    compression: SquashfsCompression = "gzip" if job.request.compression == "gzip" else "zstd"
    image = cached_file(
        job.store,
        DerivedKind.SQUASHFS,
        block_compressor_identity(compression),
        nodes,
        lambda contents, out: write_squashfs(nodes, contents, out, compression=compression),
        _reads(nodes),
    )
    # A squashfs has no UUID: its mark stands in a block behind it, which nobody reads as part of
    # it.
    return (image, uuid.bytes.ljust(4096, b"\0")), image.size


def _reads(nodes: Entries) -> Iterator[Piece]:
    """What a file system of `nodes` has of the store."""
    return (piece for _, node in nodes for piece in node.content)


_WRITERS = {
    "erofs": _erofs,
    "erofs-zstd": _erofs_zstd,
    "ext4": _ext4,
    "squashfs": _squashfs,
    "erofs-verity": _erofs,
    "erofs-verity-appended": _erofs,
    "erofs-verity-fec": _erofs,
    "squashfs-verity": _squashfs,
}
