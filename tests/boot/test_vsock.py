"""The bricks that a host reaches over vsock, in a guest that is its own host: the kernel's loopback
transport stands in for the hypervisor's; the host then shuts it down by QEMU's guest agent."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boot.agent import agent
from tests.guest import Guest

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

SOURCE = Path(__file__).resolve().parent / "programs" / "vsock_client.c"

SYSTEM = """
kernel:
  image: compos/kernel:v1
  cmdline: "console=ttyS0 panic=-1"
  modules: [auto, vsock_loopback]
init: [compos/init:v1, compos/crun:v1, compos/memlogd:v1]
onboot:
  - name: modprobe
    image: compos/busybox:v1
    command: [/bin/sh, -c, "/bin/modprobe vsock_loopback && echo loaded"]
    binds: ["/lib/modules:/lib/modules"]
    capabilities: [CAP_SYS_MODULE]
services:
  - {name: getty, image: compos/getty:v1, env: [INSECURE=true]}
  - {name: qemu-ga, image: compos/qemu-ga:v1}
  - {name: host-timesync-daemon, image: compos/host-timesync-daemon:v1}
  - name: vsudd
    image: compos/vsudd:v1
    binds: ["/run:/run"]
    command: [/vsudd, -inport, "2374:unix:/run/memlogdq.sock", -inport, "2375:unix:/run/nowhere"]
files:
  - {path: usr/bin/vsock-client, source: "CLIENT", mode: "0755"}
"""


def test_vsock(built: Callable[[str], Path], tmp_path: Path) -> None:
    client = tmp_path / "client"
    subprocess.run(["gcc", "-static", "-Wall", "-Werror", "-o", client, str(SOURCE)], check=True)
    system = built(SYSTEM.replace("CLIENT", str(client)))
    options = ["--state", f"{tmp_path}/state", "--device", "virtio-serial-pci"]
    with Guest(system, *options, log=tmp_path / "console.log") as guest:
        guest.expect("compos: services started", 300)
        guest.prompt()
        asked = guest.run("/system/bin/vsock-client 2374")
        assert '"msg":"loaded"' in asked
        assert "the end" in asked
        assert "the end" in guest.run("/system/bin/vsock-client 2375")
        right = guest.run("date +%Y")
        assert "1999" in guest.run("date -u -s '1999-01-02 03:04:05'; date +%Y")
        assert "the end" in guest.run("/system/bin/vsock-client 0xf3a4")
        assert guest.run("date +%Y").splitlines()[1:] == right.splitlines()[1:]
        with agent(guest, tmp_path / "agent") as host:
            assert host.ask("guest-ping") == {}
            host.send("guest-shutdown", mode="powerdown")
            assert guest.process.wait(90) == 0
        assert "reboot: Power down" in guest.text()
