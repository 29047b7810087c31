"""Processes that PID 1 runs and waits for, and the sealed copy that a runtime runs from."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.bricks.drivers import Run, driver
from tests.machine import unshared

PROCESSES = [
    ("echo hello; exit 3", "hello\n", "exit status 3, power 0"),
    ("echo hello", "hello\n", "exit status 0, power 0"),
    ("kill -9 $$", "", "signal 9 (Killed), power 0"),
    ("head -c 300000 /dev/zero | tr '\\0' x", "x" * 300000, "exit status 0, power 0"),
    # An orphan, which PID 1 gets, goes on talking after its parent's end.
    ("(sleep 0.3; echo late) & echo early", "early\nlate\n", "exit status 0, power 0"),
    ("cat", "", "exit status 0, power 0"),
]


@pytest.mark.parametrize("case", PROCESSES, ids=[case[0] for case in PROCESSES])
def test_a_process_is_run_and_its_output_passed_on(
    case: tuple[str, str, str], run: Run, tmp_path: Path
) -> None:
    script, written, end = case
    run_output = run("process", tmp_path / "log", "/bin/sh", "-c", script)
    assert end in run_output
    assert (tmp_path / "log").read_text() == written


def test_a_missing_program_is_status_127(run: Run, tmp_path: Path) -> None:
    assert "exit status 127, power 0\n" in run("process", tmp_path / "log", "/missing")


@pytest.mark.parametrize(
    ("number", "power"),
    [
        (signal.SIGUSR2, 1),
        (signal.SIGPWR, 1),
        (signal.SIGUSR1, 2),
        (signal.SIGTERM, 3),
        (signal.SIGINT, 3),
    ],
)
def test_a_request_for_power_off_ends_the_wait(number: int, power: int, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [
        str(driver("process")),
        str(log),
        "/bin/sh",
        "-c",
        "echo $$; exec sleep 60",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while not (log.exists() and log.read_text().endswith("\n")):
            time.sleep(0.01)
        process.send_signal(signal.SIGHUP)
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
        os.kill(int(log.read_text()), signal.SIGKILL)
    assert f"interrupted, power {power}\n" in output


def test_two_thousand_descriptors_are_all_looked_at(run: Run) -> None:
    output = run("loop", "many", "2000")
    assert "relayed\n" in output
    assert int(output.rpartition("least ")[2]) >= 1


@pytest.mark.root
def test_a_process_number_that_comes_again() -> None:
    """A stranger's end is not that of a later process with its number: not of our child, and not of
    another stranger."""
    program = driver("loop")
    command = [*unshared("--pid", "--fork", "--mount-proc"), str(program), "wrap"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines() == [
        "same number 1, own child ended 0 then exit status 0",
        "same number 1, living stranger ended 0 then exit status 3",
        "ended stranger ended 1 with exit status 5",
    ]


WHERE = "import fcntl, os; exe = '/proc/self/exe'; print(os.readlink(exe), fcntl.fcntl(os.open(exe, os.O_RDONLY), 1034))"
"""F_GET_SEALS."""


def test_a_runtime_on_a_tmpfs_runs_from_a_sealed_copy(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = Path(sys.executable).resolve()
    # A Python that was not installed where it was built for looks for its library beside itself.
    monkeypatch.setenv("PYTHONHOME", f"{sys.base_prefix}:{sys.base_exec_prefix}")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        program = Path(folder) / "python3"
        shutil.copy2(python, program)
        path, elsewhere, where = run("sealed", program, "999999999", "-Sc", WHERE).splitlines()
        assert path.startswith("/proc/1/fd/")
        assert elsewhere == "/elsewhere"
        assert where == "/memfd:runtime (deleted) 15", "all four seals: what runc and crun look for"
        assert run("sealed", program, "1000", "-Sc", WHERE).splitlines() == [
            str(program),
            "/elsewhere",
            "not copied",
        ]
    assert run("sealed", python, "999999999", "-Sc", WHERE).splitlines() == [
        str(python),
        "/elsewhere",
        "not copied",
    ]
    assert run("sealed", "/nowhere", "0").splitlines() == ["/nowhere", "/elsewhere", "not copied"]
