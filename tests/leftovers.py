"""What a command leaves behind: processes, found by a variable that all of them have inherited."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["left_behind", "running"]

MARK = "COMPOS_RUNTIME"


def running(folder: Path) -> dict[int, str]:
    """The processes whose runtime folder is `folder`, and their command lines; without those that
    have ended, and that nobody has asked for their status."""
    mark = f"{MARK}={folder}".encode()
    found: dict[int, str] = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with suppress(OSError):
            if mark in process.joinpath("environ").read_bytes().split(b"\0"):
                line = process.joinpath("cmdline").read_bytes()
                found[int(process.name)] = line.replace(b"\0", b" ").decode(errors="replace")[:200]
    return found


def left_behind(folder: Path, seconds: float = 20) -> dict[int, str]:
    """Those that still run after `seconds`."""
    deadline = time.monotonic() + seconds
    while (found := running(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
