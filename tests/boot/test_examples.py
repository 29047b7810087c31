"""The other systems that the talk builds on stage: Redis, and WireGuard between two network
namespaces."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest import Guest, fetch, free_port

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]


def ask_redis(port: int, command: bytes, seconds: float = 180) -> bytes:
    """One command in Redis's inline protocol, as soon as the guest answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 3) as connection:
                connection.sendall(command + b"\r\n")
                if answer := connection.recv(1000):
                    return answer
        except OSError:
            pass
        assert time.monotonic() < deadline, "Redis does not answer"
        time.sleep(0.2)


def test_redis(built: Callable[[str], Path], tmp_path: Path) -> None:
    port = free_port()
    with Guest(
        built("redis"),
        "--publish",
        f"{port}:6379",
        "--disk",
        f"{tmp_path}/disk.img,size=16M",
        "--state",
        f"{tmp_path}/state",
        log=tmp_path / "console.log",
    ) as guest:
        assert ask_redis(port, b"PING") == b"+PONG\r\n"
        assert ask_redis(port, b"SET fish thanks") == b"+OK\r\n"
        assert ask_redis(port, b"GET fish") == b"$6\r\nthanks\r\n"
        # Nobody here may see disks: their drivers come when everything runs.
        guest.expect(r"services started \(1 of 1\)")
        guest.expect(r"\[sda\] Attached SCSI disk")


def test_services(built: Callable[[str], Path], tmp_path: Path) -> None:
    """What the file that a job has written says, behind a database that had to be healthy first;
    without containerd."""
    port = free_port()
    log = tmp_path / "console.log"
    with Guest(
        built("services"), "--publish", f"{port}:80", "--state", f"{tmp_path}/state", log=log
    ) as guest:
        assert fetch(port, 120) == "prepared\n"
        guest.prompt()
        assert "redis" in guest.run("/usr/bin/svc ps")
        assert guest.power_off() == 0
        text = guest.text()
    order = [text.index(f"compos: service {what}") for what in ("redis healthy", "nginx started")]
    assert order == sorted(order)
    assert text.index("service nginx stopped") < text.index("service redis stopped")


def test_wireguard(built: Callable[[str], Path], tmp_path: Path) -> None:
    with Guest(
        built("wireguard"), "--state", f"{tmp_path}/state", log=tmp_path / "console.log"
    ) as guest:
        guest.expect(r"services started \(2 of 2\)", 180)
        guest.prompt()
        assert "Hello through the tunnel" in guest.run("wget -qO- http://192.168.2.1/")
        assert "wg1" in guest.run("ip addr"), "getty lives in wg1's namespace"
        assert guest.power_off() == 0


FAILING = """
kernel:
  image: compos/kernel:v1
  cmdline: "console=ttyS0"
  modules: auto
init:
  - compos/init:v1
  - compos/runc:v1
  - compos/containerd:v1
onboot:
  - name: seven
    image: compos/busybox:v1
    command: ["/bin/sh", "-c", "echo this one fails; exit 7"]
  - name: missing
    image: compos/busybox:v1
    command: ["/no/such/program"]
  - name: fine
    image: compos/busybox:v1
    command: ["/bin/echo", "and boot goes on"]
services:
  - name: broken
    image: compos/busybox:v1
    command: ["/no/such/service"]
  - name: getty
    image: compos/getty:v1
    env: ["INSECURE=true"]
"""


def test_failures_are_named_on_the_console(built: Callable[[str], Path], tmp_path: Path) -> None:
    with Guest(
        built(FAILING), "--state", f"{tmp_path}/state", log=tmp_path / "console.log"
    ) as guest:
        guest.expect(r"services started \(1 of 2\)", 180)
        guest.prompt()
        text = guest.text()
        assert "this one fails" in text
        assert "onboot 000-seven: exit status 7" in text
        assert "001-missing" in text
        assert "/no/such/program" in text
        assert "and boot goes on" in text
        assert "service broken" in text
        assert guest.power_off() == 0


def test_the_readmes_system_builds(built: Callable[[str], Path]) -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    text = readme.split("```yaml\n")[1].split("```")[0]
    prefix = built(text)
    assert prefix.with_name(f"{prefix.name}-initrd.img").stat().st_size > 50_000_000
