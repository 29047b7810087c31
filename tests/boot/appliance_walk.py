"""The walk from nothing to an attested appliance in docs/secure.md, command by command: part of
`make sealed-boots`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.boot.conftest import ROOT
from tests.guest import free_port

PAGE = (ROOT / "docs/secure.md").read_text().partition("## From nothing to an attested")[2]
SYSTEM = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)[0].splitlines()
SECONDS = 600
"""For a command; a guest on a busy machine takes minutes."""


def test_every_command(tmp_path: Path) -> None:
    """The port is another one, and guests are emulated; else each line is the page's."""
    (tmp_path / "appliance.yml").write_text(SYSTEM)
    program = tmp_path / "bin" / "compos"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m compos "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "COMPOS_RUNTIME": str(tmp_path / "run"),
    }
    port = str(free_port())
    assert len(COMMANDS) == 20
    shown = {}
    try:
        for number, line in enumerate(COMMANDS):
            command = line.replace("8440:8440", f"{port}:8440")
            command = command.replace("127.0.0.1:8440", f"127.0.0.1:{port}")
            command = command.replace("run qemu", "run qemu --accel tcg")
            shown[number] = run(command, tmp_path, environment)
    finally:
        run("compos stop --timeout 0 appliance thief || :", tmp_path, environment)
    assert "recovery key" in shown[6]
    assert "as expected, in phase ready" in shown[8]
    assert "as expected, in phase ready" in shown[18]


def run(command: str, folder: Path, environment: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            ["sh", "-ec", command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"{command}: not done after {SECONDS} s")
    print(f"$ {command}\n{done.stdout}{done.stderr}")
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout
