"""A folder over HTTP: files, listings, ranges, conditional requests (reference cli.md 6.1).

May touch: the folder (reading), a socket. Nothing outside of the folder is served, wherever links in it lead.
"""

from __future__ import annotations

import os
import re
import sys
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

from compos.errors import RunError

__all__ = ["listen", "parse_address"]

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_PIECE = 1 << 20
_NOWHERE = "-" * 300
"""A name that no file can have: too long."""


def parse_address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `:PORT` for every interface, or `PORT` on 127.0.0.1. Raises `RunError` (`serve-address`)."""
    host, colon, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise RunError("serve-address", f"{text!r} is not [HOST]:PORT", place="--port", hint="Write 127.0.0.1:8080.")
    return (host.strip("[]") if colon else "127.0.0.1"), int(port)


def listen(host: str, port: int, directory: str) -> ThreadingHTTPServer:
    """A server of `directory`, listening. Raises `RunError` (`serve-folder`, `serve-address`)."""
    if not Path(directory).is_dir():
        raise RunError("serve-folder", "there is no such folder", place=directory, hint="Choose another --directory.")
    try:
        return ThreadingHTTPServer((host, port), partial(_Handler, directory=directory))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RunError(
            "serve-address", f"cannot listen: {reason}", place=f"{host}:{port}", hint="Choose another --port."
        ) from error


class _Handler(SimpleHTTPRequestHandler):
    server_version = "compos"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    _left: int | None = None
    """Bytes of the file to send, when a part was asked for."""

    def translate_path(self, path: str) -> str:
        """The file that a URL names; an impossible one for what lies outside."""
        found = super().translate_path(path)
        root = Path(self.directory).resolve()
        inside = Path(found).resolve().is_relative_to(root)
        return found if inside else os.path.join(self.directory, _NOWHERE)  # noqa: PTH118

    def do_POST(self) -> None:
        """Other methods are answered like GET."""
        self.do_GET()

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_POST  # noqa: N815  names that the base class looks for

    def send_head(self) -> IO[bytes] | None:  # type: ignore[override]
        """The answer's head, and what to send; a part when one range was asked for (RFC 9110, section 14)."""
        self._left = None
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        try:
            path = Path(self.translate_path(self.path))
            size = path.stat().st_size if path.is_file() else -1
        except (OSError, ValueError):
            self.send_error(HTTPStatus.NOT_FOUND, "File not found")
            return None
        if asked is None or size < 0 or not (asked[1] or asked[2]) or "If-Range" in self.headers:
            return super().send_head()
        start = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
        end = min(int(asked[2]), size - 1) if asked[1] and asked[2] else size - 1
        if start > end:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        stream = path.open("rb")
        stream.seek(start)
        self._left = end - start + 1
        self.send_response(HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.send_header("Content-Length", str(self._left))
        self.send_header("Last-Modified", self.date_time_string(int(path.stat().st_mtime)))
        self.end_headers()
        return stream

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """The body, or as much of it as was asked for."""
        left = self._left
        while left is None or left > 0:
            piece = source.read(_PIECE if left is None else min(_PIECE, left))
            if not piece:
                break
            outputfile.write(piece)
            left = None if left is None else left - len(piece)

    def end_headers(self) -> None:
        """Say that ranges work."""
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Method and URL of each request, once, without control characters."""
        if format.startswith('"%s"'):
            line = f"{self.command} {self.path}"
            print("".join(c if c.isprintable() else "?" for c in line), file=sys.stderr, flush=True)  # noqa: T201
