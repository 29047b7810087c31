"""A secret that only one TPM can read, and only if it has a certain attestation key: whoever
answers with it has both keys in one TPM.

May touch: the system's source of random numbers.

Sources: TCG, "TPM 2.0 Library", part 1, 24 (credential protection), 11.4.10.2 (KDFa), 11.4.10.3
(KDFe), B.10.4 (secret sharing by RSA, "IDENTITY"), C.6.4 (by ECC), part 2, 12.4.3
(TPM2B_ID_OBJECT).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
from typing import TYPE_CHECKING, NamedTuple

from compos.boot.tpm_quote import EndorsementKey, QuoteKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ["Credential", "make_credential"]

SECRET_SIZE = 32
SEED_SIZE = 32
AES_SIZE = 16
COORDINATE_SIZE = 32


class Credential(NamedTuple):
    """What the TPM is sent, without the lengths in front: a TPMS_ID_OBJECT and an encrypted seed;
    and the `secret` that it must answer with."""

    sealed: bytes
    seed: bytes
    secret: bytes


def make_credential(endorsement: EndorsementKey, key: QuoteKey) -> Credential:
    """A new secret for the TPM with `endorsement`, if it has `key`, too."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    secret = secrets.token_bytes(SECRET_SIZE)
    public = endorsement.public
    share = _share_by_rsa(public) if isinstance(public, RSAPublicKey) else _share_by_point(public)
    seed, encrypted_seed = share
    protection = _derive(seed, b"STORAGE", key.name, AES_SIZE)
    encrypted = _encrypt(protection, struct.pack(">H", len(secret)) + secret)
    integrity_key = _derive(seed, b"INTEGRITY", b"", hashlib.sha256().digest_size)
    integrity = hmac.digest(integrity_key, encrypted + key.name, "sha256")
    return Credential(
        struct.pack(">H", len(integrity)) + integrity + encrypted, encrypted_seed, secret
    )


def _share_by_rsa(public: RSAPublicKey) -> tuple[bytes, bytes]:
    """A seed, and what tells it to the TPM alone."""
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
    from cryptography.hazmat.primitives.hashes import SHA256

    seed = secrets.token_bytes(SEED_SIZE)
    return seed, public.encrypt(seed, OAEP(MGF1(SHA256()), SHA256(), b"IDENTITY\0"))


def _share_by_point(public: EllipticCurvePublicKey) -> tuple[bytes, bytes]:
    """The same: the seed is derived of what a new key and the TPM's have in common."""
    from cryptography.hazmat.primitives.asymmetric.ec import ECDH, generate_private_key

    own = generate_private_key(public.curve)
    ours, theirs = own.public_key().public_numbers(), public.public_numbers()
    x, y, their_x = (one.to_bytes(COORDINATE_SIZE, "big") for one in (ours.x, ours.y, theirs.x))
    common = own.exchange(ECDH(), public)
    seed = hashlib.sha256(struct.pack(">I", 1) + common + b"IDENTITY\0" + x + their_x).digest()
    size = struct.pack(">H", COORDINATE_SIZE)
    return seed, size + x + size + y


def _encrypt(key: bytes, data: bytes) -> bytes:
    """AES in CFB mode from zeros; cryptography has the mode in other places in each version."""
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import ECB

    block = Cipher(AES(key), ECB()).encryptor()  # noqa: S305 - one block at a time, for CFB
    done, before = b"", bytes(AES_SIZE)
    for start in range(0, len(data), AES_SIZE):
        part = data[start : start + AES_SIZE]
        stream = block.update(before)
        before = bytes(one ^ other for one, other in zip(part, stream, strict=False))
        done += before
    return done


def _derive(seed: bytes, label: bytes, context: bytes, size: int) -> bytes:
    """KDFa with SHA-256, up to one block."""
    data = struct.pack(">I", 1) + label + b"\0" + context + struct.pack(">I", 8 * size)
    return hmac.digest(seed, data, "sha256")[:size]
