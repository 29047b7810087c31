"""A small registry inside the test process, on loopback, that serves what it is given and
misbehaves on request.

with FakeRegistry() as registry:
    registry.load(store, "host/name:tag", "name", "tag")
    registry.misbehave(Fault("truncate", on="/blobs/", times=1, value=1000))
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal, Self
from urllib.parse import parse_qs, urlsplit

from compos.image.digest import digest_of
from compos.image.model import Descriptor, Manifest, parse_document
from compos.image.store import Store

FaultKind = Literal[
    "status",
    "reset",
    "truncate",
    "short",
    "long",
    "corrupt",
    "chunked",
    "slow",
    "redirect",
    "replace",
]


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose path contains `on`.

    `value` is: `status` → the status; `reset`, `truncate` → bytes sent before the connection ends;
    `short`, `long` → bytes left out of, or added to, body and announced length; `chunked` → bytes
    added to a body without length; `slow` → bytes a piece, 10 ms apart. `text` is the target of
    `redirect`, and the body of `status`. `data` is the body of `replace`.
    """

    kind: FaultKind
    on: str = ""
    times: int = 1
    value: int = 0
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""


@dataclass(frozen=True)
class Request:
    """A request that came in; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]


class Server(ThreadingHTTPServer):
    """A server on loopback whose connections can be ended."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self._connections: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        self._connections.append(connection)
        return connection, address

    def hang_up(self) -> None:
        """End the connections that clients keep open."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that clients break off are no news."""


