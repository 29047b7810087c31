"""The data partition on disks of this machine: which entry it gets, what it keeps, what it refuses;
sfdisk, sgdisk and the makers of the file systems are the judges. Encryption needs a machine with a
TPM: `test_sealed.py`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.boot.power.host import Answer, check_filesystem, check_table, run
from tests.boot.power.judges import may_grow
from tests.bricks.compiler import BRICKS

pytestmark = [pytest.mark.boot, pytest.mark.root]

PROGRAM = BRICKS / "data-partition/bin/amd64/data-partition"
MIB = 1 << 20

# The BIOS boot partition of `raw` disks begins where a second set of entries would end.
SYSTEM = "label: gpt\nfirst-lba: 34\nstart=64, size=1984, type=21686148-6449-6E6F-744E-656564454649\nsize=3M\n"
SPACIOUS = "label: gpt\nsize=3M\n"


def system_disk(folder: Path, size: int = 128, table: str = SYSTEM, written: int = 5) -> Path:
    """A disk of `size` MiB, onto which an image of `written` MiB was copied."""
    image = folder / "image"
    image.write_bytes(b"")
    os.truncate(image, written * MIB + 1024)
    subprocess.run(["sfdisk", "--quiet", str(image)], input=table, text=True, check=True)
    os.truncate(image, size * MIB)
    return image


@contextmanager
def loop(image: Path) -> Iterator[str]:
    """A disk whose partitions the kernel knows."""
    device = run("losetup", "--find", "--show", "--partscan", image).text
    for number, one in enumerate(partitions(image), 1):
        if not Path(f"{device}p{number}").exists():
            run("addpart", device, str(number), str(one["start"]), str(one["size"]))
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


def partitions(image: Path) -> list[dict[str, int | str]]:
    found: list[dict[str, int | str]] = json.loads(
        subprocess.run(["sfdisk", "--json", str(image)], capture_output=True, check=True).stdout
    )["partitiontable"]["partitions"]
    return found


def start(device: str, point: Path, *options: str, then: str = "true") -> Answer:
    """Runs it as at a boot, and `then` in the shell while it is mounted; that is undone."""
    command = f'"$@" && {{ cd {point}; {then}; }}'
    words = [str(PROGRAM), "-device", device, *options, str(point)]
    return run("unshare", "--mount", "sh", "-c", command, "sh", *words)


def data_of(image: Path) -> dict[str, int | str]:
    (one,) = [one for one in partitions(image) if one.get("name") == "data"]
    return one


@pytest.mark.parametrize("table", [SYSTEM, SPACIOUS], ids=["no-room", "room"])
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_it_is_made_kept_and_grown(kind: str, table: str, tmp_path: Path) -> None:
    size = {"ext4": 64, "xfs": 400, "btrfs": 200}[kind]
    image = system_disk(tmp_path, size, table)
    options, before = ("-type", kind), partitions(image)
    with loop(image) as device:
        made = start(device, tmp_path / "point", *options, then="echo kept > file; sync")
        assert made.status == 0, made.text
        assert f"{kind} file system made" in made.text
        check_table(device, "gpt")
        one = data_of(image)
        check_filesystem(str(one["node"]).replace(str(image), f"{device}p"), kind)
        again = start(device, tmp_path / "point", *options, then="cat file")
        assert again.status == 0, again.text
        assert "file system made" not in again.text
        assert again.text.endswith("kept")
    first = int(one["start"])
    assert [one for one in partitions(image) if one.get("name") != "data"] == before
    assert first * 512 % MIB == 0
    assert int(one["size"]) * 512 > (size - 8) * MIB

    if kind == "ext4" and not may_grow():
        return  # In guests: sealed_boots.py.
    os.truncate(image, 2 * size * MIB)
    with loop(image) as device:
        grown = start(device, tmp_path / "point", *options, then="cat file; df -m . | tail -1")
        assert grown.status == 0, grown.text
        assert "kept" in grown.text
        check_table(device, "gpt")
    one = data_of(image)
    assert int(one["start"]) == first
    assert int(one["size"]) * 512 > (2 * size - 8) * MIB
    assert int(grown.text.split()[-5]) > 1.5 * size, "the file system, too"


def test_an_image_written_over_the_system_keeps_the_data(tmp_path: Path) -> None:
    """The table is the image's, without the entry."""
    image = system_disk(tmp_path)
    head = image.read_bytes()[: 5 * MIB + 1024]
    with loop(image) as device:
        assert start(device, tmp_path / "point", then="echo kept > file").status == 0
    one = data_of(image)
    with image.open("r+b") as stream:
        stream.write(head)
    assert "data" not in [one.get("name") for one in partitions(image)]
    with loop(image) as device:
        kept = start(device, tmp_path / "point", then="cat file")
        assert (kept.status, kept.text.splitlines()[-1]) == (0, "kept")
        check_table(device, "gpt")
    assert data_of(image)["start"] == one["start"]


def test_a_size(tmp_path: Path) -> None:
    image = system_disk(tmp_path, 512)
    for size in (300, 400):
        with loop(image) as device:
            options = ("-type", "btrfs", "-size", str(size * MIB))
            assert start(device, tmp_path / "point", *options).status == 0
        assert int(data_of(image)["size"]) * 512 == size * MIB


def refused(image: Path, folder: Path, *options: str) -> str:
    """Nothing is changed, and the reason."""
    before = folder / "before"
    shutil.copyfile(image, before)
    with loop(image) as device:
        answer = start(device, folder / "point", *options)
    assert answer.status == 1, answer.text
    assert run("cmp", before, image).status == 0, "nothing is written"
    return answer.text


def test_what_somebody_has_left_there(tmp_path: Path) -> None:
    image = system_disk(tmp_path)
    with image.open("r+b") as stream:
        stream.seek(6 * MIB)
        stream.write(b"somebody's")
    assert "holds data of an unknown kind" in refused(image, tmp_path)


def test_another_file_system(tmp_path: Path) -> None:
    image = system_disk(tmp_path)
    with loop(image) as device:
        assert start(device, tmp_path / "point").status == 0
    assert "holds ext4, not btrfs" in refused(image, tmp_path, "-type", "btrfs")
    assert "holds ext4, not LUKS2" in refused(image, tmp_path, "-encrypt")


def test_disks_that_cannot_have_it(tmp_path: Path) -> None:
    assert "not enough" in refused(system_disk(tmp_path, 30), tmp_path)
    assert "not enough" in refused(system_disk(tmp_path, 64), tmp_path, "-size", str(64 * MIB))
    assert "no GPT" in refused(system_disk(tmp_path, table="label: dos\nsize=3M\n"), tmp_path)


def test_encryption_needs_a_machine_that_measures(tmp_path: Path) -> None:
    """This one has no TPM, or was not started by systemd's stub."""
    image = system_disk(tmp_path)
    with loop(image) as device:
        answer = start(device, tmp_path / "point", "-encrypt", "-recovery")
        assert answer.status == 1
        assert "TPM" in answer.text or "measured" in answer.text
        # What has begun is made, and not taken for data, by the next start.
        assert start(device, tmp_path / "point").status == 0
        check_table(device, "gpt")
