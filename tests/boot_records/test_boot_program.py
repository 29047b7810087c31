"""The program that firmware starts from a disk, found as firmware finds it: sgdisk and mtools make
the disks, and any change of a byte leads to a program or to an error."""

from __future__ import annotations

import io
import random
import subprocess
from pathlib import Path

import pytest

from compos.boot.boot_program import boot_program
from compos.errors import OutputError

pytestmark = pytest.mark.slow

PROGRAM = b"MZ" + random.Random(1).randbytes(300_001)


def disk(folder: Path, *, mib: int, bits: int, name: str = "BOOTX64.EFI") -> Path:
    """A GPT with an EFI system partition, its file system made by mkfs.fat."""
    path, program = folder / "disk", folder / "program"
    program.write_bytes(PROGRAM)
    with path.open("wb") as file:
        file.truncate((mib + 2) << 20)

    def run(*line: object) -> None:
        subprocess.run([*map(str, line)], check=True, capture_output=True)

    run("sgdisk", "-n", f"1:2048:+{mib}M", "-t", "1:ef00", path)
    offset = f"{path}@@1M"
    run("mkfs.fat", "-F", bits, "--offset", 2048, path, mib << 10)
    for place in ("::/EFI", "::/EFI/BOOT", "::/OTHER"):
        run("mmd", "-i", offset, place)
    run("mcopy", "-i", offset, program, f"::/EFI/BOOT/{name}")
    return path


@pytest.mark.parametrize(("mib", "bits"), [(32, 16), (64, 32)])
@pytest.mark.parametrize("name", ["BOOTX64.EFI", "BOOTAA64.EFI"])
def test_it_is_found(tmp_path: Path, mib: int, bits: int, name: str) -> None:
    with disk(tmp_path, mib=mib, bits=bits, name=name).open("rb") as image:
        found = boot_program(image)
        assert found.read(2) == b"MZ"
        found.seek(0)
        assert found.read() == PROGRAM
        found.seek(-4, io.SEEK_END)
        assert found.read(100) == PROGRAM[-4:]


def test_a_program_is_itself() -> None:
    image = io.BytesIO(PROGRAM)
    assert boot_program(image) is image


@pytest.mark.parametrize(("mib", "bits", "name", "reason"), [
    (32, 16, "OTHER.EFI", "there is no EFI/BOOT"),
    (4, 12, "BOOTX64.EFI", "12 bits"),
])  # fmt: skip
def test_disks_without_one(tmp_path: Path, mib: int, bits: int, name: str, reason: str) -> None:
    with (
        disk(tmp_path, mib=mib, bits=bits, name=name).open("rb") as image,
        pytest.raises(OutputError, match=reason),
    ):
        boot_program(image)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "cut off"), (bytes(4096), "no GPT"), (b"\x7fELF" * 1000, "no GPT")],
)
def test_other_files(data: bytes, reason: str) -> None:
    with pytest.raises(OutputError, match=reason) as caught:
        boot_program(io.BytesIO(data))
    assert caught.value.id == "measure-image"


def test_hostile_disks(tmp_path: Path) -> None:
    """Bytes of the partition table, the boot sector, the FAT and the directories, changed at
    random: it is found, or an error says why not; nothing else, and in bounded time."""
    data = disk(tmp_path, mib=32, bits=16).read_bytes()
    chance = random.Random(7)
    start = 1 << 20
    regions = [(512, 1200), (start, start + 64), (start + 2048, start + 2300)]
    regions += [(start + at, start + at + 64) for at in range(0, 1 << 18, 1 << 12)]
    refused = 0
    image = io.BytesIO(data)

    def put(at: int, byte: int) -> None:
        image.seek(at)
        image.write(bytes((byte,)))

    for _ in range(300):
        changed = []
        for _ in range(chance.randrange(1, 6)):
            low, high = chance.choice(regions)
            byte = chance.randrange(256)
            changed.append(chance.randrange(low, high))
            put(changed[-1], byte)
        try:
            boot_program(image).read(10)
        except OutputError as error:
            refused += error.id == "measure-image"
        for at in changed:
            put(at, data[at])
    assert refused > 20