class Served:
    """Something that a handler serves on loopback, as long as it is a context."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = Server(handler)
        self._thread = threading.Thread(
            target=lambda: self._server.serve_forever(0.02), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        # Or a later server on the same port would be talked to through them.
        self._server.hang_up()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


class FakeRegistry(Served):
    """Serves `documents` (manifests and indexes by repository and tag or digest) and `blobs` (by
    digest).

    `user` and `password` make it ask for Basic; with `realm` (a URL) it asks for Bearer tokens from
    there and takes those in `tokens`. `ranges` says whether it resumes, `digest_header` what it
    claims of manifests: the truth where it is None, nothing where it is empty.
    """

    def __init__(self, *, user: str = "", password: str = "", ranges: bool = True) -> None:
        self.documents: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.user, self.password, self.ranges = user, password, ranges
        self.digest_header: str | None = None
        self.realm = ""
        self.tokens: set[str] = set()
        self.answer_token: Callable[[Request, bytes], tuple[int, object]] | None = None
        self.token_redirects: list[tuple[int, str]] = []
        """Status and `Location` of the next answers to those who ask for a token."""
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        super().__init__(_handler(self))

    def wrap(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def load(self, store: Store, name: str, repository: str, tag: str) -> str:
        """Serve what `store` has under the canonical `name`; gives the reference to ask for."""
        root = store.resolve(name)
        assert root is not None
        self._add(store, root, repository, tag)
        return f"{self.host}/{repository}:{tag}"

    def _add(self, store: Store, blob: Descriptor, repository: str, version: str) -> None:
        data = store.read(blob.digest)
        for key in (version, blob.digest):
            self.documents[repository, key] = (blob.media_type, data)
        _, document = parse_document(data, media_type=blob.media_type)
        if isinstance(document, Manifest):
            self.blobs.update({part.digest: store.read(part.digest) for part in document.blobs})
        else:
            for child in document.manifests:
                if store.has(child.digest):
                    self._add(store, child, repository, child.digest)

    def misbehave(self, *faults: Fault) -> None:
        with self._lock:
            self._faults.extend(faults)

    def fault(self, path: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.times and fault.on in path:
                    fault.times -= 1
                    return fault
        return None

    def asked(self, text: str) -> list[Request]:
        """The requests whose path contains `text`."""
        return [request for request in self.requests if text in request.path]

    def challenge(self, request: Request) -> str | None:
        """What to ask for in place of an answer, if anything."""
        given = request.headers.get("authorization", "")
        if self.realm:
            if given.removeprefix("Bearer ") in self.tokens:
                return None
            return f'Bearer realm="{self.realm}",service="fake, \\"quoted\\"",scope="repository:x:pull"'
        if self.user:
            expected = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            return None if given == f"Basic {expected}" else 'Basic realm="fake"'
        return None


def _handler(registry: FakeRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body are two packets: the second would wait for the client's delayed ACK.
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                self._serve()

        do_HEAD = do_POST = do_GET  # noqa: N815 - the names that http.server calls

        def _serve(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers)
            registry.requests.append(request)
            sent = self.rfile.read(int(headers.get("content-length", 0)))
            if self.path.startswith("/token"):
                if registry.token_redirects:
                    status, location = registry.token_redirects.pop(0)
                    return self._send(status, b"", {"Location": location})
                status, answer = (
                    registry.answer_token(request, sent) if registry.answer_token else (404, {})
                )
                return self._send(
                    status, answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                )
            # Faults are for what is asked for, not for the probe or the login.
            if challenge := registry.challenge(request):
                return self._send(401, b"{}", {"WWW-Authenticate": challenge})
            if urlsplit(self.path).path == "/v2/":
                return self._send(200, b"{}")
            return self._content(registry.fault(self.path))

        def _content(self, fault: Fault | None) -> None:
            if fault and fault.kind == "status":
                return self._send(fault.value, fault.text.encode(), fault.headers)
            if fault and fault.kind == "redirect":
                return self._send(307, b"", {"Location": fault.text or self.path})
            match = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", urlsplit(self.path).path)
            found: tuple[str, bytes] | None = None
            if match and match[2] == "manifests":
                found = registry.documents.get((match[1], match[3]))
            elif match and match[3] in registry.blobs:
                found = ("application/octet-stream", registry.blobs[match[3]])
            if found is None:
                error = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
                return self._send(404, json.dumps(error).encode())
            media_type, data = found
            answer = {"Content-Type": media_type}
            if match and match[2] == "manifests" and (claimed := registry.digest_header) != "":
                answer["Docker-Content-Digest"] = claimed or digest_of(data)
            if fault and fault.kind == "replace":
                data = fault.data
            status = 200
            requested = re.fullmatch(r"bytes=([0-9]+)-", self.headers.get("Range", ""))
            if requested and registry.ranges:
                start = int(requested[1])
                if start >= len(data):
                    return self._send(416, b"")
                answer["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
                status, data = 206, data[start:]
            return self._send(status, data, answer, fault)

        def _send(
            self,
            status: int,
            data: bytes,
            headers: dict[str, str] | None = None,
            fault: Fault | None = None,
        ) -> None:
            kind = fault.kind if fault else ""
            value = fault.value if fault else 0
            if kind == "corrupt":
                data = data[:-1] + bytes([data[-1] ^ 1])
            if kind == "short":
                data = data[:-value]
            if kind == "long":
                data += bytes(value)
            self.send_response(status)
            if kind == "chunked":
                self.send_header("Transfer-Encoding", "chunked")
                data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data) + value, data + bytes(value))
            else:
                self.send_header("Content-Length", str(len(data)))
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            self.end_headers()
            if self.command == "HEAD":
                return
            if kind == "slow":
                for start in range(0, len(data), value):
                    self.wfile.write(data[start : start + value])
                    time.sleep(0.01)
            elif kind in ("truncate", "reset"):
                self.wfile.write(data[:value])
                self._end(abruptly=kind == "reset")
            else:
                self.wfile.write(data)

        def _end(self, *, abruptly: bool) -> None:
            self.close_connection = True
            if abruptly:
                # What was sent should arrive before the reset.
                time.sleep(0.05)
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                self.connection.close()

    return Handler


def query(request: Request) -> dict[str, str]:
    """The query parameters of a request."""
    return {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
