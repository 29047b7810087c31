"""File systems that a power cut has torn beyond what a boot can mend, on disks that write sectors
of 512 bytes one by one: their makers count on blocks of 4096 (docs/power-cuts.md#limits)."""

from __future__ import annotations

from pathlib import Path

from tests.boot.power.host import attached, first_partition, mounted, run, trees
from tests.boot.power.recording import SECTOR
from tests.records import crc32c

__all__ = ["SUPERBLOCKS", "is_torn"]

SUPERBLOCKS, SUPERBLOCK = (64 << 10, 64 << 20), 4096
"""Places of Btrfs's superblock and its copy; its size (fs/btrfs/disk-io.h)."""


def is_torn(kind: str, image: Path, kept: dict[str, str]) -> bool:
    """Whether that is what `image` has; what is in it may change.

    Btrfs: neither superblock fits its checksum. XFS: a block whose first sector is newer than what
    the log has of it is left alone when the log is replayed, and does not fit its checksum, so that
    the kernel refuses to mount; `xfs_repair` without the log finds every file.
    """
    if kind == "btrfs":
        return not any(map(is_whole, superblocks(image)))
    if kind != "xfs":
        return False
    point = image.with_suffix(".torn")
    with attached(image) as disk:
        refused = run("mount", "-o", "X-mount.mkdir", f"{disk}p1", point)
        if refused.status == 0:
            run("umount", point)
            return False
        assert run("xfs_repair", "-L", f"{disk}p1").status == 0
        with mounted(f"{disk}p1", point):
            found = trees(point)
    return {name: found.get(name) for name in kept} == kept


def superblocks(image: Path) -> list[bytes]:
    place = first_partition(image)
    assert place
    with image.open("rb") as stream:
        found = []
        for offset in SUPERBLOCKS:
            stream.seek(place[0] * SECTOR + offset)
            found.append(stream.read(SUPERBLOCK))
    return found


def is_whole(superblock: bytes) -> bool:
    """Its checksum, in the first four bytes, is of what follows the field of 32."""
    return int.from_bytes(superblock[:4], "little") == crc32c(superblock[32:]) ^ 0xFFFFFFFF
