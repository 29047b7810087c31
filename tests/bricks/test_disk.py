"""What the disk bricks see on a disk, and the tables that they write, against the tools that
define them; with power that fails at every write."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.boot.power.host import first_partition
from tests.bricks.c_sources import require_formatted
from tests.bricks.compiler import BRICKS, DRIVERS, compile_sources

SOURCES = BRICKS / "disk/src"
PARTS = ("bytes", "contents", "gpt", "signature", "table")
SIZE = 64 << 20


@pytest.fixture(scope="module")
def driver() -> Path:
    base = BRICKS / "init/src"
    sources = [DRIVERS / "disk/disk_driver.c", *(SOURCES / f"disk/{part}.c" for part in PARTS)]
    sources += [base / "base/failure.c", base / "base/crc32.c"]
    return compile_sources(
        "disk", sources, [f"-I{SOURCES}", f"-I{base}"], link=["-Wl,--wrap=pwrite"]
    )


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    with path.open("wb") as stream:
        stream.truncate(SIZE)
    return path


def run(driver: Path, verb: str, image: Path, *, cut: int | None = None) -> str:
    """The driver's answer; with `cut` it may end early."""
    environment = {**os.environ, **({} if cut is None else {"CUT": str(cut)})}
    done = subprocess.run(
        [driver, verb, image], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode in ((0,) if cut is None else (0, 9)), done.stderr
    return "cut" if done.returncode == 9 else done.stdout.strip()


def tool(*command: str | Path, text: str = "") -> str:
    return subprocess.run(
        command, input=text, capture_output=True, text=True, check=True
    ).stdout.strip()


def patch(image: Path, offset: int, data: bytes) -> None:
    with image.open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)


def test_a_blank_disk(driver: Path, image: Path) -> None:
    assert run(driver, "contents", image) == "blank"
    image.write_bytes(b"\xff" * SIZE)
    assert run(driver, "contents", image) == "blank", "erased flash"


@pytest.mark.parametrize("place", [0, 5000, (1 << 20) - 1, SIZE - (1 << 20), SIZE - 1])
def test_one_byte_makes_a_disk_somebodys(driver: Path, image: Path, place: int) -> None:
    patch(image, place, b"x")
    assert run(driver, "contents", image) == "other data of an unknown kind"


@pytest.mark.parametrize("kind", ["ext2", "ext3", "ext4"])
def test_ext(driver: Path, image: Path, kind: str) -> None:
    uuid = "12345678-9abc-4def-8123-456789abcdef"
    tool("mke2fs", "-q", "-t", kind, "-L", "sixteen letters!", "-U", uuid, image)
    assert run(driver, "signature", image) == f"{kind}|sixteen letters!|{uuid}|{SIZE}|unused"
    assert run(driver, "contents", image) == (
        f'other an {kind} file system labelled "sixteen letters!"'
    )


USES = {
    "a folder": ("debugfs", "-w", "-R", "mkdir somebodys"),
    "a mount, long ago": ("tune2fs", "-C", "1"),
    "a mount, counted by nobody": ("debugfs", "-w", "-R", "set_super_value mtime 20260101"),
    "not unmounted": ("debugfs", "-w", "-R", "set_super_value state 0"),
    "last seen at /data": ("debugfs", "-w", "-R", "set_super_value last_mounted /data"),
}


@pytest.mark.parametrize("options", ["", "^orphan_file", "quota", "^metadata_csum,^64bit"])
def test_nobody_has_used_a_new_file_system(driver: Path, image: Path, options: str) -> None:
    tool("mke2fs", "-q", "-t", "ext4", "-O", options or "none", image)
    assert run(driver, "signature", image).endswith("|unused")


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_somebody_has_used_a_file_system(driver: Path, image: Path, use: tuple[str, ...]) -> None:
    """`dm-crypt` makes its own in place of an unused one, never of any other."""
    tool("mke2fs", "-q", "-t", "ext4", image)
    tool(*use, image)
    assert not run(driver, "signature", image).endswith("|unused")


