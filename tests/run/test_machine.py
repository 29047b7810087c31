"""The command `compos run` with a fake QEMU: exit status, signals, usage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import compos

SOURCES = str(Path(compos.__file__).parents[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("os-kernel", "os-initrd.img"):
        (tmp_path / name).touch()
    return tmp_path


def qemu(folder: Path, script: str) -> None:
    path = folder / "qemu-system-x86_64"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def start(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [sys.executable, "-m", "compos", "--cache", folder / "cache", "run", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PATH": path,
            "PYTHONPATH": SOURCES,
            "LINUXKIT_QEMU_ACCEL": "tcg",
            **variables,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("script", "status", "told"),
    [
        ("exit 0", 0, ""),
        ("exit 3", 1, "error[qemu-failed]: QEMU ended with status 3"),
        ("kill -9 $$", 1, "error[qemu-failed]: QEMU was killed by signal 9"),
    ],
)
def test_exit_status(folder: Path, script: str, status: int, told: str) -> None:
    qemu(folder, script)
    process = start(folder, "--arch", "x86_64", "os")
    _, error = process.communicate(timeout=30)
    assert (process.returncode, told in error, bool(told)) == (status, True, bool(error))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.usefixtures("default_signals")
def test_signals_reach_qemu(folder: Path, number: signal.Signals) -> None:
    qemu(
        folder,
        "trap 'echo ended > ended; exit 0' TERM INT HUP\necho $$ > pid\nwhile :; do sleep 0.05; "
        "done",
    )
    process = start(folder, "--arch", "x86_64", "os")
    deadline = time.monotonic() + 30
    while not (folder / "pid").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (0, "")
    assert (folder / "ended").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "missing path"),
        (["qemu"], "Missing argument 'PATH'"),
        (["hyperkit", "os"], "no back end 'hyperkit'"),
        (["--kernel", "--iso", "os"], "--kernel and --iso cannot be combined"),
        (
            ["--data", "a", "--data-file", "b", "os"],
            "--data and --data-file cannot be combined",
        ),
        (["--publish", "80", "os"], "error[publish-syntax]"),
        (["--disk", "size=x", "os"], "error[disk-syntax]"),
        (["--cpus", "0", "os"], "error[usage]"),
        (["nothing"], "error[boot-missing]"),
        (["--qemu", "no-such-qemu", "os"], "error[qemu-missing]"),
        (["--arch", "s390x", "os"], "error[arch-unknown]"),
        (["--virtiofs", ".", "--virtiofsd", "no-such-virtiofsd", "os"], "error[virtiofsd-missing]"),
        (["--gui", "--detached", "os"], "error[detached-gui]"),
    ],
)
def test_mistakes_end_with_one(folder: Path, arguments: list[str], told: str) -> None:
    qemu(folder, "exit 0")
    process = start(folder, *arguments)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert told in error
    assert "Traceback" not in error
    assert not list(folder.glob("*-state"))


def test_the_flag_is_over_the_variable(folder: Path) -> None:
    qemu(folder, 'echo "$@"')
    for arguments, accel in (
        ([], "tcg,tb-size=64"),
        (["--accel", "tcg,tb-size=32"], "tcg,tb-size=32"),
    ):
        process = start(
            folder, *arguments, "--arch", "x86_64", "os", LINUXKIT_QEMU_ACCEL="tcg,tb-size=64"
        )
        output, _ = process.communicate(timeout=30)
        assert f"-machine q35 -accel {accel} " in output
