"""Snapshots by a real QEMU without a system: kept, put back, refused."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run.control import stop
from compos.run.guests import Guest, find_guest, take_slot
from compos.run.qmp import Monitor
from compos.run.snapshots import load_snapshot, make_state_disk, save_snapshot
from compos.run.virtual_machine import Drive, VirtualMachine, arguments
from tests.run.records import record

Start = Callable[..., Guest]


@contextmanager
def running(
    folder: Path, *, state_disk: bool = True, disk: bool = False, snapshot: bool = False
) -> Iterator[Guest]:
    """QEMU whose firmware finds nothing to boot, perhaps with a raw disk."""
    slot = take_slot("", "snapshots")
    log = folder / "console.log"
    slot.write(record(slot.name, console=str(log), started=time.time()))
    place, state = folder / "disk", folder / "a,b.qcow2"
    place.write_bytes(bytes(1 << 20))
    if state_disk:
        make_state_disk(state)
    machine = VirtualMachine(
        memory=64,
        networking="none",
        drives=(Drive(place, "raw", bus="virtio"),) if disk else (),
        snapshot=snapshot,
        state_disk=state if state_disk else None,
        console=log,
        console_socket=slot.console,
        monitor=slot.monitor,
        detached=True,
    )
    subprocess.run(arguments(machine), pass_fds=(slot.lock,), check=True, timeout=120)
    slot.release()
    guest = find_guest(slot.name)
    try:
        yield guest
    finally:
        stop(guest, timeout=0)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(running(tmp_path, **options))


def memory(guest: Guest) -> str:
    """Eight bytes of the guest's, at 1 MiB."""
    with Monitor(guest.monitor) as monitor:
        line = "xp /2wx 0x100000"
        told: str = monitor.execute("human-monitor-command", **{"command-line": line})
    return told.partition(":")[2].strip()


def status(guest: Guest) -> str:
    """Whether its processor runs."""
    with Monitor(guest.monitor) as monitor:
        found: str = monitor.execute("query-status")["status"]
    return found


def test_states_are_kept_and_put_back(start: Start, tmp_path: Path) -> None:
    guest = start(disk=True, snapshot=True)
    assert save_snapshot(guest, "first") == Path(guest.record.console).stat().st_size
    kept = memory(guest)
    assert save_snapshot(guest, "second") >= 0
    assert load_snapshot(guest, "first") == Path(guest.record.console).stat().st_size
    assert load_snapshot(guest, "first") >= 0  # again
    assert (memory(guest), status(guest)) == (kept, "running")
    assert (tmp_path / "a,b.qcow2").stat().st_mode & 0o777 == 0o600


def test_a_state_that_is_not_there(start: Start) -> None:
    guest = start()
    with pytest.raises(RunError, match="cannot be kept") as caught:
        load_snapshot(guest, "never")
    assert caught.value.id == "snapshot-refused"


def test_a_disk_that_keeps_no_states(start: Start) -> None:
    """The guest goes on."""
    guest = start(disk=True)
    with pytest.raises(RunError) as caught:
        save_snapshot(guest, "state")
    assert caught.value.id == "snapshot-refused"
    assert status(guest) == "running"


def test_a_guest_without_a_place_for_states(start: Start) -> None:
    guest = start(state_disk=False)
    with pytest.raises(RunError) as caught:
        save_snapshot(guest, "state")
    assert caught.value.id == "snapshot-missing"
    assert status(guest) == "running"


def test_the_place_is_made_anew(tmp_path: Path) -> None:
    """What a link there points at stays as it is."""
    other = tmp_path / "other"
    other.write_text("mine")
    place = tmp_path / "state"
    place.symlink_to(other)
    make_state_disk(place)
    assert other.read_text() == "mine"
    assert not place.is_symlink()
    assert place.read_bytes()[:4] == b"QFI\xfb"
    assert place.stat().st_mode & 0o777 == 0o600
