"""init's containerd client and a server in conversation: windows, cancelled requests, time limits."""

from __future__ import annotations

import contextlib
import struct
import time
from pathlib import Path

import pytest

from tests.bricks.compiler import compile_driver
from tests.bricks.containerd_client import PARTS, call
from tests.bricks.http2 import (
    SETTINGS,
    Peer,
    answer,
    conversation,
    frame,
    refusal,
)


def test_a_long_request_keeps_to_the_windows(driver: Path, tmp_path: Path) -> None:
    """Windows of 1,000 bytes on the stream and 65,535 on the connection, which are opened bit by
    bit."""
    spec = tmp_path / "config.json"
    spec.write_bytes(bytes(range(256)) * 400)
    received = bytearray()

    def talk(peer: Peer) -> None:
        assert peer.read(24) == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        assert peer.next() == (4, 0, 0, b"\0\1\0\0\0\0" + b"\0\2\0\0\0\0"), (
            "no dynamic table, no pushes"
        )
        assert peer.next()[:3] == (1, 4, 1)
        granted = {0: 65_535, 1: 65_535}
        kind, flags, body = 0, 0, b""
        while granted[0] and granted[1]:
            kind, flags, stream, body = peer.next()
            assert (kind, flags, stream) == (0, 0, 1)
            assert len(body) <= 16_384
            received.extend(body)
            granted = {key: value - len(body) for key, value in granted.items()}
        assert granted == {0: 0, 1: 0}, "all that was allowed"
        # A smaller first window makes the stream's negative (RFC 9113, 6.9.2): 1,000 - 65,535 +
        # 65,000 = 465.
        peer.connection.sendall(frame(4, 0, 0, b"\0\4" + struct.pack(">I", 1000)))
        peer.connection.sendall(
            frame(8, 0, 1, struct.pack(">I", 65_000)) + frame(6, 0, 0, b"are you?")
        )
        assert peer.next() == (4, 1, 0, b"")
        assert peer.next() == (6, 1, 0, b"are you?")
        peer.connection.sendall(frame(8, 0, 0, struct.pack(">I", 400)))
        assert len(peer.next()[3]) == 400
        received.extend(peer.frames[-1][3])
        peer.connection.sendall(frame(8, 0, 0, struct.pack(">I", 1 << 20)))
        assert len(peer.next()[3]) == 65
        received.extend(peer.frames[-1][3])
        peer.connection.sendall(frame(8, 0, 1, struct.pack(">I", 1 << 20)))
        while not flags & 1:
            kind, flags, _, body = peer.next()
            assert kind == 0
            assert len(body) <= 16_384
            received.extend(body)
        peer.connection.sendall(answer(b""))
        peer.drain()

    with conversation(tmp_path / "s", talk) as peer:
        assert call(driver, tmp_path / "s", "test", "create", "one", spec) == "ok 0"
    assert received[0] == 0
    assert int.from_bytes(received[1:5], "big") == len(received) - 5
    assert received.endswith(spec.read_bytes())
    assert [entry for entry in peer.frames if entry[0] == 8] == [
        (8, 0, 1, b"\0\0\0\5"),
        (8, 0, 0, b"\0\0\0\5"),
    ], "the answer's bytes are given back to both windows"


def test_an_answer_before_the_end_of_the_request(driver: Path, tmp_path: Path) -> None:
    spec = tmp_path / "config.json"
    spec.write_bytes(b"x" * 100_000)

    def talk(peer: Peer) -> None:
        peer.read(24)
        peer.connection.sendall(refusal(b"8", b"enough"))
        peer.drain()

    with conversation(tmp_path / "s", talk) as peer:
        assert call(driver, tmp_path / "s", "test", "create", "one", spec) == "error: enough"
    assert peer.frames[-1] == (3, 0, 1, b"\0\0\0\x08"), "the rest is cancelled"


def test_a_container_that_will_not_go(driver: Path, tmp_path: Path) -> None:
    """A server that lists the same container for ever, though it says that it deletes it."""
    listed = b"\x0a\x05\x0a\x03one"

    def talk(peer: Peer) -> None:
        peer.read(24)
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                kind, flags, stream, _ = peer.next()
                if kind == 0 and flags & 1:
                    peer.connection.sendall(
                        answer(listed if stream % 10 == 1 else b"", stream=stream)
                    )

    with conversation(tmp_path / "s", talk) as peer:
        said = call(driver, tmp_path / "s", "test", "remove-all")
    assert said == "error: the container one cannot be removed"
    assert max(entry[2] for entry in peer.frames) == 11, "list, kill, wait, delete, delete, list"


@pytest.mark.parametrize("drip", [b"", frame(6, 1, 0, b"12345678")])
def test_no_call_outlives_its_time(tmp_path: Path, drip: bytes) -> None:
    """Half a second here, five minutes in an image: whether the server is silent, or says nothing that
    helps."""
    program = compile_driver("containerd", parts=PARTS, defines=("-DWIRE_TIMEOUT_MS=500",))

    def talk(peer: Peer) -> None:
        peer.connection.sendall(SETTINGS)
        with contextlib.suppress(ConnectionError):
            while drip:
                peer.connection.sendall(drip)
                time.sleep(0.05)
        peer.drain()

    begin = time.monotonic()
    with conversation(tmp_path / "s", talk):
        said = call(program, tmp_path / "s", "test", "start", "one")
        # Without its limit, `call` would give up after 90 s.
        assert 0.4 < time.monotonic() - begin < 60
    assert said.startswith("error: the server did not answer within")
