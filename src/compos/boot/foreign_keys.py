"""Certificates of others in `db`: those with which Microsoft signs option ROMs and programs of
third parties. Pure.

They are taken from a variable store that a distribution has prepared with Microsoft's keys, as
Debian's package ovmf has one. Windows' own certificate is left out: no option ROM needs it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from compos.boot.efi_signatures import DB, certificates_of, signature_list
from compos.boot.variable_store import contents_of
from compos.trust.keys import cryptography_module

__all__ = ["MICROSOFT", "foreign_lists", "microsoft_certificates", "read_certificate"]

MICROSOFT = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
"""SignatureOwner of Microsoft's certificates (Windows, "Secure Boot Key Creation and Management
Guidance", 1.4)."""
THIRD_PARTIES = "UEFI CA"
"""What the names of the certificates for third parties have in common."""


def microsoft_certificates(store: bytes) -> list[bytes]:
    """Microsoft's certificates for third parties (DER) in the `db` of a variable store. Raises
    `ValueError` if there is none, or for what is no such store."""
    x509 = cryptography_module("x509")
    found = []
    for owner, certificate in certificates_of(contents_of(store, DB) or b""):
        if owner == MICROSOFT:
            name: Any = x509.load_der_x509_certificate(certificate).subject
            if any(THIRD_PARTIES in str(part.value) for part in name):
                found.append(certificate)
    if not found:
        raise ValueError("its db has no certificate of Microsoft's for third parties")
    return found


def read_certificate(data: bytes) -> bytes:
    """An X.509 certificate, in PEM or DER, as DER. Raises `ValueError`."""
    x509 = cryptography_module("x509")
    serialization = cryptography_module("hazmat.primitives.serialization")
    load = x509.load_pem_x509_certificate if b"-----" in data else x509.load_der_x509_certificate
    found: bytes = load(data).public_bytes(serialization.Encoding.DER)
    return found


def foreign_lists(certificates: Iterable[tuple[UUID, bytes]]) -> bytes:
    """Signature lists of certificates (DER) with their owners."""
    return b"".join(signature_list(certificate, owner) for owner, certificate in certificates)
