"""Superblocks and group descriptors of ext4, EROFS and squashfs, field by field."""

from __future__ import annotations

import io
import stat
import struct
from pathlib import Path
from typing import Any

import pytest

from compos.filesystem.erofs import erofs_pieces, write_erofs
from compos.filesystem.ext4 import ext4_pieces
from compos.filesystem.squashfs import write_squashfs
from compos.tree.contents import Contents
from compos.tree.node import CHARACTER, DIRECTORY, Node, directory, file
from tests.records import crc32c, fields, whole

UUID = bytes(range(16))
SECONDS = 1492533000
MIB = 1 << 20
SIZE = 160 * MIB
"""Two groups of ext4: 32,768 blocks and 8,192."""
NODES = [
    ("", Node(DIRECTORY, 0o755, 3, 4, SECONDS * 10**9 + 5)),
    ("a", directory(0o700, 0)),
    ("a/null", Node(CHARACTER, 0o666, device=(259, 300))),
    ("b", file(b"b" * 5000, 0o644, 0)),
]

EXT4 = {
    "s_inodes_count": (0x0, "I"), "s_blocks_count_lo": (0x4, "I"),
    "s_free_blocks_count_lo": (0xC, "I"), "s_free_inodes_count": (0x10, "I"),
    "s_first_data_block": (0x14, "I"), "s_log_block_size": (0x18, "I"),
    "s_log_cluster_size": (0x1C, "I"), "s_blocks_per_group": (0x20, "I"),
    "s_inodes_per_group": (0x28, "I"), "s_wtime": (0x30, "I"), "s_mnt_count": (0x34, "H"),
    "s_max_mnt_count": (0x36, "H"), "s_magic": (0x38, "H"), "s_state": (0x3A, "H"),
    "s_errors": (0x3C, "H"), "s_lastcheck": (0x40, "I"), "s_rev_level": (0x4C, "I"),
    "s_first_ino": (0x54, "I"), "s_inode_size": (0x58, "H"), "s_feature_compat": (0x5C, "I"),
    "s_feature_incompat": (0x60, "I"), "s_feature_ro_compat": (0x64, "I"), "s_uuid": (0x68, "16s"),
    "s_volume_name": (0x78, "16s"), "s_journal_inum": (0xE0, "I"), "s_hash_seed": (0xEC, "16s"),
    "s_jnl_backup_type": (0xFD, "B"), "s_desc_size": (0xFE, "H"), "s_mkfs_time": (0x108, "I"),
    "s_blocks_count_hi": (0x150, "I"), "s_free_blocks_count_hi": (0x158, "I"),
    "s_min_extra_isize": (0x15C, "H"), "s_want_extra_isize": (0x15E, "H"), "s_flags": (0x160, "I"),
    "s_log_groups_per_flex": (0x174, "B"), "s_checksum_type": (0x175, "B"),
    "s_checksum": (0x3FC, "I"),
}  # fmt: skip
"""Linux, Documentation/filesystems/ext4/super.rst."""
GROUP = {
    "bg_block_bitmap_lo": (0x0, "I"), "bg_inode_bitmap_lo": (0x4, "I"),
    "bg_inode_table_lo": (0x8, "I"), "bg_free_blocks_count_lo": (0xC, "H"),
    "bg_free_inodes_count_lo": (0xE, "H"), "bg_used_dirs_count_lo": (0x10, "H"),
    "bg_flags": (0x12, "H"), "bg_block_bitmap_csum_lo": (0x18, "H"),
    "bg_inode_bitmap_csum_lo": (0x1A, "H"), "bg_itable_unused_lo": (0x1C, "H"),
    "bg_checksum": (0x1E, "H"), "bg_block_bitmap_csum_hi": (0x38, "H"),
    "bg_inode_bitmap_csum_hi": (0x3A, "H"),
}  # fmt: skip
"""group_descr.rst."""
INODE = {
    "i_mode": (0x0, "H"), "i_uid": (0x2, "H"), "i_size_lo": (0x4, "I"), "i_atime": (0x8, "i"),
    "i_mtime": (0x10, "i"), "i_gid": (0x18, "H"), "i_links_count": (0x1A, "H"),
    "i_blocks_lo": (0x1C, "I"), "i_flags": (0x20, "I"), "i_extra_isize": (0x80, "H"),
    "i_mtime_extra": (0x88, "I"),
}  # fmt: skip
"""inodes.rst."""


