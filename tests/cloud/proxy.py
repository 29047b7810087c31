"""A proxy between compos and a cloud, in which every call can go wrong.

It counts calls by what they do, and follows one instruction about one of them.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

__all__ = ["Fault", "Proxy", "Refusal"]


class Refusal(NamedTuple):
    """An answer that a cloud gives in place of what was asked for."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class Fault(NamedTuple):
    """What happens to the calls named `call`: a `kind`, or a refusal.

    `before` cuts the connection before the call arrives, `after` when it has been answered; `once`
    says that only the first of them is concerned. `act` is called before the connection is cut.
    """

    call: str
    kind: str | Refusal
    once: bool = True
    act: Callable[[], None] | None = None


class Proxy:
    """Ports that lead to servers, `calls` in their order, and the `fault` to make."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.body_bytes = 0
        self.most_at_once = 0
        self.answers: dict[str, Refusal] = {}
        """Answers to calls that the server does not know, by their names."""
        self._at_once = 0
        self._fault: Fault | None = None
        self._hits = 0
        self._lock = threading.Lock()
        self._servers: list[ThreadingHTTPServer] = []

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def to(self, host: str, port: int, *, keep_host: bool = False) -> str:
        """The URL of a new port that leads to a server. With `keep_host`, it sees itself under the
        proxy's name: signatures cover it."""
        proxy = self

        class Handler(_Handler):
            target = (host, port)
            keep = keep_host
            owner = proxy

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self._servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    def expect(self, fault: Fault | None) -> None:
        """Forget the calls so far, and make `fault` from now on."""
        with self._lock:
            self.calls.clear()
            self.body_bytes = self.most_at_once = 0
            self._fault, self._hits = fault, 0

    @property
    def hits(self) -> int:
        """How often the fault was made."""
        return self._hits

    def begun(self, name: str, size: int) -> Fault | None:
        """Note a call; returns the fault to make of it."""
        with self._lock:
            self.calls.append(name)
            self.body_bytes += size
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            fault = self._fault
            if fault is None or fault.call != name or (fault.once and self._hits):
                return None
            self._hits += 1
            return fault

    def ended(self) -> None:
        """A call is over."""
        with self._lock:
            self._at_once -= 1


_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
_ID = re.compile(
    r"(?<=/)(?:[0-9a-f]{8}-[0-9a-f-]{27}|urn:[^/]+|snap-[0-9a-f]+|\d+|[\w.-]*[0-9a-f]{12}(?:\.\w[\w.]*)?)(?=/|$)"
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    target = ("", 0)
    keep = False
    owner: Proxy
    timeout = 60

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def _exchange(self) -> None:
        try:
            self._answer()
        except (OSError, http.client.HTTPException):
            self._cut()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = _exchange  # noqa: N815

    def _answer(self) -> None:
        body = self._body()
        name = self._name(body)
        fault = self.owner.begun(name, len(body))
        try:
            if fault is not None and isinstance(fault.kind, Refusal):
                self._say(fault.kind.status, dict(fault.kind.headers), fault.kind.body)
                return
            if fault is not None and fault.kind == "before":
                self._stop(fault)
                return
            known = self.owner.answers.get(name)
            status, headers, answer = (
                (known.status, dict(known.headers), known.body) if known else self._forwarded(body)
            )
            if fault is not None and fault.kind == "after":
                self._stop(fault)
                return
            self._say(status, headers, answer)
        finally:
            self.owner.ended()

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _name(self, body: bytes) -> str:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            return parse_qs(body.decode())["Action"][0]
        words = [self.command, _ID.sub("*", url.path)]
        words += [query[key][0] for key in ("comp", "restype", "uploadType") if key in query]
        words += [f"action={query['action'][0]}"] if "action" in query else []
        words += [
            self.headers[key]
            for key in ("x-ms-page-write", "x-ms-blob-type")
            if key in self.headers
        ]
        if "upload_id" in query:
            words.append("chunk")
        return " ".join(words)

    def _forwarded(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(*self.target, timeout=60)
        try:
            headers = {
                key: value
                for key, value in self.headers.items()
                if key.lower() not in {*_HOP, "expect"} and (self.keep or key.lower() != "host")
            }
            if body or self.command in ("POST", "PUT"):
                headers["Content-Length"] = str(len(body))
            connection.request(self.command, self.path, body or None, headers)
            found = connection.getresponse()
            return found.status, dict(found.getheaders()), found.read()
        finally:
            connection.close()

    def _say(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        length = {key.lower(): value for key, value in headers.items()}.get("content-length")
        for key, value in headers.items():
            if key.lower() not in _HOP:
                self.send_header(key, value)
        size = length if self.command == "HEAD" and length else str(len(body))
        if status not in (204, 304):
            self.send_header("Content-Length", size)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _stop(self, fault: Fault) -> None:
        if fault.act is not None:
            fault.act()
        self._cut()

    def _cut(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
