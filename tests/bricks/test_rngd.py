"""rngd: what it gives the kernel, read by strace, which also plays a kernel that wants some."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.bricks.compiler import compile_brick

GIVEN = re.compile(r"RNDADDENTROPY, \{entropy_count=64, buf_size=8, buf=(.*)\}\) = (-?\d+)")
WANTING = ("-e", "trace=ioctl", "-e", "inject=ioctl:retval=0:when=1+2")
"""The pool is empty each time that it is asked; every other call is the kernel's."""

NO_PROCESSOR = ("-disable-rdrand", "-disable-rdseed")
NO_GENERATOR = ("-P", "/dev/hwrng", "-e", "inject=open,openat:error=ENOENT")


@pytest.fixture(scope="module")
def rngd() -> Path:
    return compile_brick("rngd")


def traced(rngd: Path, flags: tuple[str, ...], *arguments: str) -> subprocess.Popen[str]:
    # strace and a leak detector cannot both trace a process.
    return subprocess.Popen(
        ["strace", "-E", "ASAN_OPTIONS=detect_leaks=0", *flags, rngd, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def source(process: subprocess.Popen[str]) -> str:
    """Where the program says that its numbers come from."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("rngd: "):
            return line
    raise AssertionError("it says nothing")


@pytest.mark.root
def test_an_empty_pool_is_given_different_words(rngd: Path) -> None:
    process = traced(rngd, WANTING, "-1")
    assert process.stderr is not None
    given = []
    for line in process.stderr:
        if match := GIVEN.search(line):
            assert match[2] == "0"
            given.append(match[1])
        if len(given) == 20:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(set(given)) == 20


def test_a_full_pool_is_left_alone(rngd: Path) -> None:
    """As it is on every machine that has run for a second."""
    done = subprocess.run([rngd, "-1"], capture_output=True, text=True, timeout=60)
    if done.stderr != "rngd: no hardware random source\n":
        assert done.stdout == "rngd: 0 bytes given, the pool holds 256 of 256 bits\n"
    assert done.returncode == 0


@pytest.mark.root
def test_who_may_not_is_told(rngd: Path, tmp_path: Path) -> None:
    flags = ("-e", "trace=ioctl", "-e", "inject=ioctl:error=EPERM")
    process = traced(rngd, flags, "-1")
    assert "rngd: /dev/random: Operation not permitted" in process.communicate(timeout=60)[1]
    assert process.returncode == 1


@pytest.mark.parametrize("arguments", [(), ("-1",)], ids=["service", "once"])
def test_without_a_source(rngd: Path, arguments: tuple[str, ...]) -> None:
    """No failure: a service stays until it is told to end."""
    process = traced(rngd, ("-D", *NO_GENERATOR), *NO_PROCESSOR, *arguments)
    assert source(process) == "rngd: no hardware random source\n"
    if not arguments:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_a_service_ends_when_told(rngd: Path) -> None:
    with subprocess.Popen([rngd], stderr=subprocess.PIPE, text=True) as process:
        assert source(process).startswith(("rngd: random numbers from ", "rngd: no hardware"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.parametrize("spelling", ["-", "--"])
def test_options(rngd: Path, spelling: str) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [rngd, *arguments], capture_output=True, text=True, timeout=60, check=False
        )

    assert run(f"{spelling}1", f"{spelling}disable-rdrand").returncode == 0
    unknown = run(f"{spelling}s", "32")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith(f"rngd: {spelling}s: unknown option")
