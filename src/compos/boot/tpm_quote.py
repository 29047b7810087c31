"""A quote: PCRs and a nonce, signed by a key that its TPM lets sign nothing else than what the TPM
itself says. Pure.

All of it comes from a machine that may be hostile. `read_key` takes only keys whose attributes say
that they never leave their TPM and sign only its own statements; whether a true TPM says so, the
credential does (`boot.credential`).

Sources: TCG, "TPM 2.0 Library", part 1, 16 (names), part 2, 10.12 (TPMS_ATTEST), 11.3.4
(TPMT_SIGNATURE), 12.2.4 (TPMT_PUBLIC), 8.3 (attributes).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ["EndorsementKey", "Fields", "Quote", "QuoteKey", "read_endorsement_key", "read_key"]

GENERATED = 0xFF544347
ATTEST_QUOTE = 0x8018

ALG_RSA = 0x0001
ALG_AES = 0x0006
ALG_SHA256 = 0x000B
ALG_NULL = 0x0010
ALG_ECDSA = 0x0018
ALG_ECC = 0x0023
ALG_CFB = 0x0043
ALG_P256 = 0x0003

FIXED_TPM, FIXED_PARENT, SENSITIVE_DATA_ORIGIN = 1 << 1, 1 << 4, 1 << 5
RESTRICTED, DECRYPT, SIGN = 1 << 16, 1 << 17, 1 << 18
OWN = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | RESTRICTED
"""Made in the TPM, never leaves it, and works only on what the TPM has made itself."""

ENDORSEMENT_POLICY = bytes.fromhex(
    "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"
)
RSA_BITS = 2048
EXPONENT = 65537


class Fields:
    """Big-endian fields of a structure, read in their order. Raises `ValueError` at its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, size: int) -> int:
        """An unsigned number of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        found = self._data[self._at : self._at + size]
        if len(found) != size:
            raise ValueError("it is cut off")
        self._at += size
        return found

    def sized(self) -> bytes:
        """The next bytes, with two bytes of length in front."""
        return self.take(self.number(2))

    def end(self) -> None:
        """Nothing may follow."""
        if self._at != len(self._data):
            raise ValueError("something follows it")

    def expect(self, value: int, size: int, what: str) -> None:
        """The number that has to be here."""
        if (found := self.number(size)) != value:
            raise ValueError(f"its {what} is {found:#x}, not {value:#x}")


class Quote(NamedTuple):
    """What was signed: the nonce, which PCRs of the bank SHA-256, the hash of their values; how
    often the TPM was reset, and the version of its firmware."""

    nonce: bytes
    pcrs: tuple[int, ...]
    digest: bytes
    resets: int
    firmware: int

    def covers(self, values: Mapping[int, bytes]) -> bool:
        """Whether these are the values of all its PCRs."""
        if set(values) != set(self.pcrs):
            return False
        together = b"".join(values[pcr] for pcr in sorted(values))
        return hashlib.sha256(together).digest() == self.digest


class QuoteKey(NamedTuple):
    """An attestation key: ECDSA with P-256 and SHA-256. `area` is its TPMT_PUBLIC."""

    area: bytes
    public: EllipticCurvePublicKey

    @property
    def name(self) -> bytes:
        """Its name, which a credential is made for."""
        return struct.pack(">H", ALG_SHA256) + hashlib.sha256(self.area).digest()

    def verify(self, statement: bytes, signature: bytes) -> Quote:
        """The quote in a TPMS_ATTEST that this key has signed with the TPMT_SIGNATURE `signature`.
        Raises `ValueError`."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        fields = Fields(signature)
        fields.expect(ALG_ECDSA, 2, "signature's scheme")
        fields.expect(ALG_SHA256, 2, "signature's hash")
        r, s = (int.from_bytes(fields.sized(), "big") for _ in range(2))
        fields.end()
        try:
            self.public.verify(encode_dss_signature(r, s), statement, ECDSA(SHA256()))
        except InvalidSignature as error:
            raise ValueError("this key has not signed it") from error
        return _statement(statement)


def read_key(area: bytes) -> QuoteKey:
    """The attestation key of a TPMT_PUBLIC. Raises `ValueError` for another kind of key, and for
    one that could sign what its TPM does not say."""
    fields = Fields(area)
    fields.expect(ALG_ECC, 2, "kind")
    fields.expect(ALG_SHA256, 2, "name's hash")
    attributes = fields.number(4)
    if attributes & (OWN | SIGN | DECRYPT) != OWN | SIGN:
        raise ValueError("it could leave its TPM, or sign more than its TPM says")
    fields.sized()
    fields.expect(ALG_NULL, 2, "cipher")
    fields.expect(ALG_ECDSA, 2, "scheme")
    fields.expect(ALG_SHA256, 2, "scheme's hash")
    public = _point(fields)
    fields.end()
    return QuoteKey(area, public)


class EndorsementKey(NamedTuple):
    """An endorsement key of one of the usual templates: RSA 2048, or ECC with P-256."""

    area: bytes
    public: RSAPublicKey | EllipticCurvePublicKey


def read_endorsement_key(area: bytes) -> EndorsementKey:
    """The endorsement key of a TPMT_PUBLIC. Raises `ValueError`."""
    fields = Fields(area)
    kind = fields.number(2)
    if kind not in (ALG_RSA, ALG_ECC):
        raise ValueError(f"its kind is {kind:#x}, neither RSA nor ECC")
    fields.expect(ALG_SHA256, 2, "name's hash")
    attributes = fields.number(4)
    policy = fields.sized()
    if attributes & (OWN | SIGN | DECRYPT) != OWN | DECRYPT or policy != ENDORSEMENT_POLICY:
        raise ValueError("it is not of the usual template")
    fields.expect(ALG_AES, 2, "cipher")
    fields.expect(128, 2, "cipher's key")
    fields.expect(ALG_CFB, 2, "cipher's mode")
    fields.expect(ALG_NULL, 2, "scheme")
    public = _rsa(fields) if kind == ALG_RSA else _point(fields)
    fields.end()
    return EndorsementKey(area, public)


def _rsa(fields: Fields) -> RSAPublicKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    fields.expect(RSA_BITS, 2, "length")
    exponent = fields.number(4) or EXPONENT
    modulus = fields.sized()
    if len(modulus) != RSA_BITS // 8:
        raise ValueError("its modulus is cut off")
    return RSAPublicNumbers(exponent, int.from_bytes(modulus, "big")).public_key()


def _point(fields: Fields) -> EllipticCurvePublicKey:
    """A curve, no key derivation, and a point on the curve."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicNumbers

    fields.expect(ALG_P256, 2, "curve")
    fields.expect(ALG_NULL, 2, "key derivation")
    x, y = (int.from_bytes(fields.sized(), "big") for _ in range(2))
    return EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()


def _statement(data: bytes) -> Quote:
    fields = Fields(data)
    fields.expect(GENERATED, 4, "magic")
    fields.expect(ATTEST_QUOTE, 2, "kind")
    fields.sized()
    nonce = fields.sized()
    fields.take(8)
    resets = fields.number(4)
    fields.take(4 + 1)
    firmware = fields.number(8)
    fields.expect(1, 4, "number of banks")
    fields.expect(ALG_SHA256, 2, "bank")
    width = fields.number(1)
    if width > 4:
        raise ValueError("it selects too many PCRs")
    mask = int.from_bytes(fields.take(width), "little")
    digest = fields.sized()
    fields.end()
    pcrs = tuple(pcr for pcr in range(8 * width) if mask >> pcr & 1)
    return Quote(nonce, pcrs, digest, resets, firmware)
