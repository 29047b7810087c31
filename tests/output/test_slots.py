"""Disks with two slots: sgdisk and mtools see the system in slot A and room in slot B."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from compos.api.keys import new_keys
from compos.boot.slot_block import BLOCK_COPIES, BLOCK_SIZE, HEADER_AT, first_block
from tests.compose.systems import World
from tests.output.bootable import YAML, bzimage, filled
from tests.output.test_build import unpacked
from tests.output.test_formats import build, refused
from tests.output.test_installer import ZSTD
from tests.output.test_verified_disks import SECTOR, part, partitions

MIB = 1 << 20


@pytest.fixture
def world(tmp_path: Path) -> World:
    return filled(World(tmp_path))


def with_slots(text: str) -> str:
    return f"{YAML}slots: {text}\n"


def listed(partition: Path) -> str:
    line = ["mdir", "-i", str(partition), "-b", "-/", "::"]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("form", ["raw", "raw-efi"])
def test_slot_a_has_the_system(form: str, world: World) -> None:
    yaml = with_slots("{boot: 8m, system: 4m}")
    options = ("-f", form, "--root", "erofs-verity-appended")
    (disk,) = build(world, *options, yaml=yaml).iterdir()
    subprocess.run(["sgdisk", "--verify", disk], check=True, capture_output=True)
    _, found = partitions(disk)
    names = ["boot-a", "boot-b", "system-a", "system-b", "slots"]
    assert [one["name"] for one in found] == names + ["BIOS boot"] * (form == "raw")
    assert [one["size"] * SECTOR // MIB for one in found[:4]] == [8, 8, 4, 4]
    assert len({one["uuid"] for one in found}) == len(found)
    boot_a, boot_b, system_a, system_b, block = (part(disk, one, one["name"]) for one in found[:5])
    ids = [UUID(one["uuid"]) for one in found[:2]]
    for at in BLOCK_COPIES:
        assert block.read_bytes()[at : at + BLOCK_SIZE] == first_block(ids)
    assert listed(boot_a).splitlines()[-1] == "::/EFI/BOOT/BOOTX64.EFI"
    assert not boot_b.read_bytes().strip(b"\0")
    assert not system_b.read_bytes().strip(b"\0")
    # Linux finds the tree behind the file system, by what the initrd says of it.
    assert system_a.read_bytes()[1024:1028] == (0xE0F5E1E2).to_bytes(4, "little")
    tree = system_a.read_bytes().index(b"verity\0\0")
    dumped = ["veritysetup", "dump", f"--hash-offset={tree}", str(system_a)]
    said = subprocess.run(dumped, capture_output=True, text=True, check=True).stdout
    assert f"Data blocks:     \t{tree // 4096}" in said


@pytest.mark.parametrize("form", ["raw", "raw-bios"])
def test_a_bios_finds_the_files_of_a_slot(form: str, world: World) -> None:
    (disk,) = build(world, "-f", form, "--root", "initrd", yaml=with_slots("{}")).iterdir()
    _, found = partitions(disk)
    boot = part(disk, found[0], "boot").read_bytes()
    assert boot[HEADER_AT : HEADER_AT + 8] == b"COMPBOOT"
    places = struct.unpack_from("<QIQIQI", boot, HEADER_AT + 16)
    kernel, cmdline, initrd = (
        boot[start * SECTOR : start * SECTOR + size]
        for start, size in zip(places[::2], places[1::2], strict=True)
    )
    assert kernel == bzimage()
    assert cmdline.startswith(b'console=ttyS0 quote="a b" compos.slots=300')
    assert initrd.startswith(b"UCODE")
    if form == "raw-bios":
        assert listed(disk.with_name("boot")).split() == [
            "::/cmdline",
            "::/initrd.img",
            "::/kernel",
        ]
    # The loader knows where the partitions begin, and the first sector where the loader does.
    data = disk.read_bytes()[: MIB // 2]
    assert found[-1]["start"] == struct.unpack_from("<Q", data, 432)[0]
    loader = data[found[-1]["start"] * SECTOR :]
    at = [struct.unpack_from("<Q", loader, 88 + 44 * slot)[0] for slot in (0, 1)]
    assert at == [one["start"] for one in found[:2]]


def test_the_words_of_the_loader_need_room(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """Linux takes 2047 bytes."""
    words = 2047 - len(" compos.slots=300 panic=10 compos.watchdog=60")
    yaml = with_slots("{}").replace("""'console=ttyS0 quote="a b"'""", "x" * words)
    assert build(world, "-f", "raw-efi", yaml=yaml)
    assert "cmdline-too-long" in refused(world, capfd, "-f", "raw", yaml=yaml)


def test_a_root_in_the_initrd_needs_no_partition(world: World) -> None:
    (disk,) = build(world, "-f", "raw-efi", "--root", "initrd", yaml=with_slots("{}")).iterdir()
    _, found = partitions(disk)
    assert [one["name"] for one in found] == ["boot-a", "boot-b", "slots"]
    used = len(part(disk, found[0], "boot-a").read_bytes().rstrip(b"\0"))
    assert found[0]["size"] * SECTOR >= 2 * used, "later versions may be larger"


def test_disks_are_the_same_wherever_they_are_built(tmp_path: Path) -> None:
    made = []
    for name in ("a", "deeper/b"):
        (tmp_path / name).mkdir(parents=True)
        world = filled(World(tmp_path / name))
        (disk,) = build(world, "-f", "raw-efi", yaml=with_slots("{}")).iterdir()
        made.append(disk.read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("purpose", ["boot", "system"])
def test_a_slot_that_is_too_small(
    purpose: str, world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    yaml = with_slots(f"{{{purpose}: 4k}}")
    options = ("-f", "raw-efi", "--root", "erofs-verity")
    said = refused(world, capfd, *options, yaml=yaml)
    assert "slot-too-small" in said
    assert f"slots.{purpose} gives it 0" in said


def test_roots_that_are_encrypted(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """On a disk they are not: an installer does it. The small initrd is ready for both."""
    keys = world.folder / "keys"
    new_keys(keys)
    options = ("-f", "raw-efi", "--root", "erofs-verity", "--keys", str(keys))
    (disk,) = build(world, *options, yaml=with_slots("{encrypt: tpm}")).iterdir()
    assert "an installer encrypts them" in capfd.readouterr().err
    _, found = partitions(disk)
    boot = part(disk, found[0], "boot-a")
    program = boot.with_name("uki")
    copy = ["mcopy", "-n", "-i", str(boot), "::/EFI/BOOT/BOOTX64.EFI", str(program)]
    subprocess.run(copy, check=True)
    initrd = program.with_name("initrd")
    dump = ["objcopy", "--dump-section", f".initrd={initrd}", str(program)]
    subprocess.run(dump, check=True)
    data = initrd.read_bytes()
    files = unpacked(data[data.index(ZSTD) :], world.folder / "unpacked")
    assert files["sbin/open-roots"][1] == b"opener"
    assert b"\nsealed\task\n" in files["etc/compos/root"][1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--root", "initrd"), "slot-encrypted-root"),
        (("--root", "erofs"), "slot-encrypted-root"),
        (("--root", "erofs-verity"), "slot-encrypted-keys"),
    ],
)
def test_roots_that_cannot_be_encrypted(
    options: tuple[str, ...], expected: str, world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    yaml = with_slots("{encrypt: tpm}")
    assert expected in refused(world, capfd, "-f", "raw-efi", *options, yaml=yaml)


def test_a_header_needs_room(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    """A MiB in front of the root."""
    keys = world.folder / "keys"
    new_keys(keys)
    options = ("-f", "raw-efi", "--root", "erofs-verity", "--keys", str(keys))
    build(world, *options, yaml=with_slots("{system: 1m}"))
    yaml = with_slots("{system: 1m, encrypt: tpm}")
    assert "slot-too-small" in refused(world, capfd, *options, yaml=yaml)
