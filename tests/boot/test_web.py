"""The demo's system: onboot in order, services under containerd, a login on the console, a page, a
clean power-off."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest import Guest, fetch, free_port

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]


def test_web(built: Callable[[str], Path], tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "console.log"
    with Guest(
        built("web"), "--publish", f"{port}:80", "--state", f"{tmp_path}/state", log=log
    ) as guest:
        page = fetch(port, 180)
        assert "Hello from a Linux composed of containers" in page
        guest.expect(r"compos: services started \(3 of 3\)")
        guest.prompt()

        services = guest.run("/usr/bin/svc ps")
        assert set(re.findall(r"(\w+)\s+running", services)) == {"getty", "rngd", "nginx"}

        assert "uid=0(root)" in guest.run("id")
        assert "524288" in guest.run("cat /proc/sys/fs/inotify/max_user_watches"), (
            "the sysctl brick set it"
        )
        assert "nameserver" in guest.run("cat /etc/resolv.conf"), (
            "dhcpcd wrote it, through the root's link"
        )
        assert "rngd: random numbers from /dev/hwrng" in guest.run("cat /var/log/rngd.log"), (
            "QEMU's; its processor has none"
        )
        logs = guest.run("ls /var/log /var/log/onboot/")
        for name in (
            "nginx.out.log",
            "nginx.log",
            "onboot.000-sysctl.log",
            "onboot.001-dhcpcd.out.log",
        ):
            assert name in logs
        assert "GET / HTTP" in guest.run("cat /var/log/nginx.out.log")
        assert "ro," in guest.run("grep ' / ' /proc/1/mounts | tail -1"), "the root is read-only"
        memory = re.search(r"VmRSS:\s+(\d+) kB", guest.run("cat /proc/1/status"))
        assert memory is not None
        assert int(memory[1]) < 1024, "init stays below a MiB"

        assert guest.power_off() == 0
        text = guest.text()
    order = [
        text.index(part)
        for part in (
            "onboot 000-sysctl done",
            "onboot 001-dhcpcd done",
            "containerd ready",
            "services started",
        )
    ]
    assert order == sorted(order)
    assert text.index("so long and thanks for all the fish") > order[-1]
    assert "reboot: Power down" in text
