"""Key pairs as their owners make them: by openssl."""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path

from tests.machine import leave_out

__all__ = ["KINDS", "key_pair", "require_cryptography"]

KINDS = {
    "EC": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ED25519": ["-algorithm", "ED25519"],
    "RSA": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
}


def key_pair(folder: Path, kind: str = "EC") -> tuple[Path, Path]:
    """The files of a new private key and its public key, in PEM."""
    private, public = folder / f"{kind}.pem", folder / f"{kind}.pub.pem"
    make = ["openssl", "genpkey", *KINDS[kind], "-out", str(private)]
    subprocess.run(make, check=True, capture_output=True)
    derive = ["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)]
    subprocess.run(derive, check=True)
    return private, public


def require_cryptography() -> None:
    """Leave the test out where the extra `signatures` is not installed."""
    if find_spec("cryptography") is None:
        leave_out("tools: the Python package cryptography is not installed")
