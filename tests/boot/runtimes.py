"""What guests of both container runtimes share."""

from __future__ import annotations

import re
import time

from tests.guest import Guest

__all__ = ["RUNTIMES", "until"]

RUNTIMES = {
    "containerd": "compos/runc:v1, compos/containerd:v1",
    "crun": "compos/crun:v1",
}


def until(guest: Guest, pattern: str, seconds: float = 120) -> None:
    """Wait until the console has shown `pattern`, whenever that was."""
    deadline = time.monotonic() + seconds
    while not re.search(pattern, guest.text()):
        assert time.monotonic() < deadline, f"no {pattern!r}:\n{guest.text()[-3000:]}"
        time.sleep(0.2)
