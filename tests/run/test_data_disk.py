"""The disk that `compos dev` gives to a system with a data partition. sgdisk reads its table."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from compos.config.load import load
from compos.config.model import Config
from compos.errors import RunError
from compos.run.data_disk import with_data_disk
from compos.run.disks import Disk

PARTITION = "disk: {mountpoint: /var/lib/data}\n"


def config(folder: Path, text: str) -> Config:
    path = folder / "os.yml"
    path.write_text(text)
    return load([str(path)])


@pytest.mark.slow
def test_a_system_gets_a_disk_once(tmp_path: Path) -> None:
    wanted = config(tmp_path, PARTITION)
    state = tmp_path / "state"
    [disk] = with_data_disk(wanted, (), state)
    assert disk == Disk(state / "data.img", format="raw")
    done = subprocess.run(
        ["sgdisk", "--verify", "--print", disk.path], capture_output=True, text=True, check=True
    )
    assert "No problems found" in done.stdout
    assert disk.path.stat().st_blocks * 512 < 1 << 20
    first = disk.path.read_bytes()[: 1 << 20]
    assert with_data_disk(wanted, (), state) == (disk,)
    assert disk.path.read_bytes()[: 1 << 20] == first
    assert [one.name for one in state.iterdir()] == ["data.img"]


def test_what_needs_none_gets_none(tmp_path: Path) -> None:
    mine = Disk(tmp_path / "mine.img")
    for text in ("init: []\n", "disk: {mountpoint: /var/lib/data, device: /dev/vdb}\n"):
        assert with_data_disk(config(tmp_path, text), (mine,), tmp_path / "state") == (mine,)
    assert not (tmp_path / "state").exists()


@pytest.mark.slow
def test_a_partitioned_disk_of_the_user_takes_its_place(tmp_path: Path) -> None:
    wanted = config(tmp_path, PARTITION)
    raw, qcow2 = tmp_path / "mine.img", tmp_path / "mine.qcow2"
    with raw.open("wb") as stream:
        stream.truncate(64 << 20)
    blank = Disk(raw, format="raw")
    assert len(with_data_disk(wanted, (blank,), tmp_path / "state")) == 2
    subprocess.run(["sgdisk", "--clear", raw], capture_output=True, check=True)
    assert with_data_disk(wanted, (blank,), tmp_path / "state") == (blank,)
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, qcow2], check=True)
    other = Disk(qcow2, format="qcow2")
    assert with_data_disk(wanted, (other,), tmp_path / "state") == (other,)


def test_a_state_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(RunError, match="data-disk"):
        with_data_disk(config(tmp_path, PARTITION), (), tmp_path / "state")
