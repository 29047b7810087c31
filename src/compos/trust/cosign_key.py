"""Private keys as `cosign generate-key-pair` writes them: encrypted with a password.

May touch: the library libsodium, which opens the box; without it such keys cannot be used. Source:
go-securesystemslib, `encrypted`: scrypt makes a key of the password, a NaCl secretbox holds the key
in PKCS #8. Rejected: opening the box in Python, because nobody would maintain that.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

from compos.errors import NoSupport
from compos.image.json_document import parse_json

__all__ = ["decrypted", "is_cosign_key"]

_TITLES = (b"ENCRYPTED SIGSTORE PRIVATE KEY", b"ENCRYPTED COSIGN PRIVATE KEY")
_KEY, _NONCE, _MAC = 32, 24, 16
"""Bytes (NaCl, crypto_secretbox)."""

MAX_MEMORY = 256 << 20
"""Bytes that scrypt may use; cosign's parameters take 64 MiB."""


def is_cosign_key(pem: bytes) -> bool:
    """Whether a PEM file is one of cosign's own."""
    return any(title in pem for title in _TITLES)


def decrypted(pem: bytes, password: str) -> bytes:
    """The key in PKCS #8 (DER). Raises `ValueError` for a wrong password and for what is no such
    file; `ImageError` (`signature-support`) without libsodium."""
    lines = [line for line in pem.decode("ascii").splitlines() if not line.startswith("-----")]
    try:
        plain = parse_json(base64.b64decode("".join(lines)))
        kdf, cipher = plain["kdf"], plain["cipher"]
        if (kdf["name"], cipher["name"]) != ("scrypt", "nacl/secretbox"):
            raise ValueError("it is encrypted in an unknown way")
        key = _scrypt(password, base64.b64decode(kdf["salt"]), kdf["params"])
        nonce, box = base64.b64decode(cipher["nonce"]), base64.b64decode(plain["ciphertext"])
    except (TypeError, KeyError, binascii.Error) as error:
        raise ValueError("it is damaged") from error
    if len(nonce) != _NONCE or len(box) < _MAC:
        raise ValueError("it is damaged")
    return _opened(key, nonce, box)


def _scrypt(password: str, salt: bytes, params: Any) -> bytes:
    cost, block, parallel = int(params["N"]), int(params["r"]), int(params["p"])
    if not 0 < 128 * cost * block * parallel <= MAX_MEMORY:
        raise ValueError("it requires too much memory")
    return hashlib.scrypt(
        password.encode(),
        salt=salt,
        n=cost,
        r=block,
        p=parallel,
        maxmem=MAX_MEMORY + (1 << 20),
        dklen=_KEY,
    )


def _opened(key: bytes, nonce: bytes, box: bytes) -> bytes:
    import ctypes
    import ctypes.util

    found = ctypes.util.find_library("sodium")
    if found is None:
        raise NoSupport(
            "signature-support",
            "keys that are encrypted in cosign's own format need the library libsodium, which is "
            "not installed",
            hint="Install it (Debian: libsodium23), or use a key pair that openssl made.",
        )
    sodium = ctypes.CDLL(found)
    made = ctypes.create_string_buffer(len(box) - _MAC)
    if sodium.sodium_init() < 0 or sodium.crypto_secretbox_open_easy(
        made, box, ctypes.c_ulonglong(len(box)), nonce, key
    ):
        raise ValueError("the password is wrong")
    return made.raw
