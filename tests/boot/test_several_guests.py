"""Two guests on one network that talk; a folder shared by 9p, a disk that stays as it is, the same
state twice, and a QEMU that is killed."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path

import pytest

from compos.api.options import ImageOptions
from compos.errors import RunError
from compos.run.control import console_log
from compos.run.disks import Disk
from compos.run.guests import find_guest
from compos.run.qmp import listening_process
from compos.testing import Booted, Machine, boot
from tests.boot.conftest import STORE

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

SYSTEM = """
kernel: {image: compos/kernel-generic:v1, cmdline: "console=ttyS0 panic=-1", modules: [auto, 9p, 9pnet_virtio]}
init: [compos/init:v1, compos/crun:v1]
services:
  - name: net
    image: compos/busybox:v1
    command: [/bin/busybox, httpd, -f, -h, /]
    net: host
    capabilities: [CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW]
    binds: ["/dev:/dev"]
    devices: [{path: all, type: b}]
    mounts:
      - {type: 9p, source: 9p0, destination: /share, options: [trans=virtio, rw]}
"""


def machine(name: str, state: Path, **options: object) -> Machine:
    return Machine(
        accelerator="tcg",
        memory=384,
        name=name,
        state=state,
        options={"networks": ("lan",), "folders": (state.parent / "share",), **options},
    )


def shell(guest: Booted, command: str) -> str:
    done = guest.exec(["/bin/sh", "-c", command], service="net")
    assert done.status == 0, done
    return done.output


def test_they_talk(tmp_path: Path) -> None:
    source = tmp_path / "net.yml"
    source.write_text(SYSTEM)
    disk = tmp_path / "disk.img"
    disk.write_bytes(b"as it was".ljust(1 << 20, b"."))
    (tmp_path / "share").mkdir()
    (tmp_path / "share" / "from-host").write_text("from the host")
    before = hashlib.sha256(disk.read_bytes()).digest()
    images = ImageOptions(cache=STORE)
    first = machine("one", tmp_path / "one", disks=(Disk(disk, format="raw"),), snapshot=True)
    second = machine("two", tmp_path / "two")
    with boot(source, first, images=images) as one, boot(source, second, images=images) as two:
        for number, guest in enumerate((one, two), 1):
            guest.service("net").running(300)
            shell(guest, f"ip addr add 10.9.0.{number}/24 dev eth1 && ip link set eth1 up")
        assert shell(one, "cat /share/from-host") == "from the host"
        shell(two, "echo two > /share/from-two && chmod 4755 /share/from-two")
        assert shell(one, "cat /share/from-two") == "two\n"
        shared = tmp_path / "share" / "from-two"
        assert (shared.read_text(), shared.stat().st_mode & 0o7777) == ("two\n", 0o600)
        heard = shell(two, "wget -q -T 60 -O - http://10.9.0.1/proc/cmdline")
        assert "compos.exec" in heard
        assert "10.9.0.2" in shell(one, "ping -c 2 -W 20 10.9.0.2")
        shell(one, "echo written | dd of=/dev/sda conv=notrunc,fsync 2>/dev/null")
        assert shell(one, "head -c 7 /dev/sda") == "written"
        with (
            pytest.raises(RunError, match="guest one is running with this state"),
            boot(source, machine("three", tmp_path / "one"), images=images),
        ):
            pass
        killed(one)
    assert hashlib.sha256(disk.read_bytes()).digest() == before


def killed(guest: Booted) -> None:
    """QEMU dies; what the guest has said is still there."""
    process = listening_process(guest.guest.monitor)
    assert process is not None
    os.kill(process, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while guest.guest.is_running():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    ended = find_guest("one", running=False)
    assert not ended.runs
    assert b"services started" in b"".join(console_log(ended))
    with pytest.raises(AssertionError, match="the guest has ended"):
        guest.http(80)
