"""The brick mkimage on disks that are files, judged by the tools of their formats; that the result
boots is shown in a guest (tests/boot/test_mkimage.py)."""

from __future__ import annotations

import io
import struct
import subprocess
import tarfile
from pathlib import Path

import pytest

from compos.boot import bios
from tests.bricks.compiler import compile_brick

pytestmark = pytest.mark.slow

MIB = 1 << 20


def kernel(*, initrd_most: int = 0x7FFFFFFF, version: int = 0x20F) -> bytes:
    """A head as a bzImage has it, and something behind it."""
    head = bytearray(4096 + 77)
    values = {
        "boot_flag": 0xAA55,
        "header": b"HdrS",
        "version": version,
        "loadflags": 1,
        "initrd_addr_max": initrd_most,
        "cmdline_size": 2047,
        "pref_address": 1 << 24,
        "init_size": 1 << 24,
    }
    for name, value in values.items():
        form, at = bios.FIELDS[name]
        struct.pack_into(form, head, at, value)
    return bytes(head)


FILES = {
    "kernel": kernel(),
    "initrd.img": bytes(range(256)) * 20000,
    "cmdline": b"console=ttyS0",
}


def archive(path: Path, files: dict[str, bytes]) -> Path:
    """With records of their own in front of members, as builders write them."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, contents in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            member.pax_headers = {"LINUXKIT.source": "x"}
            tar.addfile(member, io.BytesIO(contents))
    return path


def blank(path: Path, mib: int = 64) -> Path:
    with path.open("wb") as image:
        image.truncate(mib * MIB)
    return path


def is_blank(path: Path) -> bool:
    return path.read_bytes() == bytes(path.stat().st_size)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(compile_brick("mkimage")), "-loader", str(bios.FOLDER), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def partition(disk: Path, folder: Path) -> Path:
    made = folder / "partition.img"
    made.write_bytes(disk.read_bytes()[MIB:])
    return made


@pytest.mark.parametrize("prefix", ["", "./"])
@pytest.mark.parametrize("empty", [False, True])
def test_a_disk(tmp_path: Path, prefix: str, empty: bool) -> None:
    files = {**FILES, "cmdline": b"" if empty else FILES["cmdline"]}
    source = archive(tmp_path / "s.tar", {prefix + name: data for name, data in files.items()})
    disk = blank(tmp_path / "disk.img")
    done = run(disk, source)
    assert (done.returncode, done.stderr) == (0, f"mkimage: {disk} boots what {source} holds\n")
    table = subprocess.run(
        ["sfdisk", "--json", disk], capture_output=True, text=True, check=True
    ).stdout
    assert '"type": "c"' in table
    assert '"bootable": true' in table
    made = partition(disk, tmp_path)
    check = subprocess.run(["fsck.fat", "-n", made], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout
    for name, data in files.items():
        shown = subprocess.run(["mtype", "-i", made, f"::{name}"], capture_output=True, check=True)
        assert shown.stdout == data
    expect_loader(disk.read_bytes(), files)


def expect_loader(contents: bytes, files: dict[str, bytes]) -> None:
    """The code is that of `compos build`, and its places are those of the files."""
    places: list[bios.Place] = []
    for name in ("kernel", "cmdline", "initrd.img"):
        size = len(files[name])
        index = 16 + 16 + 12 * len(places)
        sector, length = struct.unpack_from("<QI", contents, 512 + index)
        assert length == size
        assert contents[sector * 512 : sector * 512 + size] == files[name]
        places.append(bios.Place(sector * 512, size))
    assert contents[512 : 512 + bios.LOADER_SIZE] == bios.loader(*places)
    assert contents[:440] == bios.mbr_code(1)


def test_the_same_tar_makes_the_same_bytes(tmp_path: Path) -> None:
    source = archive(tmp_path / "s.tar", FILES)
    disks = [blank(tmp_path / name) for name in ("a", "b")]
    for disk in disks:
        assert run(disk, source).returncode == 0
    assert disks[0].read_bytes() == disks[1].read_bytes()


def test_names_with_the_systems_before(tmp_path: Path) -> None:
    """As `-f kernel+initrd` writes them; what lies in a folder is something else."""
    source = archive(tmp_path / "s.tar", FILES)
    named = {f"my-system-{name}": data for name, data in FILES.items()}
    other = archive(tmp_path / "n.tar", {**named, "other/x-kernel": b"no", "x-kernel.old": b"no"})
    disks = [blank(tmp_path / name) for name in ("a", "b")]
    for disk, tar in zip(disks, (source, other), strict=True):
        assert run(disk, tar).returncode == 0
    assert disks[0].read_bytes() == disks[1].read_bytes()


def test_what_is_there_is_kept_unless_forced(tmp_path: Path) -> None:
    source, disk = archive(tmp_path / "s.tar", FILES), blank(tmp_path / "disk.img")
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "mine", disk], check=True)
    before = disk.read_bytes()
    done = run(disk, source)
    text = f'mkimage: {disk} holds an ext4 file system labelled "mine"; nothing is changed\n'
    assert (done.returncode, done.stderr) == (1, text)
    assert disk.read_bytes() == before
    assert run("-force", disk, source).returncode == 0
    again = run(disk, source)
    assert again.returncode == 1
    assert "vfat file system" in again.stderr, "its own result is somebody's, too"


def test_an_unfinished_one_is_made_again(tmp_path: Path) -> None:
    """As a power cut leaves it: here what belongs into the last sector is missing."""
    source, disk = archive(tmp_path / "s.tar", FILES), blank(tmp_path / "disk.img")
    (tmp_path / "loader.bin").write_bytes((bios.FOLDER / "loader.bin").read_bytes())
    command = [str(compile_brick("mkimage")), "-loader", str(tmp_path), str(disk), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "mbr.bin: No such file or directory" in done.stderr
    table = subprocess.run(["sfdisk", "-d", disk], capture_output=True, text=True, check=True)
    assert "type=da" in table.stdout, "nobody mounts it"
    assert run(disk, source).returncode == 0


@pytest.mark.slow
def test_killed_at_any_write(tmp_path: Path) -> None:
    """The disk is blank, unfinished or whole; the next run makes it whole."""
    source, whole = archive(tmp_path / "s.tar", FILES), blank(tmp_path / "disk.img", 40)
    assert run(whole, source).returncode == 0
    whole, disk = whole.rename(tmp_path / "whole.img"), tmp_path / "disk.img"
    command = [str(compile_brick("mkimage")), "-loader", str(bios.FOLDER), str(disk), str(source)]
    # The leak checker cannot run under a tracer.
    log = tmp_path / "calls"
    strace = ["strace", "-f", "-qq", "-o", str(log), "-E", "ASAN_OPTIONS=detect_leaks=0"]
    for number in range(1, 100):
        blank(disk, 40)
        kill = f"inject=pwrite64:signal=KILL:when={number}"
        calls = ["-e", "trace=pwrite64,fsync", "-e", kill]
        done = subprocess.run([*strace, *calls, *command], capture_output=True, check=False)
        if done.returncode == 0:
            break
        table = subprocess.run(["sfdisk", "-d", disk], capture_output=True, text=True, check=False)
        finished = "type=c" in table.stdout
        assert finished == (disk.read_bytes() == whole.read_bytes()), number
        assert finished or run(disk, source).returncode == 0
        assert disk.read_bytes() == whole.read_bytes()
    assert number > 15, "writes of the program"
    *_, synced, sector, end = (
        line.split(maxsplit=1)[1]
        for line in log.read_text().splitlines()
        if "pwrite64(" in line or "fsync(" in line
    )
    assert synced.startswith("fsync("), "all the rest is on the disk"
    assert sector.startswith("pwrite64(")
    assert sector.endswith(", 512, 0) = 512")
    assert end.startswith("fsync(")


BAD = {
    "no kernel": ({"initrd.img": b"x"}, "has no file kernel in its archive"),
    "no initrd": ({"kernel": kernel()}, "has no file initrd.img in its archive"),
    "short": ({**FILES, "kernel": b"MZ"}, "the kernel has only 2 bytes"),
    "other": ({**FILES, "kernel": bytes(4096)}, "the kernel is not a bzImage"),
    "old": ({**FILES, "kernel": kernel(version=0x209)}, "version 0x209 of the boot protocol"),
    "cmdline": ({**FILES, "cmdline": b"x" * 2048}, "has 2048 bytes, but this kernel accepts 2047"),
    "initrd": ({**FILES, "kernel": kernel(initrd_most=1 << 25)}, "too much for a BIOS"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_boot_is_refused(tmp_path: Path, case: str) -> None:
    files, message = BAD[case]
    disk = blank(tmp_path / "disk.img")
    done = run(disk, archive(tmp_path / "s.tar", files))
    assert done.returncode == 1
    assert message in done.stderr
    assert is_blank(disk), "nothing is changed"


def test_damaged_archives(tmp_path: Path) -> None:
    whole = archive(tmp_path / "s.tar", FILES).read_bytes()
    disk = blank(tmp_path / "disk.img")
    for damaged in (
        whole[:1024],
        whole[:5120],
        whole.replace(b"ustar", b"vstar"),
        b"\xff" * 5120,
        bytes(5120),
    ):
        source = tmp_path / "damaged.tar"
        source.write_bytes(damaged)
        assert run(disk, source).returncode == 1
        assert is_blank(disk)


def test_too_small(tmp_path: Path) -> None:
    done = run(blank(tmp_path / "disk.img", 16), archive(tmp_path / "s.tar", FILES))
    assert done.returncode == 1
    assert "is too small: 34 MiB are needed" in done.stderr
    assert run(blank(tmp_path / "next.img", 34), tmp_path / "s.tar").returncode == 0


@pytest.mark.parametrize("arguments", [["-x"], ["/dev/null"], ["-force"], ["a", "b", "c"]])
def test_command_line(arguments: list[str]) -> None:
    assert run(*arguments).returncode == 2