@pytest.mark.parametrize(
    ("offset", "data"), [(0x1018, b"\xc6\x85\x73\xf6"), (0xFF6, b"SWAPSPACE2"), (512, b"LABELONE")]
)
def test_a_second_signature_makes_it_used(
    driver: Path, image: Path, offset: int, data: bytes
) -> None:
    """bcache, swap and LVM leave what is at 1024: then this is no file system any more."""
    tool("mke2fs", "-q", "-t", "ext4", image)
    patch(image, offset, data)
    assert not run(driver, "signature", image).endswith("|unused")


def test_a_file_system_made_with_files_is_used(driver: Path, image: Path, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/one").touch()
    tool("mke2fs", "-q", "-t", "ext4", "-d", tmp_path / "files", image)
    assert not run(driver, "signature", image).endswith("|unused")


def test_a_label_is_anybodys_bytes(driver: Path, image: Path) -> None:
    tool("mke2fs", "-q", "-t", "ext4", image)
    patch(image, 0x478, b"\x1b[2J\n\xff\x80\x01 end    ")
    assert 'labelled "?[2J???? end"' in run(driver, "contents", image)


def test_swap(driver: Path, image: Path) -> None:
    tool("mkswap", "-L", "spare", image)
    assert run(driver, "contents", image) == 'other a swap area labelled "spare"'


@pytest.mark.parametrize(("bits", "mib"), [("12", 4), ("16", 32), ("32", 64)])
def test_fat(driver: Path, image: Path, bits: str, mib: int) -> None:
    os.truncate(image, mib << 20)
    tool("mkfs.fat", "-F", bits, "-n", "CARD", "-i", "1234abcd", image)
    assert run(driver, "signature", image) == "vfat|CARD|1234-ABCD|0"
    assert run(driver, "contents", image) == 'other a vfat file system labelled "CARD"'


@pytest.mark.parametrize(
    ("offset", "data", "answer"),
    [
        (0, b"LUKS\xba\xbe\0\1", "a LUKS1 volume"),
        (0, b"LUKS\xba\xbe\0\2", "a LUKS2 volume"),
        (0x4000, b"SKUL\xba\xbe", "a LUKS2 volume"),
        (0, b"XFSB\0\0\x10\0", "an xfs file system"),
        (0x10040, b"_BHRfS_M", "a btrfs file system"),
        (0x8001, b"CD001", "an iso9660 file system"),
        (0, b"hsqs", "a squashfs file system"),
        (0x400, b"\xe2\xe1\xf5\xe0", "an erofs file system"),
        (0x200, b"LABELONE", "an LVM volume"),
        (0x1000, b"\xfc\x4e\x2b\xa9", "an md RAID member"),
        (SIZE - 0x10000, b"\xfc\x4e\x2b\xa9", "an md RAID member"),
        (SIZE - 0x2000, b"\xfc\x4e\x2b\xa9", "an md RAID member"),
        (3, b"NTFS    ", "an NTFS file system"),
    ],
)
def test_magic_numbers(driver: Path, image: Path, offset: int, data: bytes, answer: str) -> None:
    patch(image, offset, data)
    assert run(driver, "contents", image) == f"other {answer}"


@pytest.mark.parametrize("size", [0, 1, 511, 512, 4095, 4096, 70000])
def test_a_tiny_disk(driver: Path, image: Path, size: int) -> None:
    os.truncate(image, size)
    assert run(driver, "contents", image) == "blank"


@pytest.mark.parametrize(("label", "name"), [("dos", "an MBR"), ("gpt", "a GPT")])
def test_tables_of_sfdisk(driver: Path, image: Path, tmp_path: Path, label: str, name: str) -> None:
    tool("sfdisk", image, text=f"label: {label}\n2048,40960,L\n")
    assert run(driver, "contents", image) == f"other {name} partition table with 1 partition"
    inner = tmp_path / "inner.img"
    tool("mke2fs", "-q", "-t", "ext4", "-L", "data", inner, "20m")
    patch(image, 1 << 20, inner.read_bytes())
    expected = f'other an ext4 file system labelled "data" in {name} partition'
    assert run(driver, "contents", image) == expected
    tool("sfdisk", "--append", image, text=",10M\n")
    in_one = expected.replace(f"in {name} partition", f"in one of 2 {name.split()[1]} partitions")
    assert run(driver, "contents", image) == in_one


@pytest.mark.slow
def test_hostile_tables(driver: Path, image: Path) -> None:
    """Whatever a damaged table says: an answer, and never that the disk is blank."""
    tool("sfdisk", image, text="label: gpt\n2048,40960,L\n")
    whole = image.read_bytes()[: 34 * 512]
    draw = random.Random(14)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(draw.randrange(1, 8)):
            damaged[draw.choice([450, 510, 512, 528, 584, 592, 596, 1056, 1064])] = draw.randrange(
                256
            )
        patch(image, 0, bytes(damaged))
        assert run(driver, "contents", image).startswith("other ")


@pytest.mark.parametrize(("verb", "label"), [("mbr", "dos"), ("gpt", "gpt")])
def test_tables_of_ours(driver: Path, image: Path, verb: str, label: str) -> None:
    run(driver, verb, image)
    assert "No errors detected" in tool("sfdisk", "--verify", image)
    dump = tool("sfdisk", "-d", image)
    assert f"label: {label}" in dump
    assert "start=        2048" in dump
    assert "type=83" in dump or "type=0FC63DAF-8483-4772-8E79-3D69D8477DE4" in dump
    if verb == "gpt":
        assert "No problems found" in tool("sgdisk", "-v", image)
    os.truncate(image, 2 * SIZE)
    run(driver, "extend", image)
    assert "No errors detected" in tool("sfdisk", "--verify", image)
    room = 2 * SIZE // 512 - 2048 - (2048 if verb == "gpt" else 0)
    assert f"size= {room:>11}" in tool("sfdisk", "-d", image)
    if verb == "gpt":
        assert "No problems found" in tool("sgdisk", "-v", image)


@pytest.mark.parametrize("verb", ["mbr", "gpt"])
def test_power_fails_at_any_write_of_a_format(driver: Path, image: Path, verb: str) -> None:
    for cut in range(20):
        with image.open("wb") as stream:
            stream.truncate(SIZE)
        ended = run(driver, verb, image, cut=cut)
        state = run(driver, "contents", image)
        if ended != "cut":
            assert state.startswith("other ")
            assert cut >= 6
            return
        assert state in ("blank", "unfinished"), cut
        run(driver, verb, image)
        assert "No errors detected" in tool("sfdisk", "--verify", image)
    pytest.fail("it never came to its end")


@pytest.mark.parametrize("verb", ["mbr", "gpt"])
def test_power_fails_at_any_write_of_an_extension(driver: Path, image: Path, verb: str) -> None:
    for cut in range(20):
        with image.open("wb") as stream:
            stream.truncate(SIZE)
        run(driver, verb, image)
        os.truncate(image, 2 * SIZE)
        ended = run(driver, "extend", image, cut=cut)
        assert first_partition(image), "Linux does not look at the other copy of a GPT"
        assert run(driver, "contents", image).endswith("partition table with 1 partition")
        # Whatever is there, doing it again is enough.
        run(driver, "extend", image)
        assert "No errors detected" in tool("sfdisk", "--verify", image), cut
        if ended != "cut":
            return
    pytest.fail("it never came to its end")


def test_clang_format_would_change_nothing() -> None:
    files = [
        *(
            path
            for part in ("disk", "format", "mount", "extend", "dm-crypt")
            for path in BRICKS.glob(f"{part}/src/**/*.[ch]")
        ),
        DRIVERS / "disk/disk_driver.c",
    ]
    assert len(files) > 15
    require_formatted(files)
