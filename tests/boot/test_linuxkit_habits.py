"""What LinuxKit's own init images do and expect, in a booted guest: memlogd as the log of
everything, folders to bind; and its names of packages, for which our bricks stand.

`tests/boot/programs/memlogd.c` speaks memlogd's protocol and reads each source to its end, as the
real one does.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.image.store import Store
from tests.boot.runtimes import RUNTIMES, until
from tests.guest import Guest
from tests.images import Member, make_image

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

SOURCE = Path(__file__).resolve().parent / "programs" / "memlogd.c"
FOLDERS = ("/etc/ssl/certs", "/home", "/opt", "/srv")
"""What LinuxKit's init image has, and containers bind (reference: Alpine's base layout)."""

INIT = "linuxkit/init:8eea386739975a43af558eec757a7dcb3a3d2e7b"
AUTHORITIES = "linuxkit/ca-certificates:a4f15fe71bb0ad7560ff78f48504dd2af500a442"

SYSTEM = """
bricks: linuxkit
kernel: {image: compos/kernel:v1, cmdline: "console=ttyS0 panic=-1", modules: auto}
init: [INIT, RUNTIME, "compos/busybox:v1", "oci:MEMLOGD", AUTHORITIES]
onboot:
  - {name: sysctl, image: linuxkit/sysctl:5a374e4bf3e5a7deeacff6571d0f30f7ea8f56db}
  - name: binds
    image: compos/busybox:v1
    binds: [BINDS]
    command: [/bin/sh, -c, 'ls -d FOLDERS && echo all there; echo on error >&2']
  - name: group
    image: compos/busybox:v1
    command: [/bin/sh, -c, 'cat /sys/fs/cgroup/newcgroup/cgroup.type && echo is there']
    runtime: {cgroups: [newcgroup]}
  - name: by-binds
    image: compos/busybox:v1
    binds: ["shared:/volume"]
    command: [/bin/sh, -c, 'echo by binds >> /volume/seen']
  - name: by-mounts
    image: compos/busybox:v1
    mounts: [{type: bind, source: shared, destination: /volume, options: [rbind, rw]}]
    command: [/bin/sh, -c, 'echo by mounts >> /volume/seen']
  - name: by-addition
    image: compos/busybox:v1
    binds.add: ["shared:/volume"]
    command: [/bin/sh, -c, 'echo by addition >> /volume/seen']
  - {name: seen, image: compos/busybox:v1, binds: ["shared:/seen:ro"], command: [/bin/cat, /seen/seen]}
  - name: authorities
    image: compos/busybox:v1
    binds: ["/etc:/host-etc"]
    command: [/bin/grep, -c, BEGIN CERTIFICATE, /host-etc/ssl/certs/ca-certificates.crt]
volumes:
  - name: shared
services:
  - name: getty
    image: linuxkit/getty:5d86a2ce2d890c14ab66b13638dcadf74f29218b
    env: [INSECURE=true]
  - name: steady
    image: compos/busybox:v1
    command: [/bin/sh, -c, 'echo begins; echo complains >&2; sleep 8; echo goes on; exec sleep 100000']
  - name: restless
    image: compos/busybox:v1
    command: [/bin/sh, -c, 'echo lives; sleep 1; echo ends']
    restart: always
"""


@pytest.fixture(scope="module")
def memlogd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image as LinuxKit's memlogd is one: a program, and a script that starts it."""
    folder = tmp_path_factory.mktemp("memlogd")
    program = folder / "memlogd"
    subprocess.run(["gcc", "-static", "-O1", "-Wall", "-Werror", "-o", program, SOURCE], check=True)
    script = Member(
        "etc/init.d/002-logging",
        mode=0o755,
        content="#!/bin/sh\nexec /usr/bin/memlogd -daemonize\n",
    )
    layers = [[script, Member("usr/bin/memlogd", mode=0o755, content=program.read_bytes())]]
    make_image(Store(folder / "image"), "memlogd:v1", layers)
    return folder / "image"


@pytest.mark.parametrize("runtime", ["crun", pytest.param("containerd", marks=pytest.mark.wide)])
def test_memlogd_gets_all_that_containers_say(
    runtime: str, memlogd: Path, built: Callable[[str], Path], tmp_path: Path
) -> None:
    text = (
        SYSTEM.replace("INIT", INIT)
        .replace("AUTHORITIES", AUTHORITIES)
        .replace("RUNTIME", RUNTIMES[runtime])
        .replace("MEMLOGD", str(memlogd))
    )
    text = text.replace("BINDS", ", ".join(f"'{path}:{path}'" for path in FOLDERS)).replace(
        "FOLDERS", " ".join(FOLDERS)
    )
    with Guest(built(text), "--state", f"{tmp_path}/state", log=tmp_path / "console.log") as guest:
        guest.expect("compos: services started", 300)
        # The restless one has been started three times, and the steady one has spoken since.
        until(guest, r"(?s)(memlogd restless\.out: lives.*){3}")
        until(guest, r"memlogd steady\.out: goes on")
        guest.prompt()
        sockets = guest.run("netstat -ltun")
        assert "Active Internet connections" in sockets
        assert ":" not in sockets.partition("State")[2], "nothing listens that nobody asked for"
        assert guest.power_off() == 0
        console = guest.text()
    said = re.findall(r"memlogd (\S+): (.*?)\r?\n", console)
    assert ("onboot.001-binds.out", "all there") in said
    assert ("onboot.001-binds", "on error") in said
    group = [line for source, line in said if source == "onboot.002-group.out"]
    assert group == ["domain", "is there"], "a control group of version 2, made before"
    seen = [line for source, line in said if source == "onboot.006-seen.out"]
    assert seen == ["by binds", "by mounts", "by addition"], "one volume, in three ways"
    (authorities,) = (line for source, line in said if source == "onboot.007-authorities.out")
    assert int(authorities) > 100, "the certificates are in the root"
    assert [line for source, line in said if source == "steady.out"] == ["begins", "goes on"]
    assert [line for source, line in said if source == "steady"] == ["complains"]
    restless = [line for source, line in said if source == "restless.out"]
    assert restless[:4] == ["lives", "ends", "lives", "ends"], (
        "nothing is lost where one ends and the next begins"
    )