def ext4(store: Path, **options: Any) -> bytes:
    return whole(ext4_pieces(NODES, uuid=UUID, label="root", **options), store)


@pytest.mark.parametrize("journal", [False, True])
def test_ext4_superblock(tmp_path: Path, *, journal: bool) -> None:
    # An inode for each 65,536 bytes; a block of the table has 16 inodes.
    image = ext4(tmp_path, size=SIZE, journal=journal)
    assert len(image) == SIZE
    record = image[1024:2048]
    found = fields(record, "<", EXT4)
    per_group = found["s_inodes_per_group"]
    assert 1280 <= per_group <= 1296
    # Superblock, descriptors, four bitmaps, two inode tables, the journal that mke2fs would make
    # (4,096 blocks below a GiB), two folders, lost+found, two blocks of the file.
    used = 2 + 4 + 2 * per_group * 256 // 4096 + (4096 if journal else 0) + 3 + 2
    assert found == {
        "s_inodes_count": 2 * per_group, "s_blocks_count_lo": 40_960,
        "s_free_blocks_count_lo": 40_960 - used, "s_free_inodes_count": 2 * per_group - 14,
        "s_first_data_block": 0, "s_log_block_size": 2, "s_log_cluster_size": 2,
        "s_blocks_per_group": 32_768, "s_inodes_per_group": per_group, "s_wtime": SECONDS,
        "s_mnt_count": 0, "s_max_mnt_count": 0xFFFF, "s_magic": 0xEF53, "s_state": 1,
        "s_errors": 1, "s_lastcheck": SECONDS, "s_rev_level": 1, "s_first_ino": 11,
        "s_inode_size": 256, "s_feature_compat": 0x208 | (4 if journal else 0),
        "s_feature_incompat": 0x2C2, "s_feature_ro_compat": 0x46A, "s_uuid": UUID,
        "s_volume_name": b"root".ljust(16, b"\0"), "s_journal_inum": 8 if journal else 0,
        "s_hash_seed": UUID, "s_jnl_backup_type": 1 if journal else 0, "s_desc_size": 64,
        "s_mkfs_time": SECONDS, "s_blocks_count_hi": 0, "s_free_blocks_count_hi": 0,
        "s_min_extra_isize": 32, "s_want_extra_isize": 32, "s_flags": 1,
        "s_log_groups_per_flex": 1, "s_checksum_type": 1, "s_checksum": crc32c(record[:1020]),
    }  # fmt: skip


