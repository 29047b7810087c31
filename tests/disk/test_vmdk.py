"""VMware's stream-optimised disk, field by field: header, descriptor, grains, tables, footer."""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

from compos.disk.spool import Spool
from compos.disk.vmdk import write_vmdk
from compos.tree.contents import Contents
from compos.tree.node import Hole, Piece
from tests.records import fields, whole

GRAIN = 64 << 10
SECTORS = (514 * GRAIN) // 512

HEADER = {
    "magicNumber": (0, "4s"), "version": (4, "I"), "flags": (8, "I"), "capacity": (12, "Q"),
    "grainSize": (20, "Q"), "descriptorOffset": (28, "Q"), "descriptorSize": (36, "Q"),
    "numGTEsPerGT": (44, "I"), "rgdOffset": (48, "Q"), "gdOffset": (56, "Q"), "overHead": (64, "Q"),
    "uncleanShutdown": (72, "B"), "endLineChars": (73, "4s"), "compressAlgorithm": (77, "H"),
}  # fmt: skip
"""Virtual Disk Format 5.0, "Hosted Sparse Extent Header"."""

TEXT = b"compressible" * 5000
RANDOM = hashlib.shake_256(b"vmdk").digest(GRAIN)
DISK: list[Piece] = [TEXT.ljust(GRAIN, b"."), Hole(512 * GRAIN), RANDOM]
"""Grains 0 and 513: one in each of two tables."""


def disk(store: Path) -> bytes:
    with (store / "spool").open("wb") as file, Contents(store) as contents:
        spool = Spool(file, "spool")
        write_vmdk(DISK, contents, spool, identity=bytes.fromhex("89abcdef") * 4, name="os")
        pieces = spool.finish()
    return whole(pieces, store)


def header(directory: int) -> dict[str, object]:
    """Flags: the end-of-line check is valid, grains are compressed, markers are there."""
    return {
        "magicNumber": b"KDMV", "version": 3, "flags": 1 | 1 << 16 | 1 << 17, "capacity": SECTORS,
        "grainSize": 128, "descriptorOffset": 1, "descriptorSize": 20, "numGTEsPerGT": 512,
        "rgdOffset": 0, "gdOffset": directory, "overHead": 128, "uncleanShutdown": 0,
        "endLineChars": b"\n \r\n", "compressAlgorithm": 1,
    }  # fmt: skip


def test_the_header_says_that_the_directory_is_at_the_end(tmp_path: Path) -> None:
    assert fields(disk(tmp_path), "<", HEADER) == header((1 << 64) - 1)


def test_the_descriptor(tmp_path: Path) -> None:
    text = disk(tmp_path)[512 : 21 * 512].rstrip(b"\0").decode().splitlines()
    assert text[0] == "# Disk DescriptorFile"
    assert 'createType="streamOptimized"' in text
    assert "CID=89abcdef" in text
    assert "parentCID=ffffffff" in text
    assert f'RW {SECTORS} SPARSE "os.vmdk"' in text
    assert f'ddb.geometry.cylinders = "{SECTORS // (255 * 63)}"' in text


def test_grains_tables_and_footer(tmp_path: Path) -> None:
    """Read from the end, as "Stream-Optimized Compressed Sparse Extents" says."""
    image = disk(tmp_path)
    assert len(image) % 512 == 0
    # Markers: number of sectors, size 0, type (footer 3, end of stream 0).
    footer = len(image) - 3 * 512
    assert struct.unpack_from("<QII", image, footer) == (1, 0, 3)
    assert not any(image[-512:])
    found = fields(image[footer + 512 :], "<", HEADER)
    assert found == header(found["gdOffset"])
    directory = found["gdOffset"] * 512
    assert struct.unpack_from("<QII", image, directory - 512) == (1, 0, 2)
    assert directory + 512 == footer
    places = struct.unpack_from("<128I", image, directory)
    assert not any(places[2:])
    grains: dict[int, int] = {}
    for number, place in enumerate(places[:2]):
        assert struct.unpack_from("<QII", image, place * 512 - 512) == (4, 0, 1)
        table = struct.unpack_from("<512I", image, place * 512)
        grains |= {number * 512 + index: at for index, at in enumerate(table) if at}
    assert sorted(grains) == [0, 513]
    assert grains[0] == 128
    for number, content in ((0, TEXT.ljust(GRAIN, b".")), (513, RANDOM)):
        at = grains[number] * 512
        sector, size = struct.unpack_from("<QI", image, at)
        assert sector == number * 128
        assert zlib.decompress(image[at + 12 : at + 12 + size]) == content
