"""A registry inside the test process, on loopback, that takes pushes, and misbehaves on request.

with PushableRegistry() as registry:
    registry.misbehave(Cut("PATCH", after=1000))
    push(store, name, registry=Registry(), target=f"{registry.host}/a/b:1")

It follows the OCI distribution specification 1.1, and is strict where registries may be: chunks
must follow each other, contents must match their digests, a manifest's parts must be there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.registry import Served

INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass
class Cut:
    """The connection ends at the next `times` requests of `method` whose path contains `on`: after
    `after` bytes of the body; with `answered` after all is done, instead of the answer."""

    method: str
    on: str = ""
    times: int = 1
    after: int = 0
    answered: bool = False


@dataclass
class Refusal:
    """The next `times` such requests get `status`; nothing is done. `{path}` in `headers` is the
    request's."""

    method: str
    status: int
    on: str = ""
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Behaviour:
    """What the registry can, and what it gets wrong."""

    head: bool = True
    in_post: bool = True
    mount: bool = True
    status: bool = True
    """Whether it says how much of an upload it has."""
    chunks: bool = True
    """Whether it takes a blob in several requests."""
    ranges: bool = True
    """Whether it looks where a chunk belongs; else it appends it, and says nothing of it."""
    least_chunk: int = 0
    takes: int = 1 << 40
    """Bytes of a chunk that it keeps."""
    most: int = 1 << 40
    """Bytes of a body that it takes."""
    location: str = "{path}"
    """Of an upload: a template; "" for none."""
    stored: str = ""
    """The digest that it says it has stored; "" for the truth."""
    referrers: bool = True
    page: int = 1 << 20
    """Referrers in one answer."""
    conditional: bool = False
    """Whether it takes `If-Match`."""


class PushableRegistry(Served):
    """`manifests` by repository and tag or digest, `blobs` by repository and digest; `requests` are
    (method, path) in their order, `received` the bytes of all bodies."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.uploads: dict[str, bytearray] = {}
        self.requests: list[tuple[str, str]] = []
        self.received = 0
        self.tokens: set[str] | None = None
        """Bearer tokens that count; None asks for none."""
        self.expires_at: list[str] = []
        """Methods of requests that find that all tokens have expired: once each."""
        self.hasty = False
        """Whether it ends the connection where it would have to read a long body to refuse it."""
        self.granted: list[str] = []
        self.listed: tuple[str, bytes] | None = None
        """Media type and body of every list of referrers; None for the truth."""
        self.link = ""
        """Where every list of referrers goes on."""
        self.peak = 0
        """Bodies that were received at once at most."""
        self._faults: list[Cut | Refusal] = []
        self.lock = threading.Lock()
        self._under_way = 0
        super().__init__(_handler(self))

    def misbehave(self, *faults: Cut | Refusal) -> None:
        with self.lock:
            self._faults.extend(faults)

    def fault(self, method: str, path: str) -> Cut | Refusal | None:
        with self.lock:
            for fault in self._faults:
                if fault.times and fault.method == method and fault.on in path:
                    fault.times -= 1
                    return fault
        return None

    def asked(self, method: str, text: str = "") -> list[str]:
        """The paths of the requests of `method` that contain `text`."""
        return [path for kind, path in self.requests if kind == method and text in path]

    @contextlib.contextmanager
    def receiving(self) -> Iterator[None]:
        with self.lock:
            self._under_way += 1
            self.peak = max(self.peak, self._under_way)
        try:
            yield
        finally:
            with self.lock:
                self._under_way -= 1

    def referring(self, repository: str, digest: str) -> list[dict[str, Any]]:
        """The entries of manifests whose subject is `digest`, as the referrers API lists them."""
        found = []
        for (place, version), (kind, data) in list(self.manifests.items()):
            document = json.loads(data)
            if (
                place == repository
                and version == _digest(data)
                and (document.get("subject") or {}).get("digest") == digest
            ):
                entry = {"mediaType": kind, "digest": version, "size": len(data)}
                entry["artifactType"] = (
                    document.get("artifactType") or document["config"]["mediaType"]
                )
                if document.get("annotations"):
                    entry["annotations"] = document["annotations"]
                found.append(entry)
        return found


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class _HungUp(Exception):
    """The connection was ended on purpose."""


def _handler(registry: PushableRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        answered_later: Cut | None = None

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            with contextlib.suppress(OSError, _HungUp):
                self._serve()

        do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

        def _serve(self) -> Any:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            with registry.lock:
                registry.requests.append((self.command, self.path))
            self.answered_later = None
            if parts.path == "/token":
                token = f"token{len(registry.granted)}"
                registry.granted.append(query.get("scope", ""))
                assert registry.tokens is not None
                registry.tokens.add(token)
                return self._send(200, json.dumps({"token": token}).encode())
            if parts.path == "/v2/":
                return self._send(200, b"{}")
            fault = registry.fault(self.command, self.path)
            if isinstance(fault, Refusal):
                self._body()
                answer = {name: text.format(path=self.path) for name, text in fault.headers.items()}
                return self._send(fault.status, _error("FAULT"), answer)
            if registry.tokens is not None:
                with registry.lock:
                    if self.command in registry.expires_at:
                        registry.expires_at.remove(self.command)
                        registry.tokens.clear()
                given = self.headers.get("Authorization", "").removeprefix("Bearer ")
                if given not in registry.tokens:
                    if registry.hasty and int(self.headers.get("Content-Length", 0)) > 1 << 16:
                        self._hang_up()
                    self._body()
                    realm = f'Bearer realm="http://{registry.host}/token",service="fake"'
                    return self._send(401, b"{}", {"WWW-Authenticate": realm})
            if isinstance(fault, Cut) and fault.answered:
                self.answered_later = fault
                fault = None
            if int(self.headers.get("Content-Length", 0)) > registry.behaviour.most:
                self._body()
                return self._send(413, b"too large")
            match = re.fullmatch(
                r"/v2/(.+)/(blobs/uploads|blobs|manifests|referrers)/([^/]*)", parts.path
            )
            if match is None:
                return self._send(404, _error("NAME_UNKNOWN"))
            repository, kind, name = match.groups()
            method = getattr(self, "_" + kind.replace("/", "_"))
            return method(repository, name, query, fault)

        # Contents

        def _body(self, fault: Cut | None = None, upload: bytearray | None = None) -> bytes:
            """The request's body, which may go on into `upload`, piece by piece."""
            left = int(self.headers.get("Content-Length", 0))
            wanted = left if fault is None else min(left, fault.after)
            data = bytearray()
            with registry.receiving():
                while wanted:
                    piece = self.rfile.read1(min(1 << 16, wanted))
                    if not piece:
                        break
                    data += piece
                    if upload is not None:
                        upload += piece
                    wanted -= len(piece)
            with registry.lock:
                registry.received += len(data)
            if fault is not None:
                self._hang_up()
            return bytes(data)

        def _hang_up(self) -> None:
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()
            raise _HungUp

        def _blobs(self, repository: str, name: str, query: object, fault: Cut | None) -> None:
            self._body(fault)
            if self.command == "HEAD" and not registry.behaviour.head:
                return self._send(405, b"")
            data = registry.blobs.get((repository, name))
            if data is None:
                return self._send(404, _error("BLOB_UNKNOWN"))
            return self._send(200, data)

        def _blobs_uploads(
            self, repository: str, name: str, query: dict[str, str], fault: Cut | None
        ) -> None:
            can = registry.behaviour
            if self.command == "POST":
                return self._begin(repository, query, fault)
            upload = registry.uploads.get(name)
            if upload is None:
                self._body(fault)
                return self._send(404, _error("BLOB_UPLOAD_UNKNOWN"))
            if self.command == "GET":
                self._body(fault)
                if not can.status:
                    return self._send(404, _error("UNSUPPORTED"))
                return self._send(204, b"", self._range(repository, name))
            span = re.fullmatch(r"(\d+)-(\d+)", self.headers.get("Content-Range", ""))
            if self.command == "PATCH" and not can.chunks:
                self._body(fault)
                return self._send(405, _error("UNSUPPORTED"))
            if span and can.ranges and int(span[1]) != len(upload):
                self._body(fault)
                return self._send(416, b"", self._range(repository, name))
            kept = len(upload) + can.takes
            self._body(fault, upload)
            if self.command == "PATCH":
                del upload[kept:]
                return self._send(202, b"", self._range(repository, name))
            del registry.uploads[name]
            return self._finish(repository, query["digest"], bytes(upload))

        def _begin(self, repository: str, query: dict[str, str], fault: Cut | None) -> None:
            can = registry.behaviour
            data = self._body(fault)
            wanted = query.get("mount", "")
            if can.mount and (found := registry.blobs.get((query.get("from", ""), wanted))):
                return self._finish(repository, wanted, found)
            if can.in_post and "digest" in query:
                return self._finish(repository, query["digest"], data)
            with registry.lock:
                name = f"upload{len(registry.requests)}-{len(registry.uploads)}"
                registry.uploads[name] = bytearray()
            least = {"OCI-Chunk-Min-Length": str(can.least_chunk)} if can.least_chunk else {}
            return self._send(202, b"", {**self._range(repository, name), **least})

        def _range(self, repository: str, name: str) -> dict[str, str]:
            path = f"/v2/{repository}/blobs/uploads/{name}"
            location = registry.behaviour.location.format(path=path, host=registry.host)
            answer = {"Location": location} if location else {}
            if registry.behaviour.ranges:
                answer["Range"] = f"0-{max(0, len(registry.uploads[name]) - 1)}"
            return answer

        def _finish(self, repository: str, digest: str, data: bytes) -> None:
            if digest != _digest(data):
                return self._send(400, _error("DIGEST_INVALID"))
            registry.blobs[repository, digest] = data
            stored = registry.behaviour.stored or digest
            return self._send(201, b"", {"Docker-Content-Digest": stored, "Location": "/nowhere"})

        def _manifests(self, repository: str, name: str, query: object, fault: Cut | None) -> None:
            data = self._body(fault)
            known = registry.manifests.get((repository, name))
            if self.command != "PUT":
                if self.command == "HEAD" and not registry.behaviour.head:
                    return self._send(405, b"")
                if known is None:
                    return self._send(404, _error("MANIFEST_UNKNOWN"))
                etag = {"ETag": f'"{_digest(known[1])}"'} if registry.behaviour.conditional else {}
                return self._send(200, known[1], {"Content-Type": known[0], **etag})
            document = json.loads(data)
            with registry.lock:
                expected = self.headers.get("If-Match")
                known = registry.manifests.get((repository, name))
                now = known and f'"{_digest(known[1])}"'
                if registry.behaviour.conditional and expected and expected != now:
                    return self._send(412, b"")
                parts = [
                    part["digest"]
                    for part in (document.get("config"), *document.get("layers", ()))
                    if part
                ]
                if any((repository, part) not in registry.blobs for part in parts) or any(
                    (repository, one["digest"]) not in registry.manifests
                    for one in document.get("manifests", ())
                ):
                    return self._send(400, _error("MANIFEST_BLOB_UNKNOWN"))
                if ":" in name and name != _digest(data):
                    return self._send(400, _error("DIGEST_INVALID"))
                for version in (name, _digest(data)):
                    registry.manifests[repository, version] = (self.headers["Content-Type"], data)
            stored = registry.behaviour.stored or _digest(data)
            answer = {"Docker-Content-Digest": stored}
            if registry.behaviour.referrers and "subject" in document:
                answer["OCI-Subject"] = document["subject"]["digest"]
            return self._send(201, b"", answer)

        def _referrers(
            self, repository: str, name: str, query: dict[str, str], fault: Cut | None
        ) -> None:
            self._body(fault)
            if not registry.behaviour.referrers:
                return self._send(404, b"")
            if registry.listed:
                kind, data = registry.listed
                link = {"Link": f'<{registry.link}>; rel="next"'} if registry.link else {}
                return self._send(200, data, {"Content-Type": kind, **link})
            found = registry.referring(repository, name)
            first, page = int(query.get("n", 0)), registry.behaviour.page
            index = {
                "schemaVersion": 2,
                "mediaType": INDEX,
                "manifests": found[first : first + page],
            }
            answer = {"Content-Type": INDEX}
            if len(found) > first + page:
                following = f"/v2/{repository}/referrers/{name}?n={first + page}"
                answer["Link"] = f'<{following}>; rel="next"'
            return self._send(200, json.dumps(index).encode(), answer)

        def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
            if self.answered_later:
                self._hang_up()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)) if status != 204 else "0")
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    return Handler


def _error(code: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode()
