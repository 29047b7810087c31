"""Runs the metadata brick's program in a world of its own (`metadata/world.py`)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.bricks.compiler import DRIVERS
from tests.machine import unshared

__all__ = ["KEY", "Outcome", "reply", "run"]

WORLD = DRIVERS / "metadata" / "world.py"
KEY = "ssh-ed25519 AAAAC3Nz someone@somewhere"


class Outcome(NamedTuple):
    """What a run left: `files` has mode and contents by path below /run; `requests` are raw;
    `shown` is what the commands behind it print."""

    seconds: float
    status: int
    said: str
    hostname: str
    files: dict[str, list[str]]
    requests: list[str]
    shown: str

    def config(self) -> dict[str, str]:
        """The files of /run/config without their modes; the program leaves nothing else in /run."""
        assert [path for path in self.files if path.split("/")[0] != "config"] == []
        return {
            path.removeprefix("config/"): text
            for path, (_, text) in self.files.items()
            if text != "directory"
        }


def run(
    program: Path,
    *arguments: str,
    replies: dict[str, Any] | None = None,
    files: dict[str, str] | None = None,
    before: str = "",
    after: str = "",
) -> Outcome:
    """The program in its world, with a server only if there are replies, between commands of a
    shell."""
    task = {
        "command": [str(program), *arguments],
        "replies": replies or {},
        "files": files or {},
        "before": before,
        "after": after,
    }
    command = [*unshared("-m", "-n", "-u"), sys.executable, str(WORLD)]
    done = subprocess.run(
        command, input=json.dumps(task), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return Outcome(**json.loads(done.stdout))


def reply(text: str, *headers: str, status: int = 200) -> str:
    """A plain response."""
    head = [f"HTTP/1.1 {status} Some", f"Content-Length: {len(text)}", *headers]
    return "\r\n".join([*head, "", text])
