"""Whoever keeps recovery keys: a pair of keys by OpenSSL, and a server on loopback that takes
envelopes."""

from __future__ import annotations

import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.registry import Served

__all__ = ["Escrow", "openssl", "pair"]


def openssl(*arguments: str | Path, data: bytes = b"") -> bytes:
    return subprocess.run(
        ["openssl", *map(str, arguments)], input=data, capture_output=True, check=True
    ).stdout


def pair(folder: Path, bits: int = 2048) -> tuple[Path, Path]:
    """A private key and its public half."""
    private, public = folder / f"escrow{bits}.key", folder / f"escrow{bits}.pem"
    openssl("genrsa", "-out", private, str(bits))
    openssl("rsa", "-in", private, "-pubout", "-out", public)
    return private, public


class Escrow(Served):
    """Takes envelopes, after as many answers with other statuses as `refusals` has."""

    def __init__(self, *refusals: int) -> None:
        self.taken: list[bytes] = []
        self.asked = 0
        escrow, left = self, list(refusals)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                escrow.asked += 1
                status = left.pop(0) if left else 201
                if status == 201 and self.headers["Content-Type"] == "application/json":
                    escrow.taken.append(body)
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing."""

        super().__init__(Handler)
