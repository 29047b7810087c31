"""PKCS #7 signed data: around a statement about a program, and beside the contents of a variable,
as UEFI firmware reads them; around the manifest of an update. For data of that last kind, CMS (RFC
5652) is the same.

Pure; the signature itself is made by a `Signer`. Nothing in it depends on the time, so that the
same contents and key give the same bytes.

Sources: RFC 2315, section 9 (SignedData, SignerInfo, and what is signed); RFC 2986, appendix A
(attributes); RFC 8017, A.2.4 (RSA with SHA-256).
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from compos.boot.der import (
    NULL,
    context,
    identifier,
    integer,
    octets,
    sequence,
    set_of,
)

__all__ = ["DATA", "SHA256", "Certified", "content_info", "signed_data"]

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
RSA_ENCRYPTION = "1.2.840.113549.1.1.1"

SHA256 = sequence(identifier("2.16.840.1.101.3.4.2.1"), NULL)
"""AlgorithmIdentifier."""


class Certified(Protocol):
    """An RSA key with its certificate (X.509, DER): `issuer` (a Name in DER) and `serial` are those
    of the certificate."""

    certificate: bytes
    issuer: bytes
    serial: int

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`: RSASSA-PKCS1-v1_5 with SHA-256."""


def signed_data(signer: Certified, signed: bytes, statement: tuple[str, bytes] | None) -> bytes:
    """SignedData with one signature and its certificate.

    `statement` is a content type and its value in DER, a SEQUENCE or an OCTET STRING: it is
    enclosed, and `signed` is its contents, which the attributes have the digest of. Without one the
    data is detached, and signed as it is.
    """
    if statement is None:
        content = sequence(identifier(DATA))
        attributes = b""
        signature = signer.sign(signed)
    else:
        kind, enclosed = statement
        content = sequence(identifier(kind), context(0, enclosed))
        digest = hashlib.sha256(signed).digest()
        items = [
            sequence(identifier(CONTENT_TYPE), set_of([identifier(kind)])),
            sequence(identifier(MESSAGE_DIGEST), set_of([octets(digest)])),
        ]
        # 9.3: signed is the SET OF, stored it is with an implicit tag.
        signature = signer.sign(set_of(items))
        attributes = context(0, b"".join(sorted(items)))
    info = sequence(
        integer(1),
        sequence(signer.issuer, integer(signer.serial)),
        SHA256,
        attributes,
        sequence(identifier(RSA_ENCRYPTION), NULL),
        octets(signature),
    )
    return sequence(
        integer(1), set_of([SHA256]), content, context(0, signer.certificate), set_of([info])
    )


def content_info(signed: bytes) -> bytes:
    """ContentInfo around SignedData."""
    return sequence(identifier(SIGNED_DATA), context(0, signed))
