"""`compos test` and `compos dev` are interrupted, once and twice, at several moments: no guest goes
on, nor anything that serves it."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.develop.dev import SYSTEM
from tests.guest import COMPOS
from tests.leftovers import left_behind, running

pytestmark = [
    pytest.mark.boot,
    pytest.mark.xdist_group("boot"),
    pytest.mark.usefixtures("default_signals"),
]

EXPECTED = """\
test:
  - {service: clock, timeout: 600s}
  - {console: never, timeout: 600s}
"""
INTERRUPT, TERMINATE, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGKILL
STATUS = {INTERRUPT: 130, TERMINATE: 143, KILL: -KILL}
WAYS = {
    "as soon as QEMU runs": ("qemu", 0.0, (INTERRUPT, TERMINATE)),
    "a moment later": ("qemu", 0.4, (INTERRUPT, INTERRUPT)),
    "while it boots": ("qemu", 2.0, (TERMINATE, TERMINATE)),
    "while it is asked": ("ok", 0.0, (INTERRUPT, TERMINATE, INTERRUPT)),
    "killed": ("qemu", 1.0, (KILL,)),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, for the paths of sockets."""
    with tempfile.TemporaryDirectory(prefix="cut") as name:
        Path(name, "os.yml").write_text(SYSTEM + EXPECTED)
        Path(name, "index.html").touch()
        Path(name, "tmp").mkdir()
        yield Path(name)


def interrupted(
    folder: Path, *command: str, until: str, after: float, numbers: tuple[int, ...]
) -> int:
    """Start compos, and send it signals; returns its exit status."""
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMPOS, *command, "--accel", "tcg", "os.yml"],
            cwd=folder,
            env={
                **os.environ,
                "COMPOS_RUNTIME": str(folder / "run"),
                "TMPDIR": str(folder / "tmp"),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 900
    while not (
        any("qemu-system" in line for line in running(folder / "run").values())
        if until == "qemu"
        else until in log.read_text()
    ):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)
    time.sleep(after)
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.1)
    return process.wait(60)


@pytest.mark.parametrize("way", WAYS)
def test_tests(way: str, folder: Path) -> None:
    until, after, numbers = WAYS[way]
    status = interrupted(folder, "test", until=until, after=after, numbers=numbers)
    assert left_behind(folder / "run") == {}
    # The interpreter forgets the handlers as it ends.
    assert status in (STATUS[numbers[0]], -numbers[-1])
    if KILL not in numbers:
        assert [*(folder / "tmp").iterdir()] == []
        assert [one for one in (folder / "run").rglob("*") if one.is_socket()] == []


@pytest.mark.parametrize("way", ["a moment later", "killed"])
def test_edits(way: str, folder: Path) -> None:
    until, after, numbers = WAYS[way]
    status = interrupted(folder, "dev", "--plain", until=until, after=after, numbers=numbers)
    assert left_behind(folder / "run") == {}
    assert status in (STATUS[numbers[0]], -numbers[-1])
