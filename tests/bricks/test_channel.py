"""init's channel for commands of the host's (`remote/channel.c`), compiled with sanitizers, and the
client that `compos exec` has for it: both are real, with a socket in place of the port."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run.guests import find_guest, take_slot
from compos.run.remote import Completed, Request, execute, read_file, run
from tests.bricks.compiler import compile_driver
from tests.run.records import record

PARTS = (
    *("remote/channel", "remote/command", "base/cmdline", "base/console", "base/failure"),
    *("base/files", "base/process", "base/sealed", "containers/oci"),
)


@pytest.fixture(scope="module")
def driver() -> Path:
    return compile_driver("channel", parts=PARTS)


class Port:
    """What QEMU does with a port: listens, and connects one client after the other to the guest."""

    def __init__(self, path: Path, driver: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._driver = driver
        self.statuses: list[int] = []
        self.errors = b""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                guest = subprocess.Popen(
                    [self._driver], stdin=connection.fileno(), stderr=subprocess.PIPE
                )
            self.errors += guest.communicate()[1]
            self.statuses.append(guest.returncode)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(30)


@contextmanager
def guest(driver: Path, name: str) -> Iterator[Port]:
    """A guest of which only the channel is there."""
    slot = take_slot(name, name)
    slot.write(record(slot.name))
    port = Port(slot.exec_socket(0), driver)
    try:
        yield port
        port.close()
        assert port.errors == b""  # a sanitizer's
        assert set(port.statuses) <= {0}
    finally:
        slot.give_up()


def test_output_error_status(driver: Path) -> None:
    with guest(driver, "outputs"):
        found = find_guest("outputs")
        assert run(found, ["sh", "-c", "echo out; echo error >&2; exit 7"]) == Completed(
            7, b"out\n", b"error\n"
        )
        assert run(found, ["sh", "-c", "kill -9 $$"]).status == 137
        done = run(found, ["no-such-program"])
        assert (done.status, done.output) == (127, b"")
        assert b"No such file" in done.error


def test_long_input_and_output(driver: Path, tmp_path: Path) -> None:
    data = random.Random(1).randbytes(3_000_000)
    (tmp_path / "data").write_bytes(data)
    received = bytearray()
    with guest(driver, "long"), (tmp_path / "data").open("rb") as source:
        found = find_guest("long")
        status = execute(
            found,
            Request(("cat",)),
            output=received.extend,
            error=lambda text: None,
            source=source.fileno(),
        )
        assert status == 0
        assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()
        assert hashlib.sha256(read_file(found, str(tmp_path / "data"))).digest() == (
            hashlib.sha256(data).digest()
        )


def test_input_that_nobody_reads(driver: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(1_000_000))
    with guest(driver, "unread"), (tmp_path / "data").open("rb") as source:
        ignored: list[bytes] = []
        assert (
            execute(
                find_guest("unread"),
                Request(("sh", "-c", "exec <&-; sleep 0.3; exit 5")),
                output=ignored.append,
                error=ignored.append,
                source=source.fileno(),
            )
            == 5
        )


def test_a_terminal(driver: Path) -> None:
    shown: list[bytes] = []
    with guest(driver, "terminal"):
        request = Request(("sh", "-c", "tty >&2; stty size; cat"), terminal=(33, 77))
        status = execute(
            find_guest("terminal"), request, output=shown.append, error=lambda text: None
        )
    assert status == 0
    text = b"".join(shown).decode()
    assert "/dev/pts/" in text
    assert "33 77" in text


def test_what_a_command_leaves_behind_does_not_keep_it(driver: Path) -> None:
    with guest(driver, "behind"):
        started = time.monotonic()
        done = run(find_guest("behind"), ["sh", "-c", "sleep 1000 & echo $!"])
        os.kill(int(done.output), signal.SIGKILL)
        assert done.status == 0
        assert time.monotonic() - started < 500


def test_a_client_that_goes_takes_its_command_along(driver: Path, tmp_path: Path) -> None:
    with guest(driver, "gone"):
        found = find_guest("gone")
        with pytest.raises(RunError, match=r"has not ended within 0\.5 s"):
            run(found, ["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 1000"], timeout=0.5)
        process = int((tmp_path / "pid").read_text())
        deadline = time.monotonic() + 30
        while Path(f"/proc/{process}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert run(found, ["echo", "again"]).output == b"again\n"


def test_files_that_cannot_be_read(driver: Path, tmp_path: Path) -> None:
    with guest(driver, "files"):
        found = find_guest("files")
        with pytest.raises(RunError, match="No such file"):
            read_file(found, str(tmp_path / "missing"))
        with pytest.raises(RunError, match="Is a directory"):
            read_file(found, str(tmp_path))
        with pytest.raises(RunError, match="No such process"):
            read_file(found, "/etc/passwd", service="no-such-service")


def request(*strings: str, count: int | None = None, flags: int = 0) -> bytes:
    number = max(0, len(strings) - 2) if count is None else count
    head = struct.pack(">BHHH", flags, 0, 0, number)
    return head + b"".join(string.encode() + b"\0" for string in strings)


def frame(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">cI", kind, len(payload)) + payload


HELLO = frame(b"H", bytes(16))

HOSTILE = {
    "a request without a head": frame(b"E", b"\0\0"),
    "no arguments": frame(b"E", request("", "")),
    "fewer arguments than said": frame(b"E", request("", "", "true", count=2)),
    "more arguments than said": frame(b"E", request("", "", "true", "x", count=1)),
    "thousands of arguments": frame(b"E", request("", "", *["x"] * 300)),
    "no zero at the end": frame(b"E", request("", "", "true")[:-1]),
    "an option for a service": frame(b"E", request("--help", "", "true")),
    "a path for a service": frame(b"E", request("../x", "", "true")),
    "input without a command": frame(b"I", b"x" * 1000),
    "a signal without a command": frame(b"K", b"\x09"),
    "a size without a command": frame(b"W", b"1234"),
    "an unknown frame": frame(b"?", b"x"),
}


@pytest.mark.parametrize("bad", HOSTILE.values(), ids=HOSTILE)
def test_bad_frames_end_nothing(driver: Path, bad: bytes) -> None:
    """The channel is there for the next request."""
    answers = exchange(driver, HELLO + bad + HELLO + frame(b"E", request("", "", "echo", "fine")))
    assert answers.count(HELLO) == 2
    assert frame(b"O", b"fine\n") in answers
    assert answers.endswith(frame(b"X", b"\0\0"))


def test_what_is_no_frame_ends_the_client(driver: Path) -> None:
    assert exchange(driver, HELLO + b"E\xff\xff\xff\xff" + HELLO) == HELLO


@pytest.mark.slow
def test_random_bytes(driver: Path) -> None:
    chance = random.Random(7)
    kinds = b"HEIWK"
    for _ in range(20):
        data = b"".join(
            frame(bytes([chance.choice(kinds)]), chance.randbytes(chance.randrange(40)))
            for _ in range(50)
        )
        exchange(driver, data, timeout=0.05)


def exchange(driver: Path, data: bytes, *, timeout: float = 20) -> bytes:
    """What the channel answers to `data`, until a command has ended, or nothing comes."""
    host, port = socket.socketpair()
    with host, port:
        process = subprocess.Popen([driver], stdin=port.fileno(), stderr=subprocess.PIPE)
        port.close()
        host.sendall(data)
        host.settimeout(timeout)
        answers = b""
        while frame(b"X", b"\0\0") not in answers:
            try:
                got = host.recv(65536)
            except TimeoutError:
                break
            if not got:
                break
            answers += got
        host.close()
        errors = process.communicate(timeout=60)[1]
    assert (process.returncode, errors) == (0, b""), errors.decode(errors="replace")
    return answers


@pytest.mark.slow
def test_a_guest_that_lies(tmp_path: Path) -> None:
    """What the client takes from a guest: frames that are too long, unknown, or end too soon."""
    for number, answer in enumerate(
        (b"O\xff\xff\xff\xff", frame(b"Z", b""), frame(b"X", b"1"), b"")
    ):
        slot = take_slot(f"liar{number}", "liar")
        slot.write(record(slot.name))
        program = (
            "import socket, sys\n"
            f"s = socket.socket(socket.AF_UNIX); s.bind({str(slot.exec_socket(0))!r}); s.listen()\n"
            "c, _ = s.accept(); hello = c.recv(21); c.sendall(hello); c.recv(100)\n"
            f"c.sendall({answer!r}); c.close()\n"
        )
        liar = subprocess.Popen([sys.executable, "-c", program])
        try:
            with pytest.raises(RunError, match="commands cannot be run"):
                run(find_guest(slot.name), ["true"])
        finally:
            liar.kill()
            liar.wait()
            slot.give_up()
