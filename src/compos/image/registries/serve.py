"""A registry on loopback, for as long as a block runs: a few images of the store for a program that
can pull but not read a store, such as a builder of Dockerfiles.

May touch: the store (reading), a socket on 127.0.0.1. Read-only, with the pull half of the OCI
distribution specification 1.1 ("Pulling manifests", "Pulling blobs"). Nothing is served but the
images that it is given and what they lead to, below a random path and only to those who name this
host: neither another user of the machine nor a web page in a browser gets at them.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from compos.errors import ImageError
from compos.image.model import INDEX_TYPES, MANIFEST_TYPES, Descriptor, Manifest, parse_document
from compos.image.reference import Reference
from compos.image.store import Store

__all__ = ["ServedImages", "serve"]

SECONDS = 60
"""For a request to arrive, and for a piece of the answer to be taken."""

MAX_CONNECTIONS = 64
"""At a time, each with a thread; further ones are closed."""

_PIECE = 1 << 20
_REQUEST = re.compile(r"/v2/(?P<name>[a-z0-9/._-]+)/(?P<kind>manifests|blobs)/(?P<version>[^/?]+)")
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})?")
_DOCUMENTS = (*INDEX_TYPES, *MANIFEST_TYPES)


class _Repository(NamedTuple):
    """Manifests and indexes by tag and digest; the digests of all blobs with their sizes."""

    documents: dict[str, Descriptor]
    blobs: dict[str, Descriptor]


class ServedImages:
    """Images that a registry serves: `place` is `HOST:PORT/PATH`, below which each has its own
    repository."""

    def __init__(self, place: str) -> None:
        self.place = place

    def repository(self, reference: Reference) -> str:
        """Where the images of a reference's repository are: `HOST:PORT/PATH/…`, without a tag."""
        return f"{self.place}/{_repository(reference)}"

    def name(self, reference: Reference) -> str:
        """What a client pulls, to get what `reference` names."""
        separator = "@" if reference.digest else ":"
        return f"{self.repository(reference)}{separator}{reference.version}"


@contextmanager
def serve(store: Store, images: Mapping[Reference, Descriptor]) -> Iterator[ServedImages]:
    """Serve `images`, manifests or indexes that the store has, as long as the block runs.

    What an index lists and the store lacks, such as other platforms, is not found. Raises
    `ImageError` (`store-*`) if a root is missing.
    """
    path = secrets.token_hex(16)
    repositories: dict[str, _Repository] = {}
    for reference, root in images.items():
        name = f"{path}/{_repository(reference)}"
        _add(store, repositories.setdefault(name, _Repository({}, {})), reference, root)
    server = _Server(store, repositories)
    # Polled often: the block's end waits for it.
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield ServedImages(f"127.0.0.1:{server.server_port}/{path}")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _repository(reference: Reference) -> str:
    """One path for each domain and path: two registries may have the same repository. A port's
    colon is not allowed in it."""
    return (
        f"{reference.domain}/{reference.path}".replace(":", "_")
        .replace("[", "")
        .replace("]", "")
        .lower()
    )


def _add(store: Store, repository: _Repository, reference: Reference, root: Descriptor) -> None:
    """Let a repository have an image, with all below it that the store has."""
    repository.documents[reference.version] = root
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if one.media_type not in _DOCUMENTS:
            repository.blobs[one.digest] = one
        elif one.digest not in repository.documents or one is root:
            if one is not root and not store.has(one.digest, one.size):
                continue
            repository.documents[one.digest] = one
            _, document = parse_document(store.read(one.digest), media_type=one.media_type)
            waiting += document.blobs if isinstance(document, Manifest) else document.manifests


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, store: Store, repositories: Mapping[str, _Repository]) -> None:
        self.store = store
        self.repositories = repositories
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(("127.0.0.1", 0), _Handler)
        self.host = f"127.0.0.1:{self.server_port}"

    def process_request(self, request: object, client_address: object) -> None:
        """A thread for the connection, if there is one left."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)  # type: ignore[arg-type]
        else:
            self.shutdown_request(request)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        """Serve a connection, then leave its place to another one."""
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are no news, and what the store lacks is reported to the client."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SECONDS
    server: _Server

    def do_GET(self) -> None:
        """A manifest, an index or a blob."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """What it is, without it."""
        self._answer(body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged: a builder reports what it pulls."""

    def _answer(self, *, body: bool) -> None:
        if self.headers.get("Host", "") != self.server.host:
            self._refuse(HTTPStatus.FORBIDDEN, "DENIED")
            return
        if self.path in ("/v2/", "/v2"):
            self._send(HTTPStatus.OK, {"Content-Type": "application/json"}, b"{}" if body else b"")
            return
        found = _REQUEST.fullmatch(self.path)
        repository = self.server.repositories.get(found["name"]) if found else None
        if found is None or repository is None:
            self._refuse(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN")
            return
        manifests = found["kind"] == "manifests"
        one = (repository.documents if manifests else repository.blobs).get(found["version"])
        if one is None:
            self._refuse(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN" if manifests else "BLOB_UNKNOWN")
            return
        try:
            self._serve(one, manifest=manifests, body=body)
        except ImageError:
            # In the middle of a blob the client notices by its length.
            self.close_connection = True

    def _serve(self, one: Descriptor, *, manifest: bool, body: bool) -> None:
        """A blob, or from where the client says on."""
        start, end = 0, one.size - 1
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        if wanted:
            start, end = int(wanted[1]), min(end, int(wanted[2] or end))
            if start > end:
                self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "BLOB_UNKNOWN")
                return
        headers = {
            "Content-Type": one.media_type if manifest else "application/octet-stream",
            "Docker-Content-Digest": one.digest,
            "Content-Length": str(end + 1 - start),
            "Accept-Ranges": "bytes",
        }
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{end}/{one.size}"
        with self.server.store.open(one) as stream:
            self.send_response(HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if not body:
                return
            # Read from its beginning: a stream of the store is verified as a whole.
            position = 0
            while position <= end and (piece := stream.read(_PIECE)):
                chosen = piece[max(0, start - position) : end + 1 - position]
                position += len(piece)
                if chosen:
                    self.wfile.write(chosen)

    def _refuse(self, status: HTTPStatus, code: str) -> None:
        data = b'{"errors":[{"code":"' + code.encode() + b'"}]}'
        self._send(status, {"Content-Type": "application/json"}, data)

    def _send(self, status: HTTPStatus, headers: Mapping[str, str], data: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            with suppress(OSError):
                self.wfile.write(data)
