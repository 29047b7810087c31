"""A whole build with a cache whose registry is slow, silent or missing: the same outputs as without
it, one notice, and a bounded number of attempts. How long each may take is a constant
(`http.retry.HURRIED`, `remote.pace`), which is smaller here."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

import pytest

from compos.http import retry
from compos.image.model import MANIFEST
from compos.remote import pace
from tests.image.conftest import docker_registry
from tests.remote.site import Machine
from tests.remote.test_hostile import REPOSITORY, TAG, Filled, filled

__all__ = ["docker_registry", "filled"]

pytestmark = pytest.mark.slow

SHORT = retry.Patience(connect=0.3, read=0.3, whole=0.5, attempts=2, pause=0.1)

Say = Callable[[socket.socket, bytes], None]
"""What a server says to a request on a connection."""


class Server(NamedTuple):
    host: str
    connections: list[str]
    """The first line of what was asked on each."""


@contextmanager
def serving(say: Say) -> Iterator[Server]:
    """A server that has its own idea of an answer, one connection for each request."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    connections: list[str] = []

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            data = connection.recv(1 << 16)
            connections.append(data.split(b"\r\n")[0].decode("latin-1"))
            # A client that tries TLS first.
            if not data.startswith(b"\x16"):
                say(connection, data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield Server(f"127.0.0.1:{listener.getsockname()[1]}", connections)
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def head(length: int, kind: str = "application/octet-stream") -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n"
        "Connection: close\r\n\r\n"
    ).encode()


def drip(connection: socket.socket, data: bytes) -> None:
    """A byte each twentieth of a second, for longer than anybody waits."""
    for number in range(len(data)):
        connection.sendall(data[number : number + 1])
        time.sleep(0.05)


def silent(connection: socket.socket, _: bytes) -> None:
    connection.recv(1)


def busy(connection: socket.socket, _: bytes) -> None:
    connection.sendall(
        b"HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )


def with_list(filled: Filled, blob: Callable[[socket.socket, bytes], None]) -> Say:
    """Sends the list at once, and of blobs what `blob` sends."""

    def say(connection: socket.socket, asked: bytes) -> None:
        path = asked.split(b" ")[1].decode()
        if "/manifests/" in path:
            connection.sendall(head(len(filled.listing), MANIFEST) + filled.listing)
        elif "/blobs/" in path:
            data = filled.blobs[path.rpartition("/")[2]]
            connection.sendall(head(len(data)))
            blob(connection, data)
        else:
            connection.sendall(head(2) + b"{}")

    return say


def nothing_more(connection: socket.socket, data: bytes) -> None:
    connection.sendall(data[:10])
    connection.recv(1)


def dripping_list(connection: socket.socket, _: bytes) -> None:
    connection.sendall(head(100_000, MANIFEST))
    drip(connection, b"[" * 100_000)


def build(filled: Filled, host: str, name: str) -> str:
    """The notice of a build whose outputs are right."""
    machine = Machine(filled.site, name)
    made = machine.build(cache_from=(f"{host}/{REPOSITORY}",), key=filled.site.public)
    assert made == filled.outputs
    (warning,) = machine.notices.warnings()
    assert f"the remote cache {host}/{REPOSITORY}:{TAG} is not used" in warning
    return warning


def test_caches_that_keep_a_build_waiting(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "HURRIED", SHORT)
    monkeypatch.setattr(pace, "PATIENCE", 0.3)
    cases: list[tuple[Say, str, int]] = [
        (silent, "network-timeout", 8),
        (dripping_list, "network-timeout", 8),
        (busy, "registry-error", 4),
        (with_list(filled, drip), "cache-slow", 40),
        (with_list(filled, nothing_more), "network-timeout", 40),
    ]
    for number, (say, error, most) in enumerate(cases):
        with serving(say) as server:
            assert error in build(filled, server.host, f"machine{number}")
            assert 0 < len(server.connections) <= most, server.connections


def test_a_cache_that_cannot_be_filled(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    """The outputs are there before."""
    monkeypatch.setattr(retry, "HURRIED", SHORT)
    with serving(silent) as server:
        machine = Machine(filled.site, "filling")
        made = machine.build(cache_to=f"{server.host}/{REPOSITORY}", key=filled.site.private)
        assert 0 < len(server.connections) <= 8, server.connections
    assert made == filled.outputs
    (warning,) = machine.notices.warnings()
    assert f"the remote cache {server.host}/{REPOSITORY}:{TAG} was not filled" in warning


def test_caches_that_are_not_there(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens; nobody takes connections."""
    monkeypatch.setattr(retry, "HURRIED", SHORT)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        host = f"127.0.0.1:{gone.getsockname()[1]}"
    assert "network-connect" in build(filled, host, "refused")
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        host = f"127.0.0.1:{full.getsockname()[1]}"
        assert "network-" in build(filled, host, "full")
