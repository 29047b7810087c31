"""Processes that end with the one that has started them: closed, killed, killed twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compos.run.guard import Guard
from tests.leftovers import left_behind, running

PROGRAM = """\
import sys
from compos.run.guard import Guard
guard = Guard()
for command in sys.argv[1:]:
    guard.start(["/bin/sh", "-c", command], start_new_session=True)
print("started", flush=True)
sys.stdin.read()
"""
PLAIN = "exec sleep 1000"
STUBBORN = "trap '' TERM; echo here > stubborn; while :; do sleep 1; done"
QEMU = "#!/bin/sh\ntrap 'exit 0' TERM INT HUP\nwhile :; do sleep 0.02; done\n"


def program(folder: Path, *commands: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *commands],
        cwd=folder,
        env={**os.environ, "COMPOS_RUNTIME": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stdout.readline() == b"started\n"
    return process


def test_closed_it_ends_them() -> None:
    guard = Guard()
    processes = [guard.start(["/bin/sleep", "1000"]) for _ in range(2)]
    guard.close()
    assert [one.returncode for one in processes] == [-signal.SIGTERM] * 2
    guard.close()


def test_released_they_go_on() -> None:
    guard = Guard()
    process = guard.start(["/bin/sleep", "1000"])
    guard.release()
    guard.close()
    assert process.poll() is None
    process.kill()
    process.wait()


def test_a_program_that_is_missing() -> None:
    guard = Guard()
    with pytest.raises(FileNotFoundError):
        guard.start(["/nowhere/program"])
    guard.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_they_end_with_the_process(number: int, tmp_path: Path) -> None:
    process = program(tmp_path, PLAIN, PLAIN)
    # The program, the shell that watches, and two.
    assert len(running(tmp_path)) == 4
    process.send_signal(number)
    process.communicate()
    assert left_behind(tmp_path) == {}


@pytest.mark.slow
def test_one_that_is_being_started(tmp_path: Path) -> None:
    """The process is killed before it can say whom it has started."""
    killed = PROGRAM.replace(
        "guard = Guard()",
        "import os\ntell = Guard._tell\n"
        "Guard._tell = lambda self, line: os.kill(os.getpid(), 9) if line[:1].isdigit() else tell(self, line)\n"
        "guard = Guard()",
    )
    done = subprocess.run(
        [sys.executable, "-c", killed, PLAIN],
        cwd=tmp_path,
        env={**os.environ, "COMPOS_RUNTIME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert left_behind(tmp_path) == {}


@pytest.mark.slow
def test_those_that_do_not_want_to_end(tmp_path: Path) -> None:
    process = program(tmp_path, STUBBORN)
    while not (tmp_path / "stubborn").exists():
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert left_behind(tmp_path) == {}


@pytest.mark.slow
@pytest.mark.parametrize("numbers", [(2, 2), (2, 15), (15, 15), (1, 2), (9,)])
@pytest.mark.parametrize("after", [0.0, 0.3])
@pytest.mark.usefixtures("default_signals")
def test_a_guest_at_the_terminal(numbers: tuple[int, ...], after: float, tmp_path: Path) -> None:
    """`compos run` gets signals as soon as its guest runs, and later."""
    for name in ("os-kernel", "os-initrd.img"):
        (tmp_path / name).touch()
    qemu = tmp_path / "qemu-system-x86_64"
    qemu.write_text(QEMU)
    qemu.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "compos", "run", "--accel", "tcg", "--arch", "x86_64", "os"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
            "COMPOS_RUNTIME": str(tmp_path),
            "COMPOS_CACHE": str(tmp_path / "cache"),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not any(str(qemu) in line for line in running(tmp_path).values()):
        assert time.monotonic() < deadline
        assert process.poll() is None
    time.sleep(after)
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.02)
    process.wait(60)
    assert left_behind(tmp_path) == {}
