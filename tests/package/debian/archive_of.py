"""A small Debian archive made by the test itself: packages, lists, a Release signed with a
throwaway key, and a server."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import sys
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pysequoia

from compos.http.client import Client
from compos.package.debian.mirror import Mirror

DATE = formatdate(time.time() - 7 * 86400).replace("-0000", "UTC")
"""When the archive is signed: a week ago, as what is signed in the future or long ago is
refused."""


def stanza(name: str, version: str = "1", **fields: str) -> str:
    """A stanza of a Packages file; `pre_depends="a"` becomes `Pre-Depends: a`."""
    content = b"deb"
    merged = {
        "Architecture": "amd64",
        "Filename": f"pool/main/{name}_{version}.deb",
        "Size": str(len(content)),
        "SHA256": hashlib.sha256(content).hexdigest(),
    }
    merged |= {
        key.replace("_", "-").title().replace("Sha256", "SHA256"): value
        for key, value in fields.items()
    }
    return f"Package: {name}\nVersion: {version}\n" + "".join(
        f"{key}: {value}\n" for key, value in merged.items()
    )


def tar_of(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def ar_of(members: Mapping[str, bytes]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, content in members.items():
        parts.append(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode())
        parts.append(content + b"\n" * (len(content) % 2))
    return b"".join(parts)


def deb_of(files: Mapping[str, bytes]) -> bytes:
    return ar_of(
        {
            "debian-binary": b"2.0\n",
            "control.tar.xz": lzma.compress(tar_of({"control": b"Package: x\n"})),
            "data.tar.xz": lzma.compress(tar_of(files)),
        }
    )


class Key:
    """A throwaway OpenPGP key."""

    def __init__(self) -> None:
        self._secret: Any = pysequoia.Tsk.generate("Test <test@example.org>")

    def sign(self, text: str) -> bytes:
        signer = self._secret.signer()
        return bytes(pysequoia.sign(signer, text.encode(), mode=pysequoia.SignatureMode.CLEAR))

    def keyring(self, path: Path) -> Path:
        path.write_bytes(bytes(self._secret.extract_certificate()))
        return path


@dataclass
class Archive:
    """Writes an archive of one suite below `root`, signed with `key`."""

    root: Path
    key: Key
    suite: str = "trixie"
    stanzas: list[str] = field(default_factory=list)
    release_fields: str = ""
    by_hash: bool = False
    suffixes: tuple[str, ...] = ("", ".xz", ".gz")

    def beside(self, kind: str) -> Archive:
        """An archive for the suite's `updates`, in this one's folder, or its `security` updates,
        where Debian has them."""
        root = self.root if kind == "updates" else self.root.with_name(f"{self.root.name}-security")
        return Archive(root, self.key, f"{self.suite}-{kind}")

    def write_all(self) -> Archive:
        """Write this archive, and empty ones beside it."""
        for kind in ("updates", "security"):
            self.beside(kind).write()
        return self.write()

    def add_deb(
        self, name: str, files: Mapping[str, bytes], version: str = "1", **fields: str
    ) -> bytes:
        content = deb_of(files)
        path = self.root / f"pool/main/{name}_{version}.deb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        self.stanzas.append(stanza(name, version, size=str(len(content)), sha256=digest, **fields))
        return content

    def add_meta(self, name: str, version: str, depends: str, source: str = "linux") -> None:
        """A package without files, for what it depends on."""
        self.add_deb(name, {}, version, depends=depends, source=source)

    def release(self) -> str:
        """Writes the lists; the text of the Release file."""
        plain = "\n".join([*self.stanzas, ""]).encode("utf-8", "surrogateescape")
        folder = self.root / f"dists/{self.suite}/main/binary-amd64"
        folder.mkdir(parents=True, exist_ok=True)
        lines = []
        for suffix, content in {
            "": plain,
            ".xz": lzma.compress(plain),
            ".gz": gzip.compress(plain, mtime=0),
        }.items():
            if suffix and suffix not in self.suffixes:
                continue
            digest = hashlib.sha256(content).hexdigest()
            target = (
                folder / f"by-hash/SHA256/{digest}"
                if self.by_hash
                else folder / f"Packages{suffix}"
            )
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            lines.append(f" {digest} {len(content)} main/binary-amd64/Packages{suffix}\n")
        head = f"Suite: stable\nCodename: {self.suite}\nDate: {DATE}\nAcquire-By-Hash: {'yes' if self.by_hash else 'no'}\n"
        return f"{head}{self.release_fields}SHA256:\n{''.join(lines)}"

    def write(self) -> Archive:
        signed = self.key.sign(self.release())
        (self.root / f"dists/{self.suite}/InRelease").write_bytes(signed)
        return self

    def mirror(self, keyring: Path, url: str | None = None) -> Mirror:
        return Mirror(
            url or self.root.as_uri(), self.key.keyring(keyring), client=Client(wait=lambda _: None)
        )


@dataclass
class Server:
    """What a loopback server was asked for, and how it misbehaves."""

    root: Path
    url: str = ""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    headers: list[str | None] = field(default_factory=list)
    break_after: dict[str, int] = field(default_factory=dict)
    """By path: bytes after which the next answer (only one) breaks off."""
    always_break: bool = False
    statuses: dict[str, list[int]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    lengths: dict[str, str] = field(default_factory=dict)
    """By path: what the header Content-Length says."""
    ranges: bool = True

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]


@contextmanager
def serve(root: Path) -> Iterator[Server]:
    """Files below `root` over http on a port of the kernel's choice."""
    state = Server(root)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            span = self.headers.get("Range")
            state.requests.append((self.path, span))
            state.headers.append(self.headers.get("Authorization"))
            path = root / self.path.lstrip("/")
            if self.path in state.redirects:
                self._empty(302, state.redirects[self.path])
            elif state.statuses.get(self.path):
                self._empty(state.statuses[self.path].pop(0))
            elif not path.is_file():
                self._empty(404)
            else:
                self._send(path.read_bytes(), span)

        def _empty(self, status: int, location: str | None = None) -> None:
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _send(self, content: bytes, span: str | None) -> None:
            start = int(span.removeprefix("bytes=").rstrip("-")) if span and state.ranges else 0
            if start >= max(1, len(content)):
                self._empty(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            body = content[start:]
            self.send_header("Content-Length", state.lengths.get(self.path, str(len(body))))
            self.end_headers()
            limit = (
                state.break_after.get(self.path)
                if state.always_break
                else state.break_after.pop(self.path, None)
            )
            self.wfile.write(body[:limit])
            if limit is not None or self.path in state.lengths:
                self.close_connection = True

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            # A client that has seen enough hangs up.
            if not isinstance(sys.exc_info()[1], ConnectionError):
                super().handle_error(request, client_address)

    server = Quiet(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
