"""The root as a file system of its own: EROFS, squashfs or ext4, for a partition, a disk or a file
on a CD.

May touch: the store (`derived/filesystem`).
"""

from __future__ import annotations

from typing import NamedTuple

from compos import progress
from compos.filesystem.compress import block_compressor_identity
from compos.output.job import Job, identity
from compos.output.kept import kept
from compos.tree.contents import piece_size
from compos.tree.node import Piece

__all__ = ["RootFilesystem", "root_filesystem"]

VERSION = 1

EXT4_UUID = 1024 + 0x68
EROFS_UUID = 1024 + 48
"""Where they have their UUIDs: both superblocks begin at 1024."""


class RootFilesystem(NamedTuple):
    """A file system image as pieces; the bytes `mark` stand at `mark_at` in it and in no other
    system's."""

    kind: str
    pieces: tuple[Piece, ...]
    mark_at: int
    mark: bytes

    @property
    def size(self) -> int:
        """Length in bytes, a multiple of 4096."""
        return sum(map(piece_size, self.pieces))


def root_filesystem(job: Job, kind: str) -> RootFilesystem:
    """The system's root, without what is below `boot/`, as `kind`: erofs, erofs-zstd, squashfs or
    ext4."""
    nodes = tuple((path, node) for path, node, _ in job.system.root.nodes)
    uuid = identity(f"root {kind}", nodes).bytes
    # The writers are imported where they are needed: most media have an initrd.
    with progress.task(f"root as {kind}"):
        if kind == "erofs":
            from compos.filesystem.erofs import erofs_pieces

            return RootFilesystem(kind, tuple(erofs_pieces(nodes, uuid=uuid)), EROFS_UUID, uuid)
        if kind == "ext4":
            from compos.filesystem.ext4 import ext4_pieces

            return RootFilesystem(
                kind, tuple(ext4_pieces(nodes, uuid=uuid, label="root")), EXT4_UUID, uuid
            )
        if kind == "erofs-zstd":
            from compos.filesystem.erofs import write_erofs

            image = kept(
                job,
                f"erofs v{VERSION} {block_compressor_identity('zstd')}",
                nodes,
                lambda contents, out: write_erofs(nodes, contents, out, uuid=uuid),
            )
            return RootFilesystem("erofs", (image,), EROFS_UUID, uuid)
        from compos.filesystem.squashfs import SquashfsCompression, write_squashfs

        compression: SquashfsCompression = "gzip" if job.request.compression == "gzip" else "zstd"
        image = kept(
            job,
            f"squashfs v{VERSION} {block_compressor_identity(compression)}",
            nodes,
            lambda contents, out: write_squashfs(nodes, contents, out, compression=compression),
        )
    # A squashfs has no UUID: its mark stands in a block behind it, which nobody reads as part of
    # it.
    return RootFilesystem(kind, (image, uuid.ljust(4096, b"\0")), image.size, uuid)
