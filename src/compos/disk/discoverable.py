"""Partitions that other programs recognise by their types and ids. Pure.

Source: UAPI group, "Discoverable Partitions Specification" (types by architecture, "Partition
Flags", and the ids of verified roots). `systemd-id128 show` lists the same types.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

__all__ = ["READ_ONLY", "ROOTS", "RootTypes", "verified_ids"]

READ_ONLY = 1 << 60
"""Attribute: whoever mounts it must not write."""


class RootTypes(NamedTuple):
    """Types of partitions: a root of one architecture, and the hash tree over it."""

    data: UUID
    verity: UUID


ROOTS = {
    "amd64": RootTypes(
        UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"), UUID("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5")
    ),
    "arm64": RootTypes(
        UUID("b921b045-1df0-41c3-af44-4c6f280d3fae"), UUID("df3300ce-d69f-4c92-978c-9bfb0f38d820")
    ),
    "riscv64": RootTypes(
        UUID("72ec70a6-cf74-40e6-bd49-4bda08e8f224"), UUID("b6ed5582-440b-4209-b8da-5ff7c419ea3d")
    ),
}


def verified_ids(root_hash: bytes) -> tuple[UUID, UUID]:
    """The ids of the partitions of a verified root and of its tree: the halves of its root hash (32
    bytes)."""
    return UUID(bytes=root_hash[:16]), UUID(bytes=root_hash[-16:])
