"""The bricks of logs in a guest: what containers and the kernel say goes through memlogd into files
that are rotated."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest import Guest

LOGREAD = "/system/bin/logread -socket /run/memlogdq.sock"
"""The root's programs and sockets, as getty sees them."""

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

SYSTEM = """
kernel: {image: compos/kernel:v1, cmdline: "console=ttyS0 panic=-1", modules: auto}
init: [compos/init:v1, compos/crun:v1, compos/memlogd:v1]
onboot:
  - name: early
    image: compos/busybox:v1
    command: [/bin/sh, -c, "echo said on boot"]
services:
  - {name: getty, image: compos/getty:v1, env: [INSECURE=true]}
  - {name: kmsg, image: compos/kmsg:v1}
  - name: fill-the-logs
    image: compos/busybox:v1
    command: [/bin/sh, -c, "i=0; while true; do echo hello $i; i=$((i+1)); usleep 20000; done"]
  - name: logwrite
    image: compos/logwrite:v1
    command: [/usr/bin/logwrite, -max-log-size, "1024", -max-log-files, "3"]
"""


def until(guest: Guest, command: str, pattern: str, seconds: float = 60) -> str:
    """What a command prints as soon as it is as wanted."""
    deadline = time.monotonic() + seconds
    while not re.search(pattern, text := guest.run(command).replace("\r", "")):
        assert time.monotonic() < deadline, f"{command}: {text}"
        time.sleep(1)
    return text


def test_logs(built: Callable[[str], Path], tmp_path: Path) -> None:
    with Guest(
        built(SYSTEM), "--state", f"{tmp_path}/state", log=tmp_path / "console.log"
    ) as guest:
        guest.expect("compos: services started", 300)
        guest.prompt()
        # The first lines of the kernel and of the first container came before anybody read.
        until(guest, "head -n 3 /var/log/kmsg.log*", r"\(\d+\) - \d{4}-\d\d-\d\d ")
        until(guest, "cat /var/log/onboot.000-early.out.log", "T.*Z onboot.000-early.out said on")
        names = until(guest, "ls /var/log", r"fill-the-logs\.out\.log\.1")
        assert re.search(r"fill-the-logs\.out\.log\s", names)
        assert "fill-the-logs.out.log.2" not in guest.run("ls /var/log")
        assert not re.search(r"logwrite\S*\.log", names)
        sizes = guest.run("wc -c /var/log/fill-the-logs.out.log*")
        found = re.findall(r"(\d+) /var/log/fill-the-logs.out.log\.\d", sizes)
        assert found
        assert all(1024 <= int(one) < 1200 for one in found)
        assert "said on boot" in until(guest, LOGREAD, r";fill-the-logs\.out;hello")
        assert guest.power_off() == 0
