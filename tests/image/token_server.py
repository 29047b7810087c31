"""A token server for Debian's docker-registry: signs tokens by the distribution project's "Token
Authentication Implementation", with a key whose certificate the registry trusts."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.certificate import self_signed

__all__ = ["PASSWORD", "REFRESH", "USER", "TokenServer", "token_server"]

ISSUER, SERVICE = "issuer of the test", "registry of the test"
USER, PASSWORD = "tester", "secret"
REFRESH = "a-refresh-token"  # a word of this test


class TokenServer:
    """What signs, in `folder`, and which requests there were: method and scope."""

    def __init__(self, folder: Path) -> None:
        certificate, _ = self_signed(folder)
        self._certificate = ssl.PEM_cert_to_DER_cert(certificate.read_text())
        key = load_pem_private_key((folder / "key.pem").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self._bundle = certificate
        self.realm = ""
        self.asked: list[tuple[str, str]] = []

    @property
    def auth(self) -> dict[str, object]:
        """What a registry's configuration says."""
        about = {"realm": self.realm, "service": SERVICE, "issuer": ISSUER}
        return {"token": {**about, "rootcertbundle": str(self._bundle)}}

    def token(self, scope: str = "", *, age: int = 0) -> str:
        """A JSON Web Token for `scope` (`repository:NAME:ACTION,…`; several with blanks), good for
        an hour from `age` seconds ago."""
        access = []
        for one in scope.split():
            kind, _, rest = one.partition(":")
            name, _, actions = rest.rpartition(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        since = int(time.time()) - age
        claims = {
            "iss": ISSUER,
            "sub": USER,
            "aud": SERVICE,
            "jti": str(time.monotonic_ns()),
            "nbf": since - 10,
            "iat": since,
            "exp": since + 3600,
            "access": access,
        }
        chain = [base64.b64encode(self._certificate).decode()]
        signed = ".".join(map(_part, ({"typ": "JWT", "alg": "ES256", "x5c": chain}, claims)))
        signature = self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        # RFC 7518 section 3.4: r and s, each of 32 bytes.
        numbers = b"".join(one.to_bytes(32, "big") for one in decode_dss_signature(signature))
        return f"{signed}.{_text(numbers)}"

    def answer(self, method: str, query: Mapping[str, list[str]], user: str) -> dict[str, Any]:
        """A token, for a user with password or refresh token all that is asked for."""
        scope = " ".join(query.get("scope", []))
        self.asked.append((method, scope))
        password = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        known = user == f"Basic {password}" or query.get("refresh_token") == [REFRESH]
        return {"token": self.token(scope if known else ""), "expires_in": 3600}


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _part(document: object) -> str:
    return _text(json.dumps(document).encode())


@contextmanager
def token_server(folder: Path) -> Iterator[TokenServer]:
    """One on loopback."""
    folder.mkdir()
    tokens = TokenServer(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(urlsplit(self.path).query)

        def do_POST(self) -> None:
            self._say(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def _say(self, query: str) -> None:
            given = self.headers.get("Authorization", "")
            data = json.dumps(tokens.answer(self.command, parse_qs(query), given)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        tokens.realm = f"http://127.0.0.1:{server.server_port}/token"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield tokens
        server.shutdown()
