"""A server of raw bytes: what it says need not be HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["Server", "answering"]


class Server:
    """Says the next of `answers` to whoever connects, the last again and again, whatever is
    asked."""

    def __init__(self, listener: socket.socket, answers: tuple[bytes, ...]) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/a"
        self.requests: list[str] = []
        self._listener = listener
        self._answers = list(answers)

    def serve(self) -> None:
        """Until the socket is shut."""
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                with connection, suppress(OSError):
                    self.requests.append(_request(connection).decode("latin-1"))
                    connection.sendall(answer)

    def ranges(self) -> list[str | None]:
        """What each request said in its `Range`."""
        lines = [request.split("\r\n") for request in self.requests]
        return [
            next((line.partition(": ")[2] for line in one if line.startswith("Range:")), None)
            for one in lines
        ]


def _request(connection: socket.socket) -> bytes:
    """All of the request's head: closing a socket with bytes unread resets the connection, and what
    was sent may never be seen."""
    data = b""
    while b"\r\n\r\n" not in data and (more := connection.recv(1 << 16)):
        data += more
    return data


@contextmanager
def answering(*answers: bytes) -> Iterator[Server]:
    """A server on loopback that says `answers` in turn."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(listener, answers)
        threading.Thread(target=server.serve, daemon=True).start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
