"""A folder or a system over HTTP: who may connect, how long they may take, and what is answered.

May touch: the folder (reading), a socket. Nothing outside of the folder is served, wherever links
in it lead, and nothing but regular files and folders. Requests follow RFC 9112, ranges and
conditions RFC 9110.
"""

from __future__ import annotations

import io
import socket
import sys
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from compos.errors import RunError
from compos.run.netboot import Netboot
from compos.run.served import Folder, Found, Page, find, listing, parse_range, unchanged

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = ["listen", "parse_address"]

MAX_CONNECTIONS = 128
"""At a time, each with a thread; more are answered 503."""

REQUEST_SECONDS = 30
"""For a whole request to arrive, from the connection's or the last answer's end on; idle
connections end then, too."""

SEND_SECONDS = 60
"""For an answer to be taken, and one more for each `MIN_RATE` bytes of it."""

MIN_RATE = 16 << 10
"""Bytes that a client takes in a second at the least, in the mean."""

SEND_PIECE = 256 << 10
"""Bytes between two looks at the clock."""

LINGER_SECONDS = 5
"""For a client to stop sending after it was answered."""

MAX_HEAD = 128 << 10
"""Bytes of a request's first line and fields together: http.server alone would take 6 MB, times the
number of connections."""

MAX_BODY = 1 << 20
"""Bytes of a request's body that are read and dropped; a connection with a longer one, or one of
unknown length, ends."""

_SHOWN = 500
"""Characters of a URL in the log."""


def parse_address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `:PORT` for every interface, or `PORT` on 127.0.0.1. Raises `RunError`
    (`serve-address`)."""
    host, colon, port = text.rpartition(":")
    if not port.isascii() or not port.isdecimal() or len(port) > 5 or int(port) > 65535:
        raise RunError(
            "serve-address",
            f"{text!r} is not a valid [HOST]:PORT",
            place="--port",
            hint="Write 127.0.0.1:8080.",
        )
    return (host.strip("[]") if colon else "127.0.0.1"), int(port)


def listen(
    host: str,
    port: int,
    directory: str | None,
    *,
    boot: Netboot | None = None,
    tls: SSLContext | None = None,
) -> ThreadingHTTPServer:
    """A server of `directory`, if there is one, and in front of it of what machines boot; it
    listens, with `tls` to nothing else. Raises `RunError` (`serve-folder`, `serve-address`)."""
    root = None if directory is None else _folder(directory)
    try:
        return _Server(host, port, root, boot, tls)
    except (OSError, ValueError, TypeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise RunError(
            "serve-address",
            f"cannot listen: {reason}",
            place=f"{host}:{port}",
            hint="Choose another --port.",
        ) from error


def _folder(directory: str) -> Path:
    try:
        root = Path(directory).resolve(strict=True)
        usable = root.is_dir()
    except (OSError, ValueError, RuntimeError):
        usable = False
    if not usable:
        raise RunError(
            "serve-folder",
            "the folder does not exist",
            place=directory,
            hint="Choose another --directory.",
        )
    return root


class _Server(ThreadingHTTPServer):
    def __init__(
        self,
        host: str,
        port: int,
        root: Path | None,
        boot: Netboot | None,
        tls: SSLContext | None,
    ) -> None:
        self.root, self._boot, self._tls = root, boot, tls
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the connection, if there is one left."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        with suppress(OSError):
            request.sendall(
                b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: "
                b"0\r\n\r\n"
            )
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, then leave its place to another one."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection, behind a TLS handshake if that is asked for: here, so that a client
        who is slow at it takes only a place of its own."""
        if self._tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(REQUEST_SECONDS)
        with self._tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)
            with suppress(OSError):
                secured.shutdown(socket.SHUT_WR)

    def find(self, path: str) -> Found | Folder | Page | str | None:
        """What the `path` of a URL means: something to boot, or what the folder has."""
        if self._boot and (found := self._boot.find(path)):
            return found
        return find(self.root, path) if self.root else None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are no news; a fault of ours is one line."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            _log(f"{client_address[0]}: {type(error).__name__}: {error}")


