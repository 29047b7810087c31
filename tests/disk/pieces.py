"""A small disk of all kinds of pieces, for what wraps disks."""

from __future__ import annotations

import hashlib
from pathlib import Path

from compos.tree.node import Hole, Piece
from tests.filesystem.trees import blob

__all__ = ["ID", "MIB", "disk_pieces"]

ID = bytes(range(16))
MIB = 1 << 20


def disk_pieces(store: Path) -> list[Piece]:
    """Five megabytes and some: data, holes, slices, an end that fills no block."""
    data = hashlib.shake_256(b"disk").digest(700_001)
    return [
        b"begins here",
        Hole(2 * MIB + 5),
        blob(store, data),
        Hole(MIB),
        b"text " * 200_000,
        Hole(300_001),
        b"end",
    ]
