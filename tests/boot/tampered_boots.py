"""Seven ways to tamper with the disk of a signed system whose root is verified, one boot each: what
refuses it, and in which words. Part of `make sealed-boots`; docs/secure.md has the table.
"""

from __future__ import annotations

import json
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.api.keys import new_keys
from compos.boot.boot_program import boot_program
from compos.boot.measurements import sections_of
from compos.cli.main import main
from tests.boot.power.cuts import copy
from tests.boot.sealed import Machine

SYSTEM = """
kernel: {image: compos/kernel:v1, cmdline: "console=ttyS0 quiet", modules: auto}
init: [compos/init:v1, compos/crun:v1]
services:
  - name: getty
    image: compos/getty:v1
    env: [INSECURE=true]
"""
STARTED = "services started"
SECTOR = 512
BLOCK = 4096
REFUSED = "Access Denied"
"""The firmware's words."""


class Signed:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = folder / "keys"
        new_keys(self.keys)
        self.image = build(folder, self.keys)


def build(folder: Path, keys: Path) -> Path:
    (folder / "os.yml").write_text(SYSTEM)
    options = ["-f", "raw-efi", "--keys", str(keys), "--root", "erofs-verity"]
    assert main(["build", *options, "--dir", str(folder), str(folder / "os.yml")]) == 0
    return folder / "os-efi.img"


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    return Signed(tmp_path_factory.mktemp("signed"))


def flip(image: Path, at: int) -> None:
    with image.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def flip_section(image: Path, name: str) -> None:
    """A bit in the middle of a section; the file lies in one piece on the disk."""
    with image.open("rb") as file:
        program = boot_program(file)
        part = sections_of(program)[name]
        program.seek(part.start + part.size // 2)
        sample = program.read(min(64, part.size // 2))
    data = image.read_bytes()
    assert data.count(sample) == 1
    flip(image, data.index(sample))


def partition(image: Path, name: str) -> int:
    """Where it begins, in bytes."""
    shown = subprocess.run(["sfdisk", "--json", image], capture_output=True, check=True).stdout
    (start,) = [
        one["start"]
        for one in json.loads(shown)["partitiontable"]["partitions"]
        if one.get("name") == name
    ]
    return int(start) * SECTOR


def names(image: Path) -> list[str]:
    shown = subprocess.run(["sfdisk", "--json", image], capture_output=True, check=True).stdout
    return [one.get("name") for one in json.loads(shown)["partitiontable"]["partitions"]]


def uki_bit(image: Path) -> None:
    flip_section(image, ".linux")


def command_line(image: Path) -> None:
    flip_section(image, ".cmdline")


def initrd(image: Path) -> None:
    flip_section(image, ".initrd")


def data_block(image: Path) -> None:
    flip(image, partition(image, "root") + 1024 + 64)


def hash_block(image: Path) -> None:
    """The topmost, behind the superblock."""
    flip(image, partition(image, "root-verity") + BLOCK + 7)


def broken_table(image: Path) -> None:
    """The first copy only: the second one counts."""
    flip(image, SECTOR + 40)


def root_elsewhere(image: Path) -> None:
    """In both copies of the table, with sums that are right, the root begins a block later."""
    data = bytearray(image.read_bytes())
    for header in (SECTOR, len(data) - SECTOR):
        (entries,) = struct.unpack_from("<Q", data, header + 72)
        number, size = struct.unpack_from("<II", data, header + 80)
        first = entries * SECTOR + names(image).index("root") * size + 32
        struct.pack_into("<Q", data, first, struct.unpack_from("<Q", data, first)[0] + 8)
        table = bytes(data[entries * SECTOR : entries * SECTOR + number * size])
        struct.pack_into("<I", data, header + 88, zlib.crc32(table))
        struct.pack_into("<I", data, header + 16, 0)
        (length,) = struct.unpack_from("<I", data, header + 12)
        struct.pack_into("<I", data, header + 16, zlib.crc32(bytes(data[header : header + length])))
    image.write_bytes(data)
    assert subprocess.run(["sfdisk", "--verify", image], check=False).returncode == 0


CASES: list[tuple[Callable[[Path], None], str, str]] = [
    (uki_bit, REFUSED, "the firmware refuses it"),
    (command_line, REFUSED, "the firmware refuses it"),
    (initrd, REFUSED, "the firmware refuses it"),
    (data_block, "data block 0 is corrupted", "Linux refuses the block, init the root"),
    (hash_block, "metadata block", "Linux refuses the tree, init the root"),
    (root_elsewhere, "no device has this system.s root", "init finds no root"),
]


@pytest.mark.parametrize(
    ("tamper", "words"), [case[:2] for case in CASES], ids=[case[0].__name__ for case in CASES]
)
def test_it_does_not_start(
    signed: Signed, tmp_path: Path, tamper: Callable[[Path], None], words: str
) -> None:
    image = tmp_path / "tampered-efi.img"
    copy(signed.image, image)
    tamper(image)
    with Machine(tmp_path / "state", signed.keys).boot(image, tmp_path / "log") as guest:
        guest.expect(words, 240)
    assert STARTED not in guest.text()


def test_another_key(signed: Signed, tmp_path: Path) -> None:
    new_keys(tmp_path / "keys")
    image = build(tmp_path, tmp_path / "keys")
    with Machine(tmp_path / "state", signed.keys).boot(image, tmp_path / "log") as guest:
        guest.expect(REFUSED, 240)
    assert STARTED not in guest.text()


def test_a_table_that_is_damaged_once(signed: Signed, tmp_path: Path) -> None:
    """Whoever reads tables takes the other copy; nothing that starts depends on it."""
    image = tmp_path / "tampered-efi.img"
    copy(signed.image, image)
    broken_table(image)
    with Machine(tmp_path / "state", signed.keys).boot(image, tmp_path / "log") as guest:
        guest.expect(STARTED, 240)
