"""The metadata CD, read back by the rules of ECMA-119 as a reader applies them; the layout is
LinuxKit's."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from compos.run.metadata import metadata_iso, write_metadata


def both(image: bytes, offset: int, form: str) -> int:
    """A both-endian number (7.2.3, 7.3.3): its halves must agree."""
    size = struct.calcsize(form)
    (little,) = struct.unpack_from(f"<{form}", image, offset)
    (big,) = struct.unpack_from(f">{form}", image, offset + size)
    assert little == big
    number: int = little
    return number


def read(image: bytes) -> dict[str, bytes]:
    """All files in the root directory."""
    descriptor = image[16 * 2048 : 17 * 2048]
    assert descriptor[:7] == b"\x01CD001\x01"
    assert both(descriptor, 80, "I") * 2048 == len(image)
    sector, size = both(descriptor, 158, "I"), both(descriptor, 166, "I")
    folder = image[sector * 2048 : sector * 2048 + size]
    files, offset = {}, 0
    while folder[offset]:
        record = folder[offset : offset + folder[offset]]
        name = record[33 : 33 + record[32]]
        start, length = both(record, 2, "I"), both(record, 10, "I")
        if not record[25] & 2:
            files[name.decode()] = image[start * 2048 : start * 2048 + length]
        offset += folder[offset]
    return files


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 2049, 100_000])
def test_a_reader_finds_the_content(size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    image = metadata_iso(content)
    assert read(image) == {"config": content}
    assert len(image) == (21 + -(-size // 2048)) * 2048


def test_layout_and_label() -> None:
    image = metadata_iso(b"x")
    assert not any(image[: 16 * 2048])
    assert image[16 * 2048 + 40 :][:32] == b"config".ljust(32)
    assert image[17 * 2048 :][:7] == b"\xffCD001\x01"
    assert struct.unpack_from("<BBIH", image, 18 * 2048) == (1, 0, 20, 1)
    assert struct.unpack_from(">BBIH", image, 19 * 2048) == (1, 0, 20, 1)
    assert (
        image[16 * 2048 + 881] == 1
    )  # 8.4.31, file structure version: every field before it has its size


def test_a_longer_one_leaves_no_tail(tmp_path: Path) -> None:
    path = tmp_path / "data.iso"
    write_metadata(bytes(10_000), path)
    write_metadata(b"short", path)
    assert read(path.read_bytes()) == {"config": b"short"}
