"""Where a key is: a file, an environment variable (`env://NAME`), a token (`pkcs11:…`).

May touch: these. Passwords are read from the environment only, so that they are in no process list
and in no file of shell history.
"""

from __future__ import annotations

import os
from pathlib import Path

from compos.errors import ImageError
from compos.trust.keys import PrivateKey, PublicKey, SigningKey

__all__ = ["public_key", "signing_key"]

ENVIRONMENT = "env://"
PASSWORDS = ("COMPOS_SIGN_PASSWORD", "COSIGN_PASSWORD")


def signing_key(name: str) -> SigningKey:
    """The private key that `name` means. Raises `ImageError` (`signature-key`,
    `signature-support`)."""
    from compos.trust.pkcs11 import SCHEME, TokenKey

    if name.startswith(SCHEME):
        return TokenKey(name)
    password = next((os.environ[one] for one in PASSWORDS if one in os.environ), None)
    if name.startswith(ENVIRONMENT):
        return PrivateKey(_variable(name), name, password)
    return PrivateKey.read(Path(name), password)


def public_key(name: str) -> PublicKey:
    """The public key that `name` means. Raises as `signing_key` does."""
    from compos.trust.pkcs11 import SCHEME, TokenKey

    if name.startswith(SCHEME):
        return TokenKey(name).public
    if name.startswith(ENVIRONMENT):
        return PublicKey(_variable(name), name)
    return PublicKey.read(Path(name))


def _variable(name: str) -> bytes:
    found = os.environ.get(name.removeprefix(ENVIRONMENT))
    if found is None:
        raise ImageError(
            "signature-key",
            "the environment variable that should hold the key is not set",
            place=name,
            hint="Set it to a key in PEM.",
        )
    # Some CI systems keep variables in one line.
    return found.replace("\\n", "\n").encode()
