"""What strangers wrote is shown, and does nothing to the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from compos.cli.text import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode 漢字", "plain ünïcode 漢字"),
        ("two\nlines\twith a tab", "two\nlines\twith a tab"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("one\rtwo\x08", "one\\rtwo\\x08"),
        ("C1 \x9b31m", "C1 \\x9b31m"),
        ("\u202eright to left\u2066", "\\u202eright to left\\u2066"),
        ("line\u2028separator", "line\\u2028separator"),
        ("not UTF-8: \udcff", "not UTF-8: \\udcff"),
    ],
)
def test_only_what_prints_is_printed(text: str, shown: str) -> None:
    assert visible(text) == shown
    shown.encode()


@pytest.mark.parametrize(
    "name", ["x\x1b[31m\x1b]0;t\x07.tar", "x[/bold].tar", "x[red]{0}.tar", "x\udcff.tar"]
)
@pytest.mark.parametrize("there", [True, False])
def test_names_of_files_on_a_terminal(tmp_path: Path, name: str, there: bool) -> None:
    if there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * 2048)
    (tmp_path / "os.yml").write_text("init: ['docker-archive:${NAME}']\n")
    # Long work is drawn by another program's code, which has a language of its own in brackets.
    reading, writing = os.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "compos", "build", "-f", "tar", "--set", f"NAME={name}", "os.yml"],
        cwd=tmp_path,
        env={**os.environ, "COMPOS_CACHE": str(tmp_path / "store"), "TERM": "xterm"},
        stderr=writing,
        check=False,
    )
    os.close(writing)
    said = b""
    while piece := _read(reading):
        said += piece
    os.close(reading)
    assert done.returncode == 1
    assert b"archive-damaged" in said if there else b"archive-missing" in said, said
    assert b"\x1b]0;t" not in said
    assert b"x\x1b[31m\x1b" not in said


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # EIO: the other end is closed
        return b""
