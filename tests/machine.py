"""What tests want of the machine beyond Debian's packages. In a chroot or a container some of it is
missing: a test then says what, and is left out; where `CI` is set it fails."""

from __future__ import annotations

import ctypes
import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

__all__ = ["leave_out", "mount_privately", "require_cgroups", "unshared"]

CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000


def mount_privately() -> None:
    """Give this process a mount namespace of its own, if it is root's: whatever tests mount ends
    with the processes in it, even if they are killed."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None)
    # os.unshare comes with Python 3.12. Where it is refused, or the root is no mount point (a
    # chroot), tests mount where everybody sees it, and unmount.
    if libc.unshare(CLONE_NEWNS) == 0:
        libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)


def unshared(*flags: str) -> list[str]:
    """`unshare FLAGS`, in front of a command that is to run in namespaces of its own."""
    command = ["unshare", *flags]
    if os.geteuid() != 0:
        leave_out("root: needs root")
    if complaint := _complaint(*command, "true"):
        hint = "in a chroot, bind the root directory on itself first: it has to be a mount point"
        leave_out(f"{' '.join(command)}: {complaint} ({hint})")
    return command


def require_cgroups() -> None:
    """Leave the test out where nobody has mounted control groups, which runc wants."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    if not any(line.split()[2] in ("cgroup", "cgroup2") for line in mounts):
        leave_out("no control groups are mounted (mount -t cgroup2 none /sys/fs/cgroup)")


@cache
def _complaint(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stderr.strip() or f"status {done.returncode}" if done.returncode else ""


def leave_out(reason: str) -> None:
    """Skip the running test for `reason`, or fail it where `CI` is set."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
