"""From a request to options: the state directory, and that nothing is made when something is
wrong."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compos.errors import RunError
from compos.image.store import Store
from compos.run.disks import Disk
from compos.run.network import Publish
from compos.run.prepare import RunRequest
from compos.run.prepare import prepare as prepare_and_take
from compos.run.qemu import Options, command_line


def prepare(request: RunRequest) -> Options:
    """The options; nothing runs with them, so that the state directory is free again."""
    options = prepare_and_take(request)
    assert options.slot is not None
    options.slot.give_up()
    return options


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


@pytest.mark.parametrize(
    ("url", "change"),
    [
        ("http://localhost/boot.ipxe", {"uefi": True}),
        ("http://localhost/boot.ipxe", {"arch": "aarch64"}),
        ("http://localhost/boot.ipxe", {"networking": "tap,tap0"}),
        ("http://localhost/boot.ipxe", {"networking": "none"}),
        ("http://localhost/boot.efi", {"networking": "none"}),
        ("http://localhost/boot.efi", {"firmware": Path("/usr/share/OVMF/OVMF_CODE.fd")}),
    ],
)
def test_what_cannot_boot_from_the_network(
    request_: RunRequest, tmp_path: Path, url: str, change: dict[str, Any]
) -> None:
    state = tmp_path / "none"
    with pytest.raises(RunError) as caught:
        prepare(replace(request_, url=url, state=state, **change))
    assert caught.value.id == "netboot-firmware"
    assert not state.exists()


def test_a_url_is_told_to_the_bios_or_to_uefi(request_: RunRequest, tmp_path: Path) -> None:
    asked = replace(request_, state=tmp_path / "state")
    line = command_line(prepare(replace(asked, url="http://localhost:80/boot.ipxe")))
    assert "user,id=t0,bootfile=http://10.0.2.2:80/boot.ipxe" in line
    assert any("virtio-net-pci" in word and "romfile=" not in word for word in line)
    for name in ("old", "new"):
        options = prepare(replace(asked, url=f"http://localhost/{name}.efi"))
        assert not any("bootfile" in word for word in command_line(options))
    assert options.firmware
    assert options.firmware.variables
    variables = options.firmware.variables.read_bytes()
    assert variables.count(b"http://10.0.2.2/new.efi\x7f\xff\4\0") == 1
    assert b"old.efi" not in variables
