"""A unified kernel image, field by field: PE headers and section table."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.boot.uki import Uki, pe_machine, unified_kernel_image
from compos.errors import OutputError
from compos.tree.node import Piece
from tests.boot_records.stub import ADDED, KERNEL, PE, stub
from tests.records import fields, whole

OPTIONAL = PE + 24
TABLE = OPTIONAL + 112 + 128

COFF = {
    "Signature": (0, "4s"), "Machine": (4, "H"), "NumberOfSections": (6, "H"),
    "TimeDateStamp": (8, "I"), "PointerToSymbolTable": (12, "I"), "NumberOfSymbols": (16, "I"),
    "SizeOfOptionalHeader": (20, "H"), "Characteristics": (22, "H"),
}  # fmt: skip
"""Microsoft, "PE Format", COFF File Header."""
WINDOWS = {
    "Magic": (0, "H"), "SectionAlignment": (32, "I"), "FileAlignment": (36, "I"),
    "SizeOfImage": (56, "I"), "SizeOfHeaders": (60, "I"), "CheckSum": (64, "I"),
}  # fmt: skip
"""Optional Header of PE32+."""
SECTION = {
    "Name": (0, "8s"), "VirtualSize": (8, "I"), "VirtualAddress": (12, "I"),
    "SizeOfRawData": (16, "I"), "PointerToRawData": (20, "I"), "PointerToRelocations": (24, "I"),
    "PointerToLinenumbers": (28, "I"), "NumberOfRelocations": (32, "H"),
    "NumberOfLinenumbers": (34, "H"), "Characteristics": (36, "I"),
}  # fmt: skip
"""Section Table."""


def built(store: Path, sections: list[tuple[str, list[Piece]]] = ADDED) -> tuple[Uki, bytes]:
    uki = unified_kernel_image(stub(), sections)
    return uki, whole(uki.pieces, store)


def section(data: bytes, number: int) -> dict[str, object]:
    return fields(data[TABLE + 40 * number :], "<", SECTION)


def added(name: bytes, size: int, address: int, stored: int, place: int) -> dict[str, object]:
    """Initialised data that is only read."""
    return {
        "Name": name.ljust(8, b"\0"), "VirtualSize": size, "VirtualAddress": address,
        "SizeOfRawData": stored, "PointerToRawData": place, "PointerToRelocations": 0,
        "PointerToLinenumbers": 0, "NumberOfRelocations": 0, "NumberOfLinenumbers": 0,
        "Characteristics": 0x40000040,
    }  # fmt: skip


def test_headers(tmp_path: Path) -> None:
    _, data = built(tmp_path)
    assert data[:2] == b"MZ"
    assert fields(data[PE:], "<", COFF) == {
        "Signature": b"PE\0\0", "Machine": 0xAA64, "NumberOfSections": 3, "TimeDateStamp": 7,
        "PointerToSymbolTable": 0, "NumberOfSymbols": 0, "SizeOfOptionalHeader": 240,
        "Characteristics": 0x22,
    }  # fmt: skip
    # The image ends behind .linux: 0x4000 + 0x2800, in whole pages.
    assert fields(data[OPTIONAL:], "<", WINDOWS) == {
        "Magic": 0x20B, "SectionAlignment": 0x1000, "FileAlignment": 0x200, "SizeOfImage": 0x7000,
        "SizeOfHeaders": 0x200, "CheckSum": 0,
    }  # fmt: skip


def test_sections_stand_at_pages_of_file_and_memory(tmp_path: Path) -> None:
    uki, data = built(tmp_path)
    # Each is stored up to the next one: nobody has to decide what is signed of a gap.
    own = added(b".text", 6, 0x2000, 0xE00, 0x200) | {"Characteristics": 0x60000020}
    assert section(data, 0) == own
    assert section(data, 1) == added(b".cmdline", 5, 0x3000, 0x1000, 0x1000)
    assert section(data, 2) == added(b".linux", 0x2800, 0x4000, 0x2800, 0x2000)
    assert uki.starts == {".cmdline": 0x1000, ".linux": 0x2000}
    assert data[0x200:0x400] == b"\x90" * 0x200
    assert data[0x1000:0x1200] == b"quiet".ljust(0x200, b"\0")
    assert data[0x2000:] == KERNEL


def test_headers_that_grow_move_what_stands_behind_them(tmp_path: Path) -> None:
    many: list[tuple[str, list[Piece]]] = [(f".s{number}", [b"x"]) for number in range(12)]
    _, data = built(tmp_path, many)
    # 328 bytes, then 13 sections of 40: more than 512.
    assert fields(data[OPTIONAL:], "<", WINDOWS)["SizeOfHeaders"] == 0x400
    assert section(data, 0)["PointerToRawData"] == 0x400
    assert data[0x400:0x600] == b"\x90" * 0x200
    assert [section(data, number)["PointerToRawData"] for number in (1, 12)] == [0x1000, 0xC000]


def test_what_is_not_a_stub(tmp_path: Path) -> None:
    for data in (b"", b"MZ", stub()[:100], stub().replace(b"PE\0\0", b"NE\0\0")):
        with pytest.raises(OutputError) as caught:
            unified_kernel_image(data, ADDED)
        assert caught.value.id == "uki-stub"
    assert pe_machine(stub()) == "arm64"
    assert pe_machine(stub().replace(b"PE\0\0", b"NE\0\0")) == ""
