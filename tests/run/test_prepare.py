"""From a request to options: the state directory, and that nothing is made when something is
wrong."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from compos.errors import RunError
from compos.image.store import Store
from compos.run.disks import Disk
from compos.run.network import Publish
from compos.run.prepare import RunRequest, prepare


@pytest.fixture
def request_(tmp_path: Path) -> RunRequest:
    for name in ("os-kernel", "os-initrd.img"):
        (tmp_path / name).touch()
    qemu = tmp_path / "my-qemu"
    qemu.write_text("#!/bin/sh\n")
    qemu.chmod(0o755)
    return RunRequest(
        tmp_path / "os",
        lambda: Store(tmp_path / "store"),
        arch="amd64",
        accel="tcg",
        qemu=str(qemu),
    )


def test_the_state_directory_is_filled(tmp_path: Path, request_: RunRequest) -> None:
    options = prepare(replace(request_, metadata=b"hello", disks=(Disk(Path(), 1, "raw"),)))
    state = tmp_path / "os-state"
    assert options.state == state
    assert sorted(path.name for path in state.iterdir()) == ["data.iso", "disk.img", "mac-addr"]
    assert options.mac == (state / "mac-addr").read_text()
    assert (options.arch, options.metadata, options.qemu) == (
        "x86_64",
        state / "data.iso",
        str(tmp_path / "my-qemu"),
    )


def test_state_of_a_disk_and_of_an_iso(tmp_path: Path, request_: RunRequest) -> None:
    for name, state in (("d.img", "d.img-state"), ("x.iso", "x-state")):
        (tmp_path / name).touch()
        assert prepare(replace(request_, path=tmp_path / name)).state == tmp_path / state
    given = tmp_path / "a" / "b"
    assert prepare(replace(request_, state=given)).state == given


def test_without_a_network_there_is_no_address(tmp_path: Path, request_: RunRequest) -> None:
    assert prepare(replace(request_, networking="none")).mac is None
    assert not (tmp_path / "os-state" / "mac-addr").exists()


def test_nothing_is_made_when_something_is_wrong(tmp_path: Path, request_: RunRequest) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        rule = Publish(other.getsockname()[1], 80)
        for wrong, id in (
            ({"publish": (rule,)}, "port-in-use"),
            ({"publish": (rule,), "networking": "none"}, "publish-networking"),
            ({"qemu": "no-such-qemu"}, "qemu-missing"),
            ({"path": tmp_path / "other"}, "boot-missing"),
            ({"arch": "pdp11"}, "arch-unknown"),
        ):
            with pytest.raises(RunError) as caught:
                prepare(replace(request_, **wrong))
            assert caught.value.id == id
    assert not (tmp_path / "os-state").exists()


def test_too_little_memory_is_refused(tmp_path: Path, request_: RunRequest) -> None:
    """Both files are sparse: their sizes count."""
    with (tmp_path / "os-initrd.img").open("wb") as initrd:
        initrd.truncate(600 << 20)
    with pytest.raises(RunError) as caught:
        prepare(request_)
    assert caught.value.id == "memory-too-small"
    assert "at least 1248 MiB" in str(caught.value)
    assert "--mem 1280" in str(caught.value.hint)


@pytest.mark.root
@pytest.mark.parametrize(("user", "mode"), [(65534, 0o700), (0, 0o777), (0, 0o1777)])
def test_a_state_folder_that_others_can_write_to_is_refused(
    tmp_path: Path, request_: RunRequest, user: int, mode: int
) -> None:
    state = tmp_path / "os-state"
    state.mkdir()
    os.chown(state, user, 0)
    state.chmod(mode)
    with pytest.raises(RunError) as caught:
        prepare(request_)
    assert caught.value.id == "state-foreign"
    assert list(state.iterdir()) == []
