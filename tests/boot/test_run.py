"""`run qemu --detach --virtiofs`: a guest that outlives the command, reads and writes a folder of
this machine, and is watched, used and stopped by name."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.guest import COMPOS

pytestmark = pytest.mark.boot

PAGE = Path(__file__).resolve().parents[2] / "docs" / "running.md"

SYSTEM = """
kernel: {image: compos/kernel:v1, cmdline: console=ttyS0, modules: auto}
init: [compos/init:v1, compos/crun:v1]
onboot:
  - name: share
    image: compos/busybox:v1
    command: [/bin/sh, -c, "cat /share/from-host && echo guest > /share/from-guest"]
    mounts: [{type: virtiofs, source: virtiofs0, destination: /share, options: [rw]}]
services: [{name: app, image: "compos/busybox:v1", command: [/bin/sleep, "1000"]}]
"""


def eventually(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


def alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def page_commands() -> list[str]:
    """What docs/running.md does with a guest that it has started; the last one stops it."""
    found = re.findall(r"```sh\n(.*?)\n```", PAGE.read_text(), re.DOTALL)[0]
    start, *rest = str(found).splitlines()
    assert start == "compos run qemu --detach --publish 8080:80 --name web web.yml"
    assert rest[-1] == "compos stop web"
    assert len(rest) == 6
    return rest


def command(*arguments: str, input: str = "", status: int = 0, folder: Path | None = None) -> str:
    """What `compos` prints."""
    done = subprocess.run(
        [*COMPOS, *arguments],
        cwd=folder,
        input=input,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout


def test_a_detached_guest_shares_a_folder(built: Callable[[str], Path], tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "from-host").write_text("written on the host\n")
    options = [
        "--accel",
        "tcg",
        "--state",
        str(tmp_path / "state"),
        "--detach",
        "--name",
        "web",
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
    assert "The guest web runs in QEMU" in done.stderr
    state = tmp_path / "state"
    pid = int((state / "qemu.pid").read_text())
    try:
        eventually((shared / "from-guest").exists)
        (guest,) = json.loads(command("ps", "--json"))
        assert (guest["name"], guest["state"], guest["process"]) == ("web", "running", pid)
        eventually(lambda: "services started" in command("logs", "web"))
        assert "written on the host" in command("logs", "web")
        assert (shared / "from-guest").read_text() == "guest\n"
        assert re.search(r"app +running", command("exec", "web", "svc", "ps"))
        assert command("exec", "-s", "app", "web", "sh", "-c", "cat; pwd", input="in") == "in/\n"
        assert command("exec", "-s", "app", "web", "sh", "-c", "exit 9", status=9) == ""
        powers = command("exec", "-s", "app", "web", "sh", "-c", "grep CapEff /proc/self/status")
        assert powers.split() == ["CapEff:", "0" * 16]  # confined as the service is
        assert "compos.exec" in command("exec", "-s", "app", "web", "cat", "/proc/cmdline")
        for line in page_commands():
            command(*shlex.split(line)[1:], folder=tmp_path)
        assert (tmp_path / "web.png").read_bytes().startswith(b"\x89PNG")
        assert not alive(pid)
        console = (state / "console.log").read_text(errors="replace")
        assert "reboot: Power down" in console  # by the power button
        assert command("ps", "--all", "--json") == "[]\n"
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
