"""A key pair for a remote cache: Ed25519, in PEM.

May touch: the two files that are made.
"""

from __future__ import annotations

import os
from pathlib import Path

from compos.errors import CacheError
from compos.trust.keys import PrivateKey, cryptography_module

__all__ = ["make_key_pair"]


def make_key_pair(path: Path) -> Path:
    """Write a new private key to `path`, for its owner alone, and the public one beside it, whose
    path is returned. Raises `ImageError`: `cache-key` when there is such a file or none can be
    written, `signature-support`."""
    serialization = cryptography_module("hazmat.primitives.serialization")
    made = cryptography_module("hazmat.primitives.asymmetric.ed25519").Ed25519PrivateKey.generate()
    private: bytes = made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = path.with_name(f"{path.name}.pub")
    _write(path, private, 0o600)
    try:
        _write(public, PrivateKey(private, str(path)).public.to_pem(), 0o644)
    except CacheError:
        path.unlink()
        raise
    return public


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
    except OSError as error:
        raise CacheError(
            "cache-key",
            f"the key cannot be written: {error.strerror}",
            place=str(path),
            hint="Name a file that is not there yet, in a folder of yours.",
        ) from error
