"""Key pairs: PEM files of ECDSA, Ed25519 or RSA, and signatures of bytes with them.

Pure, but for reading key files. ECDSA and RSA sign the SHA-256 of what is signed, as cosign has it.
Cryptography is the package `cryptography`, an extra of compos: most builds check no signatures.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from compos.errors import ImageError, NoSupport
from compos.trust.cosign_key import decrypted, is_cosign_key

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["PrivateKey", "PublicKey", "SigningKey", "cryptography_module", "read_file"]

EXTRA = "signatures"
"""The extra of the distribution package that brings `cryptography`."""

MAX_KEY = 64 << 10
"""Bytes of a key file; they have some hundred."""

MIN_RSA_BITS = 2048
CURVES = ("secp256r1", "secp384r1", "secp521r1")


class PublicKey:
    """A key that signatures are checked with. Raises `ImageError`: `signature-key` for a file that
    holds none that serves, `signature-support` without the package `cryptography`."""

    def __init__(self, pem: bytes, place: str) -> None:
        serialization = cryptography_module("hazmat.primitives.serialization")
        try:
            self._key: Any = serialization.load_pem_public_key(pem)
        except (ValueError, TypeError, _unsupported()) as error:
            _refuse(place, "it holds no public key in PEM", error)
        _require_strong(self._key, place)
        self.pem = pem
        self.der: bytes = self._key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.fingerprint = hashlib.sha256(self.der).hexdigest()
        """The SHA-256 of the key, by which the store remembers who signed an image."""

    def to_pem(self) -> bytes:
        """The key as it is read."""
        serialization = cryptography_module("hazmat.primitives.serialization")
        pem: bytes = self._key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return pem

    @classmethod
    def read(cls, path: Path) -> PublicKey:
        """The key in a PEM file."""
        return cls(read_file(path), str(path))

    def made(self, signature: bytes, signed: bytes) -> bool:
        """Whether the owner of this key made `signature` of `signed`."""
        invalid = cryptography_module("exceptions").InvalidSignature
        try:
            self._key.verify(signature, signed, *_scheme(self._key))
        except invalid:
            return False
        return True


class SigningKey(Protocol):
    """A private key, wherever it is."""

    @property
    def public(self) -> PublicKey:
        """Its other half."""

    def sign(self, signed: bytes) -> bytes:
        """The signature of `signed`."""


class PrivateKey:
    """A key that signs. Raises as `PublicKey` does, also for a wrong `password`."""

    def __init__(self, pem: bytes, place: str, password: str | None = None) -> None:
        serialization = cryptography_module("hazmat.primitives.serialization")
        try:
            if is_cosign_key(pem):
                self._key: Any = serialization.load_der_private_key(
                    decrypted(pem, password or ""), None
                )
            else:
                self._key = serialization.load_pem_private_key(
                    pem, password.encode() if password else None
                )
        except TypeError as error:
            _refuse(place, "it is encrypted, and no password is given, or the reverse", error)
        except (ValueError, _unsupported()) as error:
            _refuse(place, "it holds no private key in PEM, or the password is wrong", error)
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.public = PublicKey(public, place)

    @classmethod
    def read(cls, path: Path, password: str | None = None) -> PrivateKey:
        """The key in a PEM file."""
        return cls(read_file(path), str(path), password)

    def sign(self, signed: bytes) -> bytes:
        """The signature of `signed`; the same key and bytes give the same one."""
        made: bytes = self._key.sign(signed, *_scheme(self._key, deterministic=True))
        return made


def _scheme(key: Any, *, deterministic: bool = False) -> tuple[Any, ...]:
    """What follows the payload in a call that signs or verifies with `key`."""
    asymmetric = "hazmat.primitives.asymmetric."
    sha256 = cryptography_module("hazmat.primitives.hashes").SHA256()
    elliptic = cryptography_module(f"{asymmetric}ec")
    if isinstance(key, (elliptic.EllipticCurvePublicKey, elliptic.EllipticCurvePrivateKey)):
        # RFC 6979: published again, nothing has changed.
        return (elliptic.ECDSA(sha256, deterministic_signing=deterministic),)
    rsa = cryptography_module(f"{asymmetric}rsa")
    if isinstance(key, (rsa.RSAPublicKey, rsa.RSAPrivateKey)):
        return (cryptography_module(f"{asymmetric}padding").PKCS1v15(), sha256)
    return ()


def _require_strong(key: Any, place: str) -> None:
    """Refuse what is no key for signatures, and RSA of a length that can be broken."""
    asymmetric = "hazmat.primitives.asymmetric."
    if isinstance(key, cryptography_module(f"{asymmetric}rsa").RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            _refuse(place, f"RSA keys must have {MIN_RSA_BITS} bits", None)
    elif isinstance(key, cryptography_module(f"{asymmetric}ec").EllipticCurvePublicKey):
        if key.curve.name not in CURVES:
            _refuse(place, f"the curve {key.curve.name} is not supported", None)
    elif not isinstance(key, cryptography_module(f"{asymmetric}ed25519").Ed25519PublicKey):
        _refuse(place, "it is not for ECDSA, Ed25519 or RSA", None)


def _refuse(place: str, reason: str, error: Exception | None) -> NoReturn:
    raise ImageError(
        "signature-key",
        f"the key cannot be used: {reason}",
        place=place,
        hint="Make a key pair with `openssl genpkey -algorithm EC -pkeyopt "
        "ec_paramgen_curve:P-256 -out key.pem` and `openssl pkey -in key.pem -pubout`.",
    ) from error


def read_file(path: Path, limit: int = MAX_KEY) -> bytes:
    """What is in a file of keys, at most `limit` bytes. Raises `ImageError` (`signature-key`)."""
    try:
        with path.open("rb") as stream:
            return stream.read(limit)
    except (OSError, ValueError) as error:
        raise ImageError(
            "signature-key",
            f"the key cannot be read: {getattr(error, 'strerror', None) or error}",
            place=str(path),
            hint="Name a PEM file.",
        ) from error


def _unsupported() -> type[Exception]:
    found: type[Exception] = cryptography_module("exceptions").UnsupportedAlgorithm
    return found


def cryptography_module(module: str) -> ModuleType:
    """A module of the package, which takes 50 ms to import. Raises `ImageError`
    (`signature-support`)."""
    from importlib import import_module

    try:
        return import_module(f"cryptography.{module}")
    except ImportError as error:
        raise NoSupport(
            "signature-support",
            "signatures need the Python package cryptography, which is not installed",
            hint=f"Install it: pip install 'compos-linux[{EXTRA}]'.",
        ) from error
