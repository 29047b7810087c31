"""All of init as one program."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.bricks.compiler import compile_init
from tests.machine import unshared


@pytest.fixture(scope="module")
def init() -> Path:
    return compile_init()


BROKEN = (
    "compos-plan\t1\nstage\tonboot\nruntime\t/bin/sh\ncontainer\t000-a\t/a\t\nfly\nstage\tservices\n"
    "container\tweb\t/w\tns\nmount\t/x\ncontainer\tdb\t/d\tns\nstop\t99\t0\nstage\tshutdown\n"
)

WATCHED = """
mount -t tmpfs none /etc && mkdir /etc/compos && cp "$1/plan" /etc/compos && mount -t tmpfs none /run || exit 1
mount -t tmpfs none /var || exit 1
(until grep -q db /run/compos/status; do sleep 0.1; done
 cut -f 1-3,6 /run/compos/status > "$1/status"
 (exec -a svc "$2" start web) 2> "$1/answer"
 kill -USR2 1) 2> "$1/errors" &
exec "$2"
"""


@pytest.mark.root
def test_what_cannot_be_read_is_left_out_loudly(init: Path, tmp_path: Path) -> None:
    """On the console, in the status, and to whoever asks for it; the rest of the plan is carried
    out."""
    (tmp_path / "plan").write_text(BROKEN)
    command = [
        *unshared("-pfm", "--mount-proc"),
        "bash",
        "-c",
        WATCHED,
        "-",
        str(tmp_path),
        str(init),
    ]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    console = [re.sub(r" at [\d.]+ s$", "", line.strip()) for line in done.stdout.splitlines()]
    assert [line for line in console if "plan line 5" in line] == [
        "compos: plan line 5: unknown word",
        "compos: plan line 5: the container 000-a is skipped",
    ]
    assert "compos: onboot 000-a: skipped: one of its lines cannot be used" in console
    assert "compos: service web: skipped: one of its lines cannot be used" in console
    assert "compos: service db: plan line 10: invalid argument" in console
    assert "compos: services started (0 of 2)" in console
    assert "compos: power off" in console
    assert (tmp_path / "status").read_text() == "web\tfailed\t-\t127\ndb\tfailed\t-\t127\n"
    assert "its lines in the plan cannot be used" in (tmp_path / "answer").read_text()


COMMANDS = [
    (["init"], 2, "only PID 1 is init"),
    (["/sbin/modprobe", "-q", "--", "no-such-module"], 1, ""),
    (["/sbin/modprobe", "-ab", "no-such-module"], 1, "no-such-module"),
    (["modprobe", "-abq"], 0, ""),
    (["modprobe", "-r", "x"], 2, "-r: unknown option"),
    (["poweroff", "-x"], 2, "x"),
    (["rc.shutdown", "noop"], 2, "noop: neither poweroff nor reboot"),
    (["/usr/bin/service", "start"], 2, "svc"),
    # As a kernel of LinuxKit's calls its only helper: with the name of what it wants.
    (["/usr/bin/core-catcher", "1", "2"], 2, "only PID 1 is init"),
]


@pytest.mark.parametrize("case", COMMANDS, ids=[" ".join(case[0]) for case in COMMANDS])
def test_the_name_decides_what_init_is(case: tuple[list[str], int, str], init: Path) -> None:
    arguments, status, message = case
    done = subprocess.run(
        arguments, executable=init, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == status
    assert message in done.stderr
    assert bool(message) == bool(done.stderr)