def test_ext4_group_descriptors(tmp_path: Path) -> None:
    image = ext4(tmp_path, size=SIZE)
    per_group = fields(image[1024:], "<", EXT4)["s_inodes_per_group"]
    table = per_group * 256 // 4096
    used = 2 + 4 + 2 * table + 3 + 2
    seed = crc32c(UUID)
    for group in range(2):
        record = image[4096 + 64 * group : 4096 + 64 * (group + 1)]
        blocks = image[(2 + group) * 4096 : (3 + group) * 4096]
        inodes = image[(4 + group) * 4096 : (5 + group) * 4096]
        # checksums.rst: seed, the group's number, the record without its checksum; low 16 bits.
        blank = record[:0x1E] + bytes(2) + record[0x20:]
        own = crc32c(blank, crc32c(struct.pack("<I", group), seed)) & 0xFFFF
        sums = crc32c(blocks, seed), crc32c(inodes[: per_group // 8], seed)
        # Nothing in the last group is used: its bitmaps are initialised all the same.
        free = (32_768 - used, per_group - 14) if group == 0 else (8192, per_group)
        assert fields(record, "<", GROUP) == {
            "bg_block_bitmap_lo": 2 + group, "bg_inode_bitmap_lo": 4 + group,
            "bg_inode_table_lo": 6 + group * table, "bg_free_blocks_count_lo": free[0],
            "bg_free_inodes_count_lo": free[1], "bg_used_dirs_count_lo": 3 if group == 0 else 0,
            "bg_flags": 4, "bg_block_bitmap_csum_lo": sums[0] & 0xFFFF,
            "bg_inode_bitmap_csum_lo": sums[1] & 0xFFFF, "bg_itable_unused_lo": free[1],
            "bg_checksum": own, "bg_block_bitmap_csum_hi": sums[0] >> 16,
            "bg_inode_bitmap_csum_hi": sums[1] >> 16,
        }, group  # fmt: skip
        assert sum(map(int.bit_count, blocks)) == 32_768 - free[0]
        assert sum(map(int.bit_count, inodes[: per_group // 8])) == per_group - free[1]
        assert inodes[per_group // 8 :].strip(b"\xff") == b""


def test_ext4_root_inode(tmp_path: Path) -> None:
    image = ext4(tmp_path, size=SIZE)
    record = image[6 * 4096 + 256 : 6 * 4096 + 512]
    # Root, `.`, and `..` of lost+found and a; the time has five nanoseconds, above two bits.
    assert fields(record, "<", INODE) == {
        "i_mode": stat.S_IFDIR | 0o755, "i_uid": 3, "i_size_lo": 4096, "i_atime": SECONDS,
        "i_mtime": SECONDS, "i_gid": 4, "i_links_count": 4, "i_blocks_lo": 8, "i_flags": 0x80000,
        "i_extra_isize": 32, "i_mtime_extra": 5 << 2,
    }  # fmt: skip
    # checksums.rst: seed, inode number, generation, the record with both halves as zeros.
    blank = record[:0x7C] + bytes(2) + record[0x7E:0x82] + bytes(2) + record[0x84:]
    checksum = crc32c(blank, crc32c(struct.pack("<II", 2, 0), crc32c(UUID)))
    halves = struct.unpack_from("<H", record, 0x7C) + struct.unpack_from("<H", record, 0x82)
    assert halves == (checksum & 0xFFFF, checksum >> 16)


EROFS = {
    "magic": (0, "I"), "checksum": (4, "I"), "feature_compat": (8, "I"), "blkszbits": (12, "B"),
    "sb_extslots": (13, "B"), "root_nid": (14, "H"), "inos": (16, "Q"), "build_time": (24, "Q"),
    "build_time_nsec": (32, "I"), "blocks": (36, "I"), "meta_blkaddr": (40, "I"),
    "xattr_blkaddr": (44, "I"), "uuid": (48, "16s"), "volume_name": (64, "16s"),
    "feature_incompat": (80, "I"), "available_compr_algs": (84, "H"), "extra_devices": (86, "H"),
    "devt_slotoff": (88, "H"), "dirblkbits": (90, "B"), "xattr_prefix_count": (91, "B"),
    "xattr_prefix_start": (92, "I"), "packed_nid": (96, "Q"), "reserved": (104, "24s"),
}  # fmt: skip
"""Linux, fs/erofs/erofs_fs.h, struct erofs_super_block."""
EROFS_INODE = {
    "i_format": (0, "H"), "i_xattr_icount": (2, "H"), "i_mode": (4, "H"), "i_size": (8, "Q"),
    "i_u": (16, "I"), "i_ino": (20, "I"), "i_uid": (24, "I"), "i_gid": (28, "I"),
    "i_mtime": (32, "Q"), "i_mtime_nsec": (40, "I"), "i_nlink": (44, "I"),
}  # fmt: skip
"""struct erofs_inode_extended."""


@pytest.mark.parametrize("compressed", [False, True])
def test_erofs_superblock(tmp_path: Path, *, compressed: bool) -> None:
    if compressed:
        out = io.BytesIO()
        with Contents(tmp_path) as contents:
            write_erofs(NODES, contents, out, uuid=UUID)
        image = out.getvalue()
    else:
        image = whole(erofs_pieces(NODES, uuid=UUID), tmp_path)
    assert not any(image[:1024])
    record = image[1024:4096]
    root = fields(record, "<", EROFS)["root_nid"]
    # Features: checksum and time; chunks, and for zstd zeros in front and configurations.
    assert fields(record, "<", EROFS) == {
        "magic": 0xE0F5E1E2, "checksum": crc32c(record[:4] + bytes(4) + record[8:]),
        "feature_compat": 3, "blkszbits": 12, "sb_extslots": 0, "root_nid": root, "inos": 4,
        "build_time": SECONDS, "build_time_nsec": 0, "blocks": len(image) // 4096,
        "meta_blkaddr": 0, "xattr_blkaddr": 0, "uuid": UUID, "volume_name": bytes(16),
        "feature_incompat": 7 if compressed else 4, "available_compr_algs": 8 if compressed else 0,
        "extra_devices": 0, "devt_slotoff": 0, "dirblkbits": 0, "xattr_prefix_count": 0,
        "xattr_prefix_start": 0, "packed_nid": 0, "reserved": bytes(24),
    }  # fmt: skip
    # z_erofs_zstd_cfgs: its length, format 0, a window of 128 KiB (17 - 10), reserved.
    assert record[128:136] == (b"\6\0\0\7\0\0\0\0" if compressed else bytes(8))
    # The root, inline: an extended inode of layout 2, directory entries behind its 64 bytes.
    inode = image[root * 32 :]
    names = b"...ab"
    assert fields(inode, "<", EROFS_INODE) == {
        "i_format": 1 | 2 << 1, "i_xattr_icount": 0, "i_mode": stat.S_IFDIR | 0o755,
        "i_size": 4 * 12 + len(names), "i_u": 0, "i_ino": 0, "i_uid": 3, "i_gid": 4,
        "i_mtime": SECONDS, "i_mtime_nsec": 5, "i_nlink": 3,
    }  # fmt: skip
    entries = list(struct.iter_unpack("<QHBB", inode[64:112]))
    assert [(offset, kind) for _, offset, kind, _ in entries] == [
        (48, 2),
        (49, 2),
        (51, 2),
        (52, 1),
    ]
    assert [entries[0][0], entries[1][0]] == [root, root]
    assert inode[112 : 112 + len(names)] == names


SQUASHFS = {
    "s_magic": (0, "4s"), "inodes": (4, "I"), "mkfs_time": (8, "I"), "block_size": (12, "I"),
    "fragments": (16, "I"), "compression": (20, "H"), "block_log": (22, "H"), "flags": (24, "H"),
    "no_ids": (26, "H"), "s_major": (28, "H"), "s_minor": (30, "H"), "root_inode": (32, "Q"),
    "bytes_used": (40, "Q"), "id_table_start": (48, "Q"), "xattr_id_table_start": (56, "Q"),
    "inode_table_start": (64, "Q"), "directory_table_start": (72, "Q"),
    "fragment_table_start": (80, "Q"), "lookup_table_start": (88, "Q"),
}  # fmt: skip
"""Linux, fs/squashfs/squashfs_fs.h, struct squashfs_super_block."""


def test_squashfs_superblock(tmp_path: Path) -> None:
    out = io.BytesIO()
    with Contents(tmp_path) as contents:
        write_squashfs(NODES, contents, out, compression="gzip")
    image = out.getvalue()
    found = fields(image, "<", SQUASHFS)
    # Flags: duplicates are stored once, an export table is there, no extended attributes.
    assert found == {
        "s_magic": b"hsqs", "inodes": 4, "mkfs_time": SECONDS, "block_size": 131_072,
        "fragments": 1, "compression": 1, "block_log": 17, "flags": 0x40 | 0x80 | 0x200,
        "no_ids": 3, "s_major": 4, "s_minor": 0, "xattr_id_table_start": (1 << 64) - 1,
        **{key: found[key] for key in (
            "root_inode", "bytes_used", "id_table_start", "inode_table_start",
            "directory_table_start", "fragment_table_start", "lookup_table_start",
        )},
    }  # fmt: skip
    assert len(image) == -(-found["bytes_used"] // 4096) * 4096
    assert not any(image[found["bytes_used"] :])
    order = ("inode", "directory", "fragment", "lookup", "id")
    places = [found[f"{name}_table_start"] for name in order]
    assert places == sorted(places)
    assert found["bytes_used"] == places[-1] + 8
    # The table of owners: one metadata block, stored as it is (bit 15); 3, 4 and 0 in turn as the
    # inodes are written, children first.
    (block,) = struct.unpack_from("<Q", image, found["id_table_start"])
    assert image[block : block + 14] == struct.pack("<H3I", 0x8000 | 12, 0, 3, 4)