class _Arriving(io.RawIOBase):
    """What a client sends, with an end to how long it may take, and how much it may be, in all."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.until = 0.0
        self.room = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self.room <= 0:
            raise HTTPException("the request is too long")
        self._connection.settimeout(left)
        count = self._connection.recv_into(memoryview(buffer)[: self.room])
        self.room -= count
        return count


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "compos"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    _is_endless = False
    """Whether what comes with the request is not read before the answer."""

    def setup(self) -> None:
        """Read through a clock."""
        super().setup()
        # An open stream would keep the socket from being closed.
        self.rfile.close()
        self._arriving = _Arriving(self.connection)
        self.rfile = io.BufferedReader(self._arriving)

    def handle_one_request(self) -> None:
        """One request, all of which has to arrive in time."""
        self._arriving.until = time.monotonic() + REQUEST_SECONDS
        self._arriving.room = MAX_HEAD
        super().handle_one_request()

    def do_GET(self) -> None:
        """Whatever the method, the file is the answer, as LinuxKit has it; only HEAD has no
        body."""
        if self._drop_body():
            self.connection.settimeout(SEND_SECONDS)
            self._answer()
        if self._is_endless:
            self._linger()

    def _answer(self) -> None:
        target = _origin_form(self.path)
        found = self.server.find(target.partition("?")[0])
        if found is None:
            self.send_error(HTTPStatus.NOT_FOUND, "File not found")
        elif isinstance(found, str):
            query = target.partition("?")[1:]
            self._empty(HTTPStatus.MOVED_PERMANENTLY, {"Location": found + "".join(query)})
        elif isinstance(found, Found):
            with found.stream:
                self._file(found)
        elif isinstance(found, Page):
            self._page(found)
        elif self.server.root:
            text = listing(self.server.root, found)
            self._page(Page(text, "text/html; charset=utf-8"))

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_GET  # noqa: N815  names that the base class looks for

    def _drop_body(self) -> bool:
        """Read what comes with the request, so that it is not taken for the next one; whether there
        is a request to answer."""
        lengths = self.headers.get_all("Content-Length", [])
        length = lengths[0].strip() if lengths else "0"
        if len(set(lengths)) > 1 or not (length.isascii() and length.isdecimal()):
            self.send_error(HTTPStatus.BAD_REQUEST, "Bad Content-Length")
            return False
        if "Transfer-Encoding" in self.headers or len(length) > 18 or int(length) > MAX_BODY:
            # How long it is, is not to be found out: nothing that follows is a request.
            self.close_connection = self._is_endless = True
            return True
        left = int(length)
        self._arriving.room = MAX_BODY + MAX_HEAD  # with what is behind it
        while left:
            piece = self.rfile.read1(min(left, 1 << 16))
            if not piece:
                self.close_connection = True
                return False
            left -= len(piece)
        return True

    def _linger(self) -> None:
        """Closing while data arrives would reset the connection, and the client might lose the
        answer."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self._arriving.until = time.monotonic() + LINGER_SECONDS
            self._arriving.room = sys.maxsize
            while self.rfile.read1(1 << 16):
                pass

    def _page(self, page: Page) -> None:
        self._head(HTTPStatus.OK, len(page.content), {"Content-Type": page.type})
        if self.command != "HEAD":
            self.wfile.write(page.content)

    def _file(self, found: Found) -> None:
        if unchanged(found, self.headers):
            self._empty(HTTPStatus.NOT_MODIFIED, found.headers)
            return
        part = parse_range(found, self.headers)
        if part is None:
            self._empty(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                {"Content-Range": f"bytes */{found.size}"},
            )
            return
        status, headers = HTTPStatus.OK, found.headers
        if part != range(found.size):
            status = HTTPStatus.PARTIAL_CONTENT
            headers = {
                **headers,
                "Content-Range": f"bytes {part.start}-{part.stop - 1}/{found.size}",
            }
        self._head(status, len(part), headers)
        if self.command == "HEAD" or not part:
            return
        # No more than was announced, though the file may have grown; when it has shrunk, only the
        # connection's end says so.
        if self._send(found, part) < len(part):
            self.close_connection = True

    def _send(self, found: Found, part: range) -> int:
        """Send bytes of a file; returns how many there were. Raises `TimeoutError` for a client
        who takes too long."""
        begin, sent = time.monotonic(), 0
        while sent < len(part):
            left = begin + SEND_SECONDS + sent / MIN_RATE - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.connection.settimeout(left)
            size = min(SEND_PIECE, len(part) - sent)
            count = self.connection.sendfile(found.stream, part.start + sent, size)
            if not count:
                break
            sent += count
        return sent

    def _empty(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self._head(status, None if status == HTTPStatus.NOT_MODIFIED else 0, headers)

    def _head(self, status: HTTPStatus, length: int | None, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Method and URL of each request, once."""
        if format.startswith('"%s"'):
            _log(f"{self.command or '?'} {getattr(self, 'path', '?')}")


def _log(line: str) -> None:
    """A line without control characters, and not endless."""
    shown = "".join(character if character.isprintable() else "?" for character in line[:_SHOWN])
    print(shown, file=sys.stderr, flush=True)  # noqa: T201


def _origin_form(target: str) -> str:
    """Path and query of a request's target, which may be a whole URL (RFC 9112 section 3.2.2)."""
    if target.lower().startswith(("http://", "https://")):
        with suppress(ValueError):
            parts = urlsplit(target)
            return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return target
