"""The root as a file system of its own: EROFS or squashfs, for a partition, a disk or a file on a CD.

May touch: the store (`derived/filesystem`).
"""

from __future__ import annotations

from typing import NamedTuple

from compos import progress
from compos.filesystem.erofs import erofs_pieces
from compos.output.job import Job, identity
from compos.tree.contents import piece_size
from compos.tree.node import Piece

__all__ = ["RootFilesystem", "root_filesystem"]

VERSION = 1

EROFS_UUID = 1024 + 48
"""Where an EROFS has its UUID: its superblock begins at 1024."""


class RootFilesystem(NamedTuple):
    """A file system image as pieces; the bytes `mark` stand at `mark_at` in it and in no other system's."""

    kind: str
    pieces: tuple[Piece, ...]
    mark_at: int
    mark: bytes

    @property
    def size(self) -> int:
        """Length in bytes, a multiple of 4096."""
        return sum(map(piece_size, self.pieces))


def root_filesystem(job: Job, kind: str) -> RootFilesystem:
    """The system's root, without what is below `boot/`, as `kind` (erofs, squashfs)."""
    nodes = tuple((path, node) for path, node, _ in job.system.root.nodes)
    uuid = identity(f"root {kind}", nodes).bytes
    with progress.task(f"root as {kind}"):
        return RootFilesystem(kind, tuple(erofs_pieces(nodes, uuid=uuid)), EROFS_UUID, uuid)
