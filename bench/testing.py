"""Ten expectations of `examples/web.yml`: `compos test` beside plain pytest, which types commands
at the console with pexpect.

A command: `make bench-testing`. Prints medians of wall time, with one guest for all ten, and with a
clean guest for each: compos puts a snapshot back, plain pytest boots anew. Both boot the same built
system under QEMU's emulation, with one CPU and 1 GiB; they take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compos.testing.booted import free_port

ROOT = Path(__file__).resolve().parent.parent
COMPOS = [sys.executable, "-m", "compos"]

EXPECTED = """\
test:
  - {{console: services started{fresh}, timeout: 600s}}
  - {{service: nginx{fresh}, timeout: 600s}}
  - {{service: rngd{fresh}, timeout: 600s}}
  - {{http: 80/, contains: Hello from a Linux{fresh}, timeout: 600s}}
  - {{http: 80/missing, status: 404{fresh}, timeout: 600s}}
  - {{exec: [svc, ps], contains: nginx +running{fresh}, timeout: 600s}}
  - {{exec: [/bin/cat, /etc/resolv.conf], within: getty, contains: server{fresh}, timeout: 600s}}
  - {{exec: [/bin/sh, -c, "exit 3"], within: getty, status: 3{fresh}, timeout: 600s}}
  - {{file: /srv/www/index.html, contains: title{fresh}, timeout: 600s}}
  - {{file: /proc/sys/kernel/ostype, contains: Linux{fresh}, timeout: 600s}}
"""

# What one would write without compos: QEMU on a pseudo-terminal, the prompt of getty, curl.
PLAIN = '''\
import shlex
import subprocess

import pexpect
import pytest

COMMAND = {command!r}
PORT = {port}


@pytest.fixture(scope="{scope}")
def guest():
    child = pexpect.spawn(COMMAND[0], COMMAND[1:], timeout=600, encoding="utf-8",
                          codec_errors="replace")
    child.expect("services started")
    child.sendline("")
    child.expect("# ")
    yield child
    child.close(force=True)


def run(guest, command):
    """Output and status of a command at the prompt."""
    guest.sendline(f"{{command}}; echo status=$?=")
    guest.expect(r"status=(\\d+)=")
    return guest.before, int(guest.match[1])


def fetch(path):
    line = ["curl", "--silent", "--retry", "60", "--retry-delay", "1", "--retry-all-errors",
            "--write-out", "\\n%{{http_code}}", f"http://127.0.0.1:{{PORT}}{{path}}"]
    body, _, status = subprocess.run(line, capture_output=True, text=True).stdout.rpartition("\\n")
    return body, int(status)


def test_console(guest):
    assert guest.isalive()


@pytest.mark.parametrize("service", ["nginx", "rngd"])
def test_service(guest, service):
    assert "running" in run(guest, f"svc ps | grep {{service}}")[0]


def test_page(guest):
    assert "Hello from a Linux" in fetch("/")[0]


def test_missing(guest):
    assert fetch("/missing")[1] == 404


def test_ps(guest):
    assert "nginx" in run(guest, "svc ps")[0]


def test_resolver(guest):
    assert "nameserver" in run(guest, "cat /etc/resolv.conf")[0]


def test_status(guest):
    assert run(guest, "sh -c 'exit 3'")[1] == 3


def test_file(guest):
    assert run(guest, "svc ps >/dev/null")[1] == 0


def test_kernel(guest):
    assert "Linux" in run(guest, "cat /proc/sys/kernel/ostype")[0]
'''


def seconds(command: list[str], folder: Path) -> float:
    """How long a command takes that has to succeed."""
    environment = {**os.environ, "PYTEST_ADDOPTS": "", "PYTHONPATH": str(ROOT / "src")}
    started = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return time.monotonic() - started


def prepared(folder: Path) -> dict[str, list[str]]:
    """The commands that are measured, by their names."""
    system = (ROOT / "examples" / "web.yml").read_text()
    for name, fresh in (("one", ""), ("clean", ", fresh: true")):
        (folder / f"{name}.yml").write_text(system + EXPECTED.format(fresh=fresh))
    line = [*COMPOS, "build", "--compress", "none", "--dir", str(folder), "--name", "web"]
    seconds([*line, str(ROOT / "examples" / "web.yml")], folder)
    port = free_port()
    boot = [*COMPOS, "run", "qemu", "--accel", "tcg", "--publish", f"{port}:80", "web"]
    for name, scope in (("one", "module"), ("clean", "function")):
        text = PLAIN.format(command=boot, port=port, scope=scope)
        (folder / f"test_{name}.py").write_text(text)
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    return {
        f"{tool}, {what}": command
        for name, what in (("one", "one guest"), ("clean", "a clean guest for each"))
        for tool, command in (
            ("compos test", [*COMPOS, "test", "--accel", "tcg", f"{name}.yml"]),
            ("pytest with pexpect", [*pytest, f"test_{name}.py"]),
        )
    }


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Ten expectations of the web example.")
    parser.add_argument("--rounds", type=int, default=3)
    rounds: int = parser.parse_args().rounds
    os.environ.setdefault("COMPOS_CACHE", str(ROOT / "build" / "test-store"))
    with tempfile.TemporaryDirectory(prefix="bench-testing-") as name:
        folder = Path(name)
        commands = prepared(folder)
        times: dict[str, list[float]] = {what: [] for what in commands}
        for _ in range(rounds):
            for what, command in commands.items():
                times[what].append(seconds(command, folder))
                print(f"{what}: {times[what][-1]:.1f} s", file=sys.stderr)
    print("| | seconds |\n|---|---|")
    for what, found in times.items():
        print(f"| {what} | {statistics.median(found):.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
