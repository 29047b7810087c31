"""The bricks that work with a host: vsudd's relay, trim-after-delete behind a Docker of the test's,
and the command lines of what needs vsock."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bricks.compiler import compile_brick


def until_there(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def connected(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    client.settimeout(20)
    return client


def everything(stream: socket.socket) -> bytes:
    """What comes until the end."""
    with stream.makefile("rb") as file:
        return file.read()


@pytest.fixture(scope="module")
def relay() -> Path:
    return compile_brick("vsudd", driver="relay")


@pytest.fixture(scope="module")
def trim() -> Path:
    return compile_brick("trim-after-delete")


class Relay:
    """A relay between the sockets `outer` and `inner`, behind which a server takes connections."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.outer, self.inner = folder / "outer", folder / "inner"
        command = [str(program), str(self.outer), str(self.inner)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        until_there(self.outer)

    def serve(self) -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(self.inner))
        server.listen(256)
        server.settimeout(20)
        return server


@pytest.fixture
def started(relay: Path, tmp_path: Path) -> Iterator[Relay]:
    running = Relay(relay, tmp_path)
    yield running
    assert running.process.poll() is None
    running.process.terminate()
    running.process.communicate(timeout=20)


def test_each_direction_ends_on_its_own(started: Relay) -> None:
    with started.serve() as server, connected(started.outer) as client:
        inner, _ = server.accept()
        with inner:
            inner.settimeout(20)
            data = bytes(range(256)) * 20000
            sender = threading.Thread(target=client.sendall, args=(data,))
            sender.start()
            received = bytearray()
            while len(received) < len(data):
                received += inner.recv(65536)
            sender.join(20)
            assert received == data
            client.shutdown(socket.SHUT_WR)
            assert inner.recv(1) == b""
            inner.sendall(b"still here")
            inner.shutdown(socket.SHUT_WR)
            assert everything(client) == b"still here"


def test_one_that_does_not_read_stops_nobody(started: Relay) -> None:
    with started.serve() as server, connected(started.outer) as stuck:
        held, _ = server.accept()
        stuck.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                stuck.send(bytes(65536))
        with connected(started.outer) as other:
            inner, _ = server.accept()
            other.sendall(b"hello")
            assert inner.recv(5) == b"hello"
            inner.close()
            assert everything(other) == b""
        held.close()


def test_nobody_behind_it_and_too_many_before_it(started: Relay) -> None:
    with connected(started.outer) as client:
        assert everything(client) == b""
    assert started.process.stderr is not None
    said = started.process.stderr.readline()
    assert said == f"vsudd: {started.inner}: No such file or directory\n"
    with started.serve() as server, contextlib.ExitStack() as stack:
        for _ in range(256):
            stack.enter_context(connected(started.outer))
            stack.enter_context(server.accept()[0])
        with connected(started.outer) as one_more:
            assert everything(one_more) == b""
    assert "too many connections" in started.process.stderr.readline()


class Docker:
    """Accepts clients of the event stream; `send` writes events to the one that is there."""

    def __init__(self, path: Path) -> None:
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen()
        self.server.settimeout(20)

    def accept(self) -> socket.socket:
        client, _ = self.server.accept()
        client.settimeout(20)
        request = client.recv(1000)
        assert request.startswith(b"GET /events HTTP/1.0\r\n")
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")
        return client


def event(kind: str, action: str) -> bytes:
    return json.dumps({"Type": kind, "Action": action, "Actor": {"ID": "x"}}).encode() + b"\n"


FREE = [("image", "delete"), ("container", "destroy"), ("volume", "destroy"), ("builder", "prune")]
OTHERS = [("image", "pull"), ("container", "die"), ("network", "destroy"), ("volume", "delete")]


@pytest.mark.slow
def test_a_command_after_deletions(trim: Path, tmp_path: Path) -> None:
    path, runs = tmp_path / "docker.sock", tmp_path / "runs"
    options = ["-docker-socket", str(path), "-delay", "300ms"]
    command = ["--", "/bin/sh", "-c", f"echo run >> {runs}; exit 1"]
    with subprocess.Popen([trim, *options, *command], stderr=subprocess.PIPE, text=True) as process:
        time.sleep(0.3)
        docker = Docker(path)
        with docker.server, docker.accept() as client:
            for one in OTHERS:
                client.sendall(event(*one))
            # No event, and one that is too long to be one.
            client.sendall(b"\n[]\nnull\n{\n" + b'{"x":"' + b"y" * 100000 + b'"}\n')
            time.sleep(0.8)
            assert not runs.exists()
            for number, one in enumerate(FREE, 1):
                half = len(event(*one)) // 2
                client.sendall(event(*one)[:half])
                time.sleep(0.05)
                client.sendall(event(*one)[half:] + event(*one))
                time.sleep(0.8)
                assert runs.read_text() == "run\n" * number, one
            # Docker ends before the delay has passed.
            client.sendall(event(*FREE[0]))
            time.sleep(0.1)
            client.close()
            docker.accept().close()
            deadline = time.monotonic() + 10
            while runs.read_text() != "run\n" * 5:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        process.terminate()
        _, said = process.communicate(timeout=20)
    lines = said.splitlines()
    assert lines[0] == f"trim-after-delete: {path}: No such file or directory; trying again"
    assert lines.count("trim-after-delete: /bin/sh failed") == 5


@pytest.mark.parametrize(
    "arguments", [[], ["-delay", "10s"], ["-delay", "soon", "--", "x"], ["-delay", "-1s", "x"]]
)
def test_trims_command_line(trim: Path, arguments: list[str]) -> None:
    done = subprocess.run([trim, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")


def test_what_needs_vsock_says_what_is_wrong() -> None:
    vsudd = compile_brick("vsudd")
    for arguments in ([], ["-inport"], ["-outport", "1:unix:/x"]):
        done = subprocess.run([vsudd, *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr[:6]) == (2, "usage:")
    for port in ("x:unix:/x", "1:tcp:/x", "1:unix:x", "-1:unix:/x", "4294967295:unix:/x"):
        command = [str(vsudd), "-inport", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, f"vsudd: {port}: not PORT:unix:/PATH\n")
    daemon = compile_brick("host-timesync-daemon")
    # No machine has this context identifier.
    command = [str(daemon), "-cid", "77", "-port", "0x10"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1
    assert re.fullmatch(r"host-timesync-daemon: vsock port 16: .+\n", done.stderr)
