"""What guests reach on this machine, as 10.0.2.2: a web server, a syslog collector."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

__all__ = ["PAGE", "Collector", "web_server"]

PAGE = "out there"


class Page(BaseHTTPRequestHandler):
    """One page at every address."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{PAGE}\n".encode())

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@contextmanager
def web_server() -> Iterator[int]:
    """A server on loopback; gives its port."""
    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


class Collector(threading.Thread):
    """A syslog collector on loopback: what all connections have sent."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.received: list[bytes] = []
        self.start()

    def run(self) -> None:
        """Accept until the listener is closed."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        data = b""
        with connection:
            while part := connection.recv(65536):
                data += part
                *messages, data = _messages(data)
                self.received += messages

    def wait_for(self, name: str, count: int) -> None:
        """Until a program has sent `count` messages."""
        deadline = time.monotonic() + 60
        while len(self.from_program(name)) < count:
            assert time.monotonic() < deadline, f"{name} has sent {self.from_program(name)}"
            time.sleep(0.1)

    def from_program(self, name: str) -> list[str]:
        """Texts of the messages of a program: RFC 5424, 6."""
        pattern = re.compile(
            rf"<(\d{{1,3}})>1 (\S+) (\S+) {name} (\S+) (\S+) (-|\[.*?\]) ?(.*)", re.DOTALL
        )
        found = [pattern.fullmatch(message.decode()) for message in list(self.received)]
        return [match[7] for match in found if match]


def _messages(data: bytes) -> list[bytes]:
    """Whole messages, framed by their length (RFC 6587, 3.4.1), and the rest."""
    found = []
    while match := re.match(rb"([1-9]\d*) ", data):
        end = match.end() + int(match[1])
        if len(data) < end:
            break
        found.append(data[match.end() : end])
        data = data[end:]
    return [*found, data]
