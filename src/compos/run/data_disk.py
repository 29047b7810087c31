"""The disk for the data partition of a system (`disk:`) that is booted without one of its own.

Reads the disks that the user names; may touch: the state directory.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from compos.config.disk_keys import wants_boot_disk
from compos.config.model import Config
from compos.disk.disk_file import open_disk
from compos.disk.gpt import guid_partition_table
from compos.disk.sparse_disks import DamagedDisk
from compos.errors import RunError
from compos.output.place import SECRET
from compos.run.disks import Disk

__all__ = ["with_data_disk"]

NAME = "data.img"
MIB = 1 << 20
SIZE = 4096
"""MiB, of which only what is written takes room."""
SECTOR = 512
GPT = b"EFI PART"


def with_data_disk(config: Config, disks: tuple[Disk, ...], state: Path) -> tuple[Disk, ...]:
    """`disks`, and one more where the system has a data partition that belongs on the disk that it
    is booted from: on that of `state`, which is made if need be. A disk of the user's that is
    partitioned takes its place. Raises `RunError`."""
    if not wants_boot_disk(config) or any(_is_partitioned(one) for one in disks):
        return disks
    path = state / NAME
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
    except OSError as error:
        raise RunError(
            "data-disk",
            f"the disk for data cannot be made: {error.strerror}",
            place=str(path),
        ) from error
    return (*disks, Disk(path, format="raw"))


def _is_partitioned(disk: Disk) -> bool:
    with suppress(OSError, DamagedDisk), open_disk(disk.path) as found:
        return found.disk.read(SECTOR, len(GPT)) == GPT
    return False


def _make(path: Path) -> None:
    """An empty table of partitions: what has no table is nobody's to write to."""
    head, tail = guid_partition_table((), SIZE * MIB // SECTOR, uuid4())
    partial = path.with_name(f".{NAME}.new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, SECRET)
    try:
        os.pwrite(descriptor, head, 0)
        os.pwrite(descriptor, tail, SIZE * MIB - len(tail))
    finally:
        os.close(descriptor)
    partial.replace(path)
