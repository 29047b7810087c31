"""A finding of the doctor's, and how a check is kept from hanging."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from enum import Enum
from typing import NamedTuple

from compos.api.access import Access
from compos.errors import ComposError

__all__ = ["PATIENCE", "Finding", "Verdict", "bounded", "package", "version"]

PATIENCE = 8.0
"""Seconds that a check may take, unless it says otherwise."""


class Verdict(Enum):
    """What a finding means."""

    OK = "ok"
    ABSENT = "absent"
    """Not there, and only needed for what its finding says."""
    PROBLEM = "problem"
    """Systems cannot be built or run."""


class Finding(NamedTuple):
    """One line: what was looked at, how it is, and the command (or step) that mends it."""

    area: str
    name: str
    verdict: Verdict
    text: str
    remedy: str = ""


def bounded(check: Callable[[Access], Sequence[Finding]], access: Access) -> Sequence[Finding]:
    """The findings of `check`. An error of ours is one, and so is a check that takes too long: it
    is left behind, and ends with the process."""
    found: list[Sequence[Finding]] = []
    name = check.__name__.strip("_").replace("_", " ")

    def run() -> None:
        try:
            found.append(check(access))
        except (ComposError, OSError) as error:
            hint = getattr(error, "hint", None) or ""
            text = getattr(error, "message", str(error))
            found.append([Finding("", name, Verdict.PROBLEM, text, hint)])

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(getattr(check, "patience", PATIENCE))
    if found:
        return found[0]
    return [Finding("", name, Verdict.PROBLEM, "it does not answer", "Try again later.")]


def version(*command: str) -> str:
    """The first line that a program prints about itself; empty if it is not installed or fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0].strip() if lines and done.returncode == 0 else ""


def package(*names: str) -> str:
    """The command that installs Debian packages."""
    return f"apt-get install {' '.join(names)}"
