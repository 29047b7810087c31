"""`compos install`: files that stand for disks, and what is refused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from compos.cli.main import main
from tests.compose.systems import World
from tests.output.bootable import YAML, filled
from tests.output.test_formats import build

pytestmark = pytest.mark.slow

MIB = 1 << 20


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = filled(World(tmp_path_factory.mktemp("world")))
    (made.folder / "os.yml").write_text(YAML)
    return made


def install(world: World, disk: Path, *options: str) -> int:
    return main(["install", *world.flags, str(disk), str(world.folder / "os.yml"), *options])


def test_it_is_what_the_format_writes(world: World, tmp_path: Path) -> None:
    made, blank = tmp_path / "made", tmp_path / "blank"
    assert install(world, made, "--size", "64M", "--yes") == 0
    blank.write_bytes(b"")
    os.truncate(blank, 64 * MIB)
    assert install(world, blank, "--yes") == 0
    wanted = (build(world, "-f", "raw", "--size", "64M") / "os.img").read_bytes()
    assert made.read_bytes() == wanted
    assert blank.read_bytes() == wanted
    assert made.stat().st_blocks * 512 < 16 * MIB, "holes stay holes"


def test_a_disk_with_data(world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"data" * (16 * MIB))
    assert install(world, disk, "--yes") == 1
    assert "the disk holds data of an unknown kind" in capfd.readouterr().err
    assert disk.read_bytes() == b"data" * (16 * MIB)
    assert install(world, disk, "--yes", "--erase") == 0
    assert "data of an unknown kind, which is lost" in capfd.readouterr().err
    assert disk.read_bytes() == (build(world, "-f", "raw", "--size", "64M") / "os.img").read_bytes()


def test_nobody_to_ask(world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    disk = tmp_path / "disk"
    assert install(world, disk, "--size", "64M") == 1
    assert "use --yes" in capfd.readouterr().err
    assert not disk.exists()


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (None, (), "there is no such disk"),
        (None, ("--size", "1M"), "the system needs"),
        (64, ("--size", "65M"), "the disk has 67,108,864 bytes"),
        (1, (), "the system needs"),
    ],
)
def test_disks_that_are_refused(
    size: int | None,
    options: tuple[str, ...],
    message: str,
    world: World,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    disk = tmp_path / "disk"
    if size is not None:
        disk.write_bytes(b"")
        os.truncate(disk, size * MIB)
    assert install(world, disk, "--yes", *options) == 1
    assert message in capfd.readouterr().err
    assert disk.exists() == (size is not None)
    assert not disk.exists() or not any(disk.read_bytes())


def test_what_is_no_disk(world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert install(world, Path("/dev/null"), "--yes") == 1
    assert "neither a disk nor a file" in capfd.readouterr().err


@pytest.mark.root
def test_devices(world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A loop device gets the same bytes, whatever was on it; one in use is refused."""
    disk = tmp_path / "disk"
    disk.write_bytes(b"old" * (64 * MIB // 3) + b"o")
    attach = ["losetup", "--find", "--show", str(disk)]
    device = subprocess.run(attach, capture_output=True, text=True, check=True).stdout.strip()
    point = tmp_path / "point"
    point.mkdir()
    try:
        assert install(world, disk, "--yes", "--erase") == 1
        assert "the file is the disk of a loop device" in capfd.readouterr().err
        assert install(world, Path(device), "--yes", "--erase") == 0
        subprocess.run(["mkfs.ext4", "-q", "-F", device], check=True)
        subprocess.run(["mount", device, point], check=True)
        assert install(world, Path(device), "--yes", "--erase") == 1
        assert "the disk is in use" in capfd.readouterr().err
        subprocess.run(["umount", point], check=True)
        assert install(world, Path(device), "--yes", "--erase") == 0
    finally:
        subprocess.run(["umount", "-q", point], check=False)
        subprocess.run(["losetup", "--detach", device], check=True)
    wanted = (build(world, "-f", "raw", "--size", "64M") / "os.img").read_bytes()
    end = 16 * MIB
    assert disk.read_bytes()[:end] == wanted[:end]
    assert disk.read_bytes()[-MIB:] == wanted[-MIB:]
