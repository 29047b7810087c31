"""Disks in sparse containers: what QEMU has written is read to the byte; what nobody would write is
an error."""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.disk.disk_file import open_disk
from compos.disk.sparse_disks import DamagedDisk

MIB = 1 << 20
SIZE = 40 * MIB
FORMS = {
    "dynamic-vhd": ("vpc", "subformat=dynamic,force_size=on"),
    "vhdx": ("vhdx", "subformat=dynamic"),
    "vhdx of small blocks": ("vhdx", "subformat=dynamic,block_size=1M"),
    "fixed vhdx": ("vhdx", "subformat=fixed"),
    "vmdk": ("vmdk", "subformat=monolithicSparse"),
    "compressed vmdk": ("vmdk", "subformat=streamOptimized"),
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with a boot record, some data, and holes between."""
    path = tmp_path_factory.mktemp("raw") / "raw"
    chance = random.Random(7)
    with path.open("wb") as file:
        for at in (0, 300_000, 5 * MIB - 100, 33 * MIB + 1):
            file.seek(at)
            file.write(chance.randbytes(70_000) + b"the same " * 5000)
        file.seek(510)
        file.write(b"\x55\xaa")
        file.truncate(SIZE)
    return path


def convert(raw: Path, out: Path, form: str) -> Path:
    name, options = FORMS[form]
    line = ["qemu-img", "convert", "-f", "raw", "-O", name, "-o", options]
    subprocess.run([*line, raw, out], check=True)
    return out


@pytest.mark.parametrize("form", FORMS)
def test_what_qemu_writes(raw: Path, tmp_path: Path, form: str) -> None:
    data = raw.read_bytes()
    with open_disk(convert(raw, tmp_path / "disk", form)) as found:
        assert found.container in form
        assert found.size == SIZE
        assert found.disk.read(0, SIZE) == data
        chance = random.Random(8)
        for _ in range(50):
            at, size = chance.randrange(SIZE), chance.randrange(3 * MIB)
            assert found.disk.read(at, size) == data[at : at + size]
        assert found.disk.read(SIZE - 10, 100) == data[-10:]
        assert found.disk.read(SIZE, 100) == b""


def vhdx_log(data: bytearray) -> None:
    data[(64 << 10) + 8 : (64 << 10) + 16] = b"\xff" * 8  # this header is the current one
    data[(64 << 10) + 48] = 1


def first_region(data: bytearray) -> None:
    data[192 << 10] = 0


def many_regions(data: bytearray) -> None:
    struct.pack_into("<I", data, (192 << 10) + 8, 0xFFFFFFFF)


def vmdk_field(form: str, at: int, value: int) -> Callable[[bytearray], None]:
    return lambda data: struct.pack_into(form, data, at, value)


def vmdk_parent(data: bytearray) -> None:
    at = data.index(b"parentCID=ffffffff")
    data[at : at + 18] = b"parentCID=12345678"


def vhd_field(form: str, at: int, value: int) -> Callable[[bytearray], None]:
    """A field of the dynamic header, which stands behind the footer's copy."""
    return lambda data: struct.pack_into(form, data, 512 + at, value)


@pytest.mark.parametrize(
    ("form", "damage"),
    [
        ("vhdx", vhdx_log),
        ("vhdx", first_region),
        ("vhdx", many_regions),
        ("vmdk", vmdk_field("<Q", 12, 1 << 60)),  # capacity
        ("vmdk", vmdk_field("<Q", 20, 0)),  # size of a grain
        ("vmdk", vmdk_field("<Q", 20, 3)),
        ("vmdk", vmdk_field("<I", 44, 0)),  # entries of a table
        ("vmdk", vmdk_field("<Q", 56, 1 << 50)),  # directory
        ("vmdk", vmdk_parent),
        ("dynamic-vhd", vhd_field(">I", 28, 0xFFFFFFFF)),  # entries of the table
        ("dynamic-vhd", vhd_field(">I", 32, 0)),  # size of a block
        ("dynamic-vhd", vhd_field(">I", 32, 3 << 20)),
        ("dynamic-vhd", vhd_field("<B", 0, 0)),  # cookie
    ],
)
def test_what_cannot_be(
    raw: Path, tmp_path: Path, form: str, damage: Callable[[bytearray], None]
) -> None:
    path = convert(raw, tmp_path / "disk", form)
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    with pytest.raises(DamagedDisk), open_disk(path) as found:
        found.disk.read(0, SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_damage_anywhere_ends_in_an_error_or_other_bytes(
    raw: Path, tmp_path: Path, form: str
) -> None:
    path = convert(raw, tmp_path / "disk", form)
    good = path.read_bytes()
    chance = random.Random(9)
    heads = [at for at in range(0, min(len(good), 4 * MIB), 4096) if any(good[at : at + 4096])]
    for number in range(15):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            data[chance.choice(heads[:40]) + chance.randrange(200)] = chance.randrange(256)
        path.write_bytes(data if number % 4 else data[: chance.randrange(len(data))])
        try:
            with open_disk(path) as found:
                assert len(found.disk.read(0, 4 * MIB)) <= 4 * MIB
        except DamagedDisk:
            pass
