"""Recovery keys of data partitions that somebody keeps: the public key that machines encrypt them
to, and what its owner reads of their envelopes (bricks/data-partition/src/escrow.c). Pure, but for
reading files."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from compos.errors import OutputError
from compos.image.json_document import parse_json
from compos.trust.keys import cryptography_module, read_file

__all__ = ["Recovered", "open_envelope", "require_escrow_key"]

BITS = 2048
EXPONENT = 65537
MAX_ENVELOPE = 64 << 10
TYPE = "compos-escrow"
# modhex, as systemd writes recovery keys; and the UUID of the volume.
_MESSAGE = re.compile(rb"((?:[cbdefghijklnrtuv]{8}-){7}[cbdefghijklnrtuv]{8}) ([0-9a-f-]{36})\n")


class Recovered(NamedTuple):
    """A recovery key, the UUID of the volume that it opens, and that of the machine (empty if the
    machine has none). The machine's is not encrypted: whoever carried the envelope could write
    it."""

    key: str
    volume: str
    machine: str


def require_escrow_key(path: Path) -> None:
    """Refuse a file that machines could not encrypt to. Raises `OutputError` (`escrow-key`), and
    `ImageError` without the package `cryptography`."""
    serialization = cryptography_module("hazmat.primitives.serialization")
    rsa = cryptography_module("hazmat.primitives.asymmetric.rsa")
    try:
        with path.open("rb") as stream:
            pem = stream.read(MAX_ENVELOPE)
        key: Any = serialization.load_pem_public_key(pem)
    except (OSError, ValueError) as error:
        _refuse_key(path, str(getattr(error, "strerror", None) or "it holds no public key"), error)
    if not pem.startswith(b"-----BEGIN PUBLIC KEY-----"):
        _refuse_key(path, "it does not begin with a public key", None)
    if (
        not isinstance(key, rsa.RSAPublicKey)
        or key.key_size != BITS
        or key.public_numbers().e != EXPONENT
    ):
        _refuse_key(path, f"it is not RSA with {BITS} bits and the exponent {EXPONENT}", None)


def _refuse_key(path: Path, what: str, error: Exception | None) -> NoReturn:
    raise OutputError(
        "escrow-key",
        f"recovery keys cannot be encrypted to this key: {what}",
        place=str(path),
        hint="Make a pair: openssl genrsa -out escrow.key 2048; "
        "openssl rsa -in escrow.key -pubout -out escrow.pem",
    ) from error


def open_envelope(private: Path, envelope: Path, password: str | None = None) -> Recovered:
    """What the owner of a private key (PEM) reads of an envelope: what a machine has sent, or what
    `cryptsetup token export --token-id 29` writes. Raises `OutputError` (`escrow-envelope`,
    `escrow-private-key`) and `ImageError`."""
    key = _private(private, password)
    try:
        with envelope.open("rb") as stream:
            document = parse_json(stream.read(MAX_ENVELOPE))
        if document["type"] != TYPE:
            raise ValueError("it is of another type")
        block = base64.b64decode(document["envelope"], validate=True)
        machine = re.sub(r"[^0-9A-Za-z-]", "", str(document.get("machine", "")))
    except (OSError, ValueError, LookupError, TypeError) as error:
        _refuse_envelope(envelope, "it holds no envelope of a recovery key", error)
    oaep = cryptography_module("hazmat.primitives.asymmetric.padding")
    sha256 = cryptography_module("hazmat.primitives.hashes").SHA256()
    try:
        message = key.decrypt(block, oaep.OAEP(oaep.MGF1(sha256), sha256, None))
    except ValueError as error:
        _refuse_envelope(envelope, "it is not encrypted to this key", error)
    found = _MESSAGE.fullmatch(message)
    if found is None:
        _refuse_envelope(envelope, "there is no recovery key in it", None)
    return Recovered(found[1].decode(), found[2].decode(), machine)


def _private(path: Path, password: str | None) -> Any:
    serialization = cryptography_module("hazmat.primitives.serialization")
    rsa = cryptography_module("hazmat.primitives.asymmetric.rsa")
    data = read_file(path)
    try:
        key: Any = serialization.load_pem_private_key(data, password.encode() if password else None)
    except (ValueError, TypeError) as error:
        _refuse_private(path, error)
    if not isinstance(key, rsa.RSAPrivateKey):
        _refuse_private(path, None)
    return key


def _refuse_private(path: Path, error: Exception | None) -> NoReturn:
    raise OutputError(
        "escrow-private-key",
        "it holds no private RSA key in PEM, or another password protects it",
        place=str(path),
        hint="Name the private half of the key in `disk.escrow.key`; "
        "COMPOS_KEYS_PASSWORD is its password.",
    ) from error


def _refuse_envelope(path: Path, what: str, error: Exception | None) -> NoReturn:
    raise OutputError(
        "escrow-envelope",
        f"no recovery key can be read: {what}",
        place=str(path),
        hint="Name what a machine has sent, or what `cryptsetup token export --token-id 29 DEVICE` "
        "writes, and the private key that it was made for.",
    ) from error
