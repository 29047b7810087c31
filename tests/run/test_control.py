"""A guest is controlled by QEMU's monitor: a real QEMU without a system, and servers that lie."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run.attach import attach
from compos.run.control import console_log, screenshot, stop
from compos.run.guests import Guest, find_guest, guests, take_slot
from compos.run.qmp import Monitor, listening_process
from compos.run.virtual_machine import Console, VirtualMachine, arguments
from tests.run.records import record


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    """QEMU whose firmware finds nothing to boot."""
    slot = take_slot("", "control")
    log = tmp_path / "console.log"
    slot.write(record(slot.name, console=str(log), started=time.time()))
    machine = VirtualMachine(
        memory=64,
        networking="none",
        console=log,
        console_socket=slot.console,
        monitor=slot.monitor,
        detached=True,
        pid_file=tmp_path / "qemu.pid",
    )
    subprocess.run(arguments(machine), pass_fds=[slot.lock], check=True, timeout=60)
    slot.release()
    process = int((tmp_path / "qemu.pid").read_text())
    yield find_guest(slot.name)
    if Path(f"/proc/{process}").exists():
        os.kill(process, signal.SIGKILL)


def test_control(guest: Guest, tmp_path: Path) -> None:
    process = int((tmp_path / "qemu.pid").read_text())
    assert listening_process(guest.monitor) == process
    with Monitor(guest.monitor) as monitor:
        assert monitor.execute("query-status")["running"] is True
        with pytest.raises(RunError, match="refuses no-such-command: "):
            monitor.execute("no-such-command")
        assert monitor.execute("query-name") == {}
        with pytest.raises(RunError, match="does not answer"):  # it serves one client
            Monitor(guest.monitor, timeout=0.3)
    screenshot(guest, tmp_path / "screen.png")
    picture = (tmp_path / "screen.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture[16:24])
    assert width >= 640
    assert height >= 400
    assert stop(guest, timeout=0) is False
    assert guest.record.name not in [one.record.name for one in guests()]
    assert not guest.folder.exists()


@pytest.mark.slow
def test_one_that_does_not_power_off(guest: Guest) -> None:
    """Firmware without a system does not heed the power button."""
    assert stop(guest, timeout=0.2) is False
    assert not guest.is_running()


@pytest.mark.slow
def test_one_that_hangs_is_killed(
    guest: Guest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compos.run.control.QUIT", 0.5)
    monkeypatch.setattr("compos.run.control.Monitor", partial(Monitor, timeout=0.5))
    os.kill(int((tmp_path / "qemu.pid").read_text()), signal.SIGSTOP)
    assert stop(guest, timeout=0) is False
    assert not guest.is_running()


def is_attached(guest: Guest) -> bool:
    with Monitor(guest.monitor) as monitor:
        devices = monitor.execute("query-chardev")
    return any(
        one["label"] == "console" and "disconnected" not in one["filename"] for one in devices
    )


def test_the_console(guest: Guest, tmp_path: Path) -> None:
    keys, typed = os.pipe()
    screen, shown = os.pipe()
    done: list[bool] = []
    thread = threading.Thread(target=lambda: done.append(attach(guest, keys, shown)), daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not is_attached(guest):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(RunError) as caught:
        attach(guest, keys, shown)
    assert caught.value.id == "console-busy"
    os.write(typed, b"x\x1dnever")
    thread.join(60)
    assert done == [True]
    for descriptor in (keys, typed, screen, shown):
        os.close(descriptor)
    assert guest.is_running()
    Path(guest.record.console).write_bytes(b"what it said\n")
    followed = console_log(guest, follow=True)
    assert next(followed) == b"what it said\n"
    stop(guest, timeout=0)
    assert list(followed) == []
    assert b"".join(console_log(guest)) == b"what it said\n"


GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\n'
LIARS = {
    "no JSON": (b"hello\n", "not JSON"),
    "no greeting": (b"{}\n", "not QEMU's monitor"),
    "no object": (b"7\n", "not an object"),
    "silence": (b"", "does not answer"),
    "an endless line": (b"x" * (2 << 20), "too long"),
    "half a line": (GREETING + b'{"return"', "does not answer"),
    "events only": (GREETING + b'{"event": "STOP"}\n' * 100, "does not answer"),
    "an error of no kind": (GREETING + b'{"error": 7}\n', "refuses qmp_capabilities: 7"),
}


@pytest.mark.parametrize(("said", "told"), LIARS.values(), ids=LIARS)
def test_monitors_that_lie(tmp_path: Path, said: bytes, told: str) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        held: list[socket.socket] = []

        def serve() -> None:
            connection, _ = server.accept()
            held.append(connection)
            with suppress(OSError):
                connection.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(RunError, match=told):
            Monitor(path, timeout=0.5)
        thread.join(10)
        for connection in held:
            connection.close()


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="No such file"):
        Monitor(tmp_path / "missing")
    assert listening_process(tmp_path / "missing") is None


def test_ctrl_a_still_reaches_qemu(tmp_path: Path) -> None:
    """With a monitor of our own, QEMU gives the terminal none unless it is told to."""
    machine = VirtualMachine(
        memory=64,
        networking="none",
        console=Console.TERMINAL,
        monitor=tmp_path / "q",
    )
    with subprocess.Popen(
        arguments(machine), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        try:
            with suppress(subprocess.TimeoutExpired):
                process.communicate(b"\x01x", timeout=60)
            assert process.returncode == 0
        finally:
            process.kill()
