"""RSA keys that sign systems: with certificates, which firmware with Secure Boot believes, and bare
ones, which TPMs verify; and who signs for them.

Pure, but for reading files and running the command that a user named to sign. The key itself may
stay elsewhere: in a file, or behind a command that gets what is to be signed and answers with the
signature. Cryptography is the package `cryptography`, an extra.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from compos.errors import OutputError
from compos.trust.keys import PublicKey, cryptography_module

__all__ = ["CertifiedKey", "RsaKey", "Sign", "command_signer"]

MAX_CERTIFICATE = 64 << 10
MAX_SIGNATURE = 2048
"""Bytes; RSA with 4,096 bits makes 512."""

KEY_SIZES = (2048, 3072, 4096)
"""Bits of RSA that firmware verifies (UEFI specification 2.10, 32.4.1)."""

Sign = Callable[[bytes], bytes]
"""Signs data: RSASSA-PKCS1-v1_5 with SHA-256."""
ROLE = "COMPOS_SIGN_ROLE"
"""The variable that tells a command which key is to sign."""


class CertifiedKey:
    """A certificate, and `sign`, which signs data with its key: RSASSA-PKCS1-v1_5 with SHA-256.

    `certificate` and `issuer` are DER. Raises `OutputError`: `signing-certificate` for what is no
    X.509 certificate of an RSA key, `signing-failed` when a signature is not one of that key.
    """

    def __init__(self, path: Path, sign: Sign) -> None:
        place = str(path)
        x509 = cryptography_module("x509")
        serialization = cryptography_module("hazmat.primitives.serialization")
        try:
            found: Any = x509.load_pem_x509_certificate(_pem(path))
            key: Any = found.public_key()
        except ValueError as error:
            _refuse(place, "it holds no X.509 certificate in PEM", error)
        rsa = cryptography_module("hazmat.primitives.asymmetric.rsa")
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size not in KEY_SIZES:
            _refuse(place, f"firmware takes RSA keys of {KEY_SIZES} bits", None)
        self.place = place
        self.certificate: bytes = found.public_bytes(serialization.Encoding.DER)
        self.issuer: bytes = found.issuer.public_bytes()
        self.serial: int = found.serial_number
        self.begins = found.not_valid_before_utc
        """When the certificate begins to be valid, in UTC."""
        self._key = key
        self._sign = sign

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`, which is checked: whoever made it may have another key."""
        return _checked(self._key, data, self._sign(data), self.place)


class RsaKey:
    """A public key in PEM, and `sign`, which signs data with its private half.

    Raises `ImageError` (`signature-key`) for what is no public key, `OutputError`
    (`signing-policy-key`) for one that TPMs do not verify, and as `CertifiedKey` does.
    """

    def __init__(self, path: Path, sign: Sign) -> None:
        public = PublicKey.read(path)
        rsa = cryptography_module("hazmat.primitives.asymmetric.rsa")
        serialization = cryptography_module("hazmat.primitives.serialization")
        key: Any = serialization.load_der_public_key(public.der)
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size not in KEY_SIZES:
            raise OutputError(
                "signing-policy-key",
                "the key for PCR policies cannot be used: TPMs verify RSA",
                place=str(path),
                hint="Make a set of keys with `compos keys new DIR`.",
            )
        self.place = str(path)
        self.pem = public.to_pem()
        der: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
        self.fingerprint = hashlib.sha256(der).hexdigest()
        """By which systemd finds the key's signatures: the SHA-256 of RSAPublicKey (RFC 8017,
        A.1.1), without the algorithm in front."""
        self._key = key
        self._sign = sign

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`, which is checked."""
        return _checked(self._key, data, self._sign(data), self.place)


def _checked(key: Any, data: bytes, made: bytes, place: str) -> bytes:
    """The signature `made` of `data`, if it is one of `key`."""
    padding = cryptography_module("hazmat.primitives.asymmetric.padding").PKCS1v15()
    sha256 = cryptography_module("hazmat.primitives.hashes").SHA256()
    try:
        key.verify(made, data, padding, sha256)
    except cryptography_module("exceptions").InvalidSignature as error:
        raise OutputError(
            "signing-failed",
            "the signature does not belong to this key",
            place=place,
            hint="Sign with its private half: RSA with PKCS #1 v1.5 padding and SHA-256.",
        ) from error
    return made


def command_signer(command: str, role: str) -> Sign:
    """What `command`, a line for the shell, signs: it reads what is to be signed and writes the
    signature. COMPOS_SIGN_ROLE tells it with which key: the `role` of a set. Raises `OutputError`
    (`signing-failed`)."""

    def sign(data: bytes) -> bytes:
        made, status = _answer(command, role, data)
        if status or not 0 < len(made) <= MAX_SIGNATURE:
            raise OutputError(
                "signing-failed",
                f"the command that signs ended with {status} after {len(made)} bytes",
                place=command,
                hint="It reads from standard input and writes the bare signature to standard "
                "output.",
            )
        return made

    return sign


def _answer(command: str, role: str, data: bytes) -> tuple[bytes, int]:
    """What `command` writes when it reads `data`, up to a little more than a signature has, and its
    exit status."""
    with subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, ROLE: role},
    ) as process:
        assert process.stdin is not None  # noqa: S101  a pipe
        assert process.stdout is not None  # noqa: S101  a pipe
        with suppress(BrokenPipeError), process.stdin:
            process.stdin.write(data)
        made = process.stdout.read(MAX_SIGNATURE + 1)
        if len(made) > MAX_SIGNATURE:
            process.kill()
        process.stdout.close()
    return made, process.returncode


def _pem(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_CERTIFICATE)
    except OSError as error:
        _refuse(str(path), error.strerror or str(error), error)


def _refuse(place: str, reason: str, error: Exception | None) -> NoReturn:
    raise OutputError(
        "signing-certificate",
        f"the certificate cannot be used: {reason}",
        place=place,
        hint="Make a set of keys with `compos keys new DIR`.",
    ) from error
