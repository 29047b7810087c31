"""Snapshots of a running guest: its memory, devices and disks as they are at a moment, kept in a
qcow2 that QEMU has open beside the guest's own disks.

May touch: the guest's monitor; makes the qcow2. Source: QEMU's qemu-qmp-ref (snapshot-save,
snapshot-load, query-jobs, query-block).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from compos.disk.qcow2 import qcow2_pieces
from compos.errors import RunError
from compos.run.guests import Guest
from compos.run.qmp import Monitor
from compos.run.virtual_machine import STATE_NODE
from compos.tree.contents import Contents
from compos.tree.node import Hole

__all__ = ["STATE_DISK", "load_snapshot", "make_state_disk", "save_snapshot"]

STATE_DISK = "snapshots.qcow2"
"""Its name in a guest's folder."""
SECRET = 0o600
"""A guest's memory is its user's alone."""
TIMEOUT = 300.0
"""Seconds for the memory of a large guest on a slow disk."""
POLL = 0.02


def make_state_disk(path: Path) -> None:
    """Make the file that snapshots go to, anew; as a disk it has nothing. Raises `OSError`."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, SECRET)
    with os.fdopen(descriptor, "wb") as file, Contents(path.parent) as contents:
        file.writelines(contents.chunks(qcow2_pieces([Hole(1 << 20)])))


def save_snapshot(guest: Guest, tag: str) -> int:
    """Keep the state of `guest` as `tag`; it pauses meanwhile. Returns the bytes that its console's
    log had at that moment. Raises `RunError` (`snapshot-missing`, `snapshot-refused`,
    `monitor-failed`)."""
    return _paused(guest, "snapshot-save", tag)


def load_snapshot(guest: Guest, tag: str) -> int:
    """Put `guest` back into the state `tag`, in which it goes on. Returns the bytes that its
    console's log has when it is there. Raises as `save_snapshot`; a guest whose state could only be
    loaded in part stays paused."""
    return _paused(guest, "snapshot-load", tag)


def _paused(guest: Guest, command: str, tag: str) -> int:
    """Paused, so that nothing comes between the state and the log's length."""
    with Monitor(guest.monitor, timeout=TIMEOUT) as monitor:
        monitor.execute("stop")
        try:
            _job(monitor, guest, command, tag)
        except RunError:
            if command == "snapshot-save":
                monitor.execute("cont")
            raise
        length = Path(guest.record.console).stat().st_size
        monitor.execute("cont")
        return length


def _job(monitor: Monitor, guest: Guest, command: str, tag: str) -> None:
    """Carry out a job, and wait for its end."""
    devices = [STATE_NODE, *_writable(monitor)]
    if not _has_state_disk(monitor):
        raise RunError(
            "snapshot-missing",
            f"the guest {guest.record.name} was started without a place for snapshots",
            hint="Boot it with snapshots=True.",
        )
    job = f"{command}-{tag}"
    names: dict[str, Any] = {"job-id": job, "tag": tag, "vmstate": STATE_NODE, "devices": devices}
    monitor.execute(command, **names)
    deadline = time.monotonic() + TIMEOUT
    while True:
        found = [one for one in monitor.execute("query-jobs") if one.get("id") == job]
        if found and found[0].get("status") == "concluded":
            break
        if not found or time.monotonic() > deadline:
            raise RunError("monitor-failed", f"QEMU does not end {command}", place=job)
        time.sleep(POLL)
    monitor.execute("job-dismiss", id=job)
    if reason := found[0].get("error"):
        raise RunError(
            "snapshot-refused",
            f"the state of the guest {guest.record.name} cannot be kept: {reason}",
            hint="Folders shared with the guest, for one, have a state that QEMU does not know.",
        )


def _writable(monitor: Monitor) -> list[str]:
    """The nodes of the disks that the guest can write to: each keeps its own part of a snapshot."""
    inserted = [one.get("inserted") for one in monitor.execute("query-block")]
    return [one["node-name"] for one in inserted if one and not one["ro"]]


def _has_state_disk(monitor: Monitor) -> bool:
    nodes = monitor.execute("query-named-block-nodes", flat=True)
    return any(one.get("node-name") == STATE_NODE for one in nodes)
