"""The directory that has a machine's disks, metadata, addresses and console: the user's own.

May touch: that directory.
"""

from __future__ import annotations

import os
from pathlib import Path

from compos.errors import RunError

__all__ = ["make_state"]


def make_state(state: Path) -> None:
    """Make `state` if it is not there. Raises `RunError` (`state-foreign`)."""
    state.parent.mkdir(parents=True, exist_ok=True)
    # The guest's console, its disks and its metadata are the user's own.
    state.mkdir(mode=0o700, exist_ok=True)
    # What others put there, a link for a disk, the hypervisor would write to.
    status = state.stat()
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o002:
        raise RunError(
            "state-foreign",
            "other users can write to the state folder",
            place=str(state),
            hint="Choose another folder with --state, or make it writable only for you: chown, "
            "chmod o-w.",
        )
