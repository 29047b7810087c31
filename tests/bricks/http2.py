"""The server's side of gRPC, byte by byte: frames, header fields and conversations, hostile ones too."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = [
    "OK",
    "SETTINGS",
    "STATUS_0",
    "Peer",
    "answer",
    "conversation",
    "frame",
    "literal",
    "refusal",
    "serve_once",
    "text",
]


def frame(kind: int, flags: int, stream: int, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + body


def text(value: bytes, *, huffman: bool = False) -> bytes:
    """A string literal of RFC 7541, section 5.2."""
    mark = 0x80 if huffman else 0
    if len(value) < 127:
        return bytes([mark | len(value)]) + value
    rest, encoded = len(value) - 127, bytes([mark | 127])
    while rest >= 128:
        encoded += bytes([rest & 127 | 128])
        rest >>= 7
    return encoded + bytes([rest]) + value


def literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + text(name) + text(value)


def answer(message: bytes, *, stream: int = 1) -> bytes:
    """Headers, data and trailers of a call that went well."""
    data = b"\0" + struct.pack(">I", len(message)) + message
    return frame(1, 4, stream, b"\x88") + frame(0, 0, stream, data) + frame(1, 5, stream, STATUS_0)


def refusal(status: bytes, message: bytes) -> bytes:
    return SETTINGS + frame(
        1, 5, 1, literal(b"grpc-status", status) + literal(b"grpc-message", message)
    )


STATUS_0 = literal(b"grpc-status", b"0")
SETTINGS = frame(4, 0, 0, b"")

OK = answer(b"\x08\x07")
"""StartResponse: pid 7."""


def serve_once(path: Path, answer: bytes) -> threading.Thread:
    """Answers one connection with fixed bytes and closes it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def run() -> None:
        with listener, listener.accept()[0] as connection:
            connection.settimeout(10)
            connection.recv(1 << 16)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            try:
                while connection.recv(1 << 16):
                    pass
            except OSError:
                pass

    thread = threading.Thread(target=run)
    thread.start()
    return thread


class Peer:
    """The server's side of one connection, frame by frame."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.frames: list[tuple[int, int, int, bytes]] = []

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.connection.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def next(self) -> tuple[int, int, int, bytes]:
        header = self.read(9)
        kind, flags, stream = struct.unpack(">BBI", header[3:])
        self.frames.append((kind, flags, stream, self.read(int.from_bytes(header[:3], "big"))))
        return self.frames[-1]

    def drain(self) -> None:
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                self.next()


@contextlib.contextmanager
def conversation(path: Path, talk: Callable[[Peer], None]) -> Iterator[Peer]:
    """Holds one conversation in a thread; what goes wrong in it is raised at the end."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    unconnected = socket.socket()
    peer = Peer(unconnected)
    troubles: list[Exception] = []

    def run() -> None:
        try:
            with unconnected, listener, listener.accept()[0] as connection:
                connection.settimeout(20)
                peer.connection = connection
                talk(peer)
        except Exception as trouble:
            troubles.append(trouble)

    thread = threading.Thread(target=run)
    thread.start()
    yield peer
    thread.join()
    assert not troubles
