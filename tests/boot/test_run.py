"""`run qemu --detached --virtiofs`: a guest that outlives the command and reads and writes a folder
of this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest import COMPOS

pytestmark = pytest.mark.boot

SYSTEM = """
kernel: {image: compos/kernel:v1, cmdline: console=ttyS0, modules: auto}
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: share
    image: compos/busybox:v1
    command: [/bin/sh, -c, "cat /share/from-host && echo guest > /share/from-guest"]
    mounts: [{type: virtiofs, source: virtiofs0, destination: /share, options: [rw]}]
services: [{name: idle, image: "compos/busybox:v1", command: [/bin/sleep, "1000"]}]
"""


def eventually(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


def alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_detached_guest_shares_a_folder(built: Callable[[str], Path], tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "from-host").write_text("written on the host\n")
    options = [
        "--accel",
        "tcg",
        "--state",
        str(tmp_path / "state"),
        "--detached",
        "--virtiofs",
        str(shared),
    ]
    done = subprocess.run(
        [*COMPOS, "run", "qemu", *options, str(built(SYSTEM))],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    match = re.search(r"process (\d+)", done.stderr)
    assert match, done.stderr
    pid = int(match[1])
    try:
        console = tmp_path / "state" / "console.log"
        eventually((shared / "from-guest").exists)
        eventually(lambda: "written on the host" in console.read_text(errors="replace"))
        assert (shared / "from-guest").read_text() == "guest\n"
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: not alive(pid), 20)
