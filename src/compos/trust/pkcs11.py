"""Keys in tokens (PKCS #11): smart cards, security keys, hardware security modules.

May touch: the token, through `pkcs11-tool` of OpenSC, which Debian maintains and which finds
modules as other programs do. A binding would load a vendor's library into this process. Source: RFC
7512 for the URIs. The PIN comes from the environment and reaches the program by the environment.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from compos.errors import ImageError, NoSupport
from compos.trust.keys import PublicKey, cryptography_module

__all__ = ["SCHEME", "TokenKey"]

SCHEME = "pkcs11:"
PROGRAM = "pkcs11-tool"
PIN = "COMPOS_PKCS11_PIN"

SECONDS = 120
"""A user may have to touch the token."""


class _Uri(NamedTuple):
    """What a URI says of the module and the token, and of the key: its label or its id
    (hexadecimal digits). `text` has no secrets."""

    options: tuple[str, ...]
    label: str
    id: str
    text: str


class TokenKey:
    """A key pair in a token, named by a URI with `token`, and `object` or `id`; `module-path` names
    the module. ECDSA and RSA. Raises `ImageError` (`signature-key`, `signature-support`)."""

    def __init__(self, uri: str) -> None:
        self._uri = _parsed(uri)
        # By the label, the program does not sign with ECDSA.
        self._key = ("--id", self._uri.id or self._labelled())
        der = self._run("--read-object", "--type", "pubkey", *self._key)
        serialization = cryptography_module("hazmat.primitives.serialization")
        try:
            key = serialization.load_der_public_key(der)
        except (ValueError, TypeError) as error:
            raise self._error("it returned no public key") from error
        pem = key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._public = PublicKey(pem, self._uri.text)
        self._elliptic = hasattr(key, "curve")

    @property
    def public(self) -> PublicKey:
        """The public half, read from the token."""
        return self._public

    def sign(self, signed: bytes) -> bytes:
        """The token's signature of `signed`. Raises `ImageError`."""
        if self._elliptic:
            # The token gets the digest, not what may be a gigabyte.
            options = ("--mechanism", "ECDSA", "--signature-format", "openssl")
            made = self._sign(hashlib.sha256(signed).digest(), *options)
        else:
            made = self._sign(signed, "--mechanism", "SHA256-RSA-PKCS")
        if not self._public.made(made, signed):
            raise self._error("what it returned is no signature of its key")
        return made

    def _sign(self, data: bytes, *options: str) -> bytes:
        if PIN not in os.environ:
            raise self._error(f"no PIN is given: set {PIN}")
        with tempfile.TemporaryDirectory(prefix="compos-") as folder:
            source = Path(folder, "data")
            source.write_bytes(data)
            files = ("--input-file", str(source))
            pin = ("--login", "--pin", f"env:{PIN}")
            return self._run("--sign", *pin, *self._key, *options, *files)

    def _labelled(self) -> str:
        """The id of the public key with the URI's label."""
        listed = self._program("--list-objects", "--type", "pubkey")
        for block in re.split(r"^(?=\S)", listed, flags=re.MULTILINE):
            said = dict(re.findall(r"^ +(label|ID): +(.*\S)", block, re.MULTILINE))
            if said.get("label") == self._uri.label and "ID" in said:
                return str(said["ID"])
        raise self._error("it has no public key with this label")

    def _run(self, *arguments: str) -> bytes:
        with tempfile.TemporaryDirectory(prefix="compos-") as folder:
            output = Path(folder, "output")
            self._program(*arguments, "--output-file", str(output))
            try:
                return output.read_bytes()
            except FileNotFoundError as error:
                raise self._error("it returned nothing") from error

    def _program(self, *arguments: str) -> str:
        """What the program prints."""
        try:
            done = subprocess.run(
                [PROGRAM, *self._uri.options, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise NoSupport(
                "signature-support",
                f"keys in tokens need the program {PROGRAM}, which is not installed",
                hint="Install it (Debian: opensc).",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise self._error(f"it did not answer within {SECONDS} s") from error
        if done.returncode:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            said = [line for line in lines if "rror" in line] or lines
            raise self._error(said[0][:200] if said else f"exit status {done.returncode}")
        return done.stdout

    def _error(self, reason: str) -> ImageError:
        return ImageError(
            "signature-key",
            f"the token's key cannot be used: {reason}",
            place=self._uri.text,
            hint=f"Check the URI, the module and {PIN}; `{PROGRAM} --list-objects` lists keys.",
        )


def _parsed(uri: str) -> _Uri:
    path, _, query = uri.removeprefix(SCHEME).partition("?")
    named = dict(part.partition("=")[::2] for part in path.split(";") if part)
    asked = dict(part.partition("=")[::2] for part in query.split("&") if part)
    # Whatever else stands in it may be a PIN.
    shown = [f"{key}={named[key]}" for key in ("token", "object", "id") if key in named]
    text = f"{SCHEME}{';'.join(shown)}"[:200]
    options = []
    if module := unquote(asked.pop("module-path", "")):
        options += ["--module", module]
    if token := unquote(named.pop("token", "")):
        options += ["--token-label", token]
    label = unquote(named.pop("object", ""))
    number = unquote_to_bytes(named.pop("id", "")).hex()
    named.pop("type", None)
    if not (label or number) or named or asked:
        wrong = ", ".join((*named, *asked)) or "no object or id"
        raise ImageError(
            "signature-key",
            f"the PKCS #11 URI cannot be used: {wrong[:200]}",
            place=text,
            hint=f"Write pkcs11:token=T;object=O?module-path=FILE.so; the PIN is read from {PIN}.",
        )
    return _Uri(tuple(options), label, number, text)
