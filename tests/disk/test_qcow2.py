"""QEMU's image, field by field: header, reference counts, both levels of tables."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from pathlib import Path

from compos.disk.qcow2 import qcow2_pieces, write_qcow2
from compos.tree.contents import Contents
from compos.tree.node import Hole, Piece
from tests.records import fields, whole

CLUSTER = 65536
COPIED, COMPRESSED = 1 << 63, 1 << 62

HEADER = {
    "magic": (0, "4s"), "version": (4, "I"), "backing_file_offset": (8, "Q"),
    "backing_file_size": (16, "I"), "cluster_bits": (20, "I"), "size": (24, "Q"),
    "crypt_method": (32, "I"), "l1_size": (36, "I"), "l1_table_offset": (40, "Q"),
    "refcount_table_offset": (48, "Q"), "refcount_table_clusters": (56, "I"),
    "nb_snapshots": (60, "I"), "snapshots_offset": (64, "Q"), "incompatible_features": (72, "Q"),
    "compatible_features": (80, "Q"), "autoclear_features": (88, "Q"), "refcount_order": (96, "I"),
    "header_length": (100, "I"), "compression_type": (104, "B"),
}  # fmt: skip
"""QEMU, docs/interop/qcow2.rst, "Header"."""
SIZE = 600 << 20
L2_COVERS = 8192 * CLUSTER

FIRST, SECOND = (hashlib.shake_256(seed).digest(CLUSTER) for seed in (b"1", b"2"))
DISK: list[Piece] = [FIRST, Hole(L2_COVERS), SECOND, Hole(SIZE - L2_COVERS - 2 * CLUSTER)]
"""Clusters 0 and 8193: one in each of two second-level tables."""

EXPECTED = {
    "magic": b"QFI\xfb", "version": 3, "backing_file_offset": 0, "backing_file_size": 0,
    "cluster_bits": 16, "size": SIZE, "crypt_method": 0, "l1_size": 2,
    "l1_table_offset": 3 * CLUSTER, "refcount_table_offset": CLUSTER, "refcount_table_clusters": 1,
    "nb_snapshots": 0, "snapshots_offset": 0, "incompatible_features": 0, "compatible_features": 0,
    "autoclear_features": 0, "refcount_order": 4, "header_length": 112, "compression_type": 0,
}  # fmt: skip


def at(image: bytes, cluster: int, code: str) -> tuple[int, ...]:
    return struct.unpack_from(f">{code}", image, cluster * CLUSTER)


def test_clusters_as_they_are(tmp_path: Path) -> None:
    image = whole(qcow2_pieces(DISK), tmp_path)
    assert len(image) == 8 * CLUSTER
    assert fields(image, ">", HEADER) == EXPECTED
    assert not any(image[112:CLUSTER])
    # Clusters: header, table of counts, counts, L1, two L2, two of data; each is used once.
    assert at(image, 1, "8192Q") == (2 * CLUSTER, *[0] * 8191)
    assert at(image, 2, "32768H") == (*[1] * 8, *[0] * 32760)
    assert at(image, 3, "8192Q") == (4 * CLUSTER | COPIED, 5 * CLUSTER | COPIED, *[0] * 8190)
    assert at(image, 4, "8192Q") == (6 * CLUSTER | COPIED, *[0] * 8191)
    assert at(image, 5, "8192Q") == (0, 7 * CLUSTER | COPIED, *[0] * 8190)
    assert image[6 * CLUSTER :] == FIRST + SECOND


def test_compressed_clusters(tmp_path: Path) -> None:
    texts = [b"%07d\n" % number * (CLUSTER // 8) for number in range(3)]
    out = io.BytesIO()
    disk: list[Piece] = [*texts, FIRST, Hole(SIZE - 4 * CLUSTER)]
    with Contents(tmp_path) as contents:
        size = write_qcow2(disk, contents, out, compression="zlib")
    image = out.getvalue()
    assert size == len(image)
    assert size % 512 == 0
    found = fields(image, ">", HEADER)
    assert found == EXPECTED
    (l2,) = {place & ~COPIED for place in at(image, 3, "2Q") if place}
    entries = struct.unpack_from(">8192Q", image, l2)
    counts = [1] * (l2 // CLUSTER + 1)
    used = [0] * 64
    # "Cluster mapping", compressed clusters descriptor: with clusters of 64 KiB x is 54.
    for entry, text in zip(entries, texts, strict=False):
        assert entry & COMPRESSED
        assert not entry & COPIED
        offset, sectors = entry & (1 << 54) - 1, entry >> 54 & 0xFF
        end = (offset // 512 + sectors + 1) * 512
        assert zlib.decompressobj(-12).decompress(image[offset:end]) == text
        for cluster in range(offset // CLUSTER, (end - 1) // CLUSTER + 1):
            used[cluster] += 1
    plain = entries[3] & ~COPIED
    assert entries[3] & COPIED
    assert image[plain : plain + CLUSTER] == FIRST
    used[plain // CLUSTER] += 1
    assert not any(entries[4:])
    expected = [*counts, *used[len(counts) :]]
    assert list(at(image, 2, "64H")) == expected


def test_zstd_is_an_incompatible_feature(tmp_path: Path) -> None:
    out = io.BytesIO()
    with Contents(tmp_path) as contents:
        write_qcow2(DISK, contents, out, compression="zstd")
    found = fields(out.getvalue(), ">", HEADER)
    assert found == EXPECTED | {"incompatible_features": 1 << 3, "compression_type": 1}
