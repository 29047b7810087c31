"""Certificates of signers whose keys live for minutes (keyless): who they certify, and whether an
authority that the policy names issued them.

Pure. Sources: RFC 5280, 6.1; Fulcio's "Sigstore OID information". The lists of certificates that a
certificate may carry (SCT) are not checked: the transparency log's entry is what is required.
Certificates are never checked against today's date, but against the time in the log's entry or of
a signed timestamp: they expire ten minutes after they were issued.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from compos.errors import NoSupport
from compos.trust.keys import PublicKey, cryptography_module

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Authority", "Signer", "may_issue", "read_certificates", "signer_of"]

ISSUER_TEXT = "1.3.6.1.4.1.57264.1.1"
ISSUER_DER = "1.3.6.1.4.1.57264.1.8"
"""Extensions with the issuer of the identity: as bare text, and as an UTF8String."""

MAX_CERTIFICATES = 64 << 10
_MAX_CHAIN = 8
_UTF8_STRING = 0x0C

_HANDLED = ("BasicConstraints", "KeyUsage", "ExtendedKeyUsage", "SubjectAlternativeName")
"""Critical extensions that are looked at here; with another one a certificate is not used."""


class Authority(NamedTuple):
    """Certificates of an authority: those that are believed, and those between."""

    roots: tuple[Any, ...]
    intermediates: tuple[Any, ...] = ()


class Signer(NamedTuple):
    """Whom a certificate is for: its identities (an address of mail, a URI), and who identified
    them; its key, and itself in DER. `chain` are the certificates above that came along."""

    subjects: tuple[str, ...]
    issuer: str
    key: PublicKey
    der: bytes
    leaf: Any
    chain: tuple[Any, ...]

    def failure(self, authority: Authority, time: int) -> str:
        """Why the authority did not certify this signer, for signatures at `time` (seconds since
        1970); empty if it did."""
        when = datetime.fromtimestamp(time, UTC)
        if not _is_valid(self.leaf, when):
            return (
                f"the certificate was valid from {_shown(self.leaf.not_valid_before_utc)} to "
                f"{_shown(self.leaf.not_valid_after_utc)}, not at {_shown(when)}, when it was used"
            )
        if not _may_sign(self.leaf):
            return "the certificate is not one for signing code"
        between = (*self.chain, *authority.intermediates)
        if not _is_issued(self.leaf, authority.roots, between, when, _MAX_CHAIN):
            return "the certificate was not issued by the authority that is required"
        return ""

    def is_identity(self, issuer: str, subject: str, pattern: str) -> bool:
        """Whether the signer has the identity."""
        if self.issuer != issuer:
            return False
        if pattern:
            return any(re.fullmatch(pattern, one) for one in self.subjects)
        return subject in self.subjects


def read_certificates(pem: bytes) -> tuple[Any, ...]:
    """The certificates in a PEM text; raises `ValueError`."""
    if len(pem) > MAX_CERTIFICATES:
        raise ValueError(f"more than {MAX_CERTIFICATES} bytes")
    return tuple(_x509().load_pem_x509_certificates(pem))


def authority_of(certificates: Sequence[Any]) -> Authority:
    """Those that issued themselves are believed, the others are between."""
    roots = tuple(one for one in certificates if one.issuer == one.subject)
    return Authority(roots, tuple(one for one in certificates if one not in roots))


def signer_of(pem: bytes) -> Signer | None:
    """Whom the first certificate of a PEM text is for; None for what is none."""
    try:
        leaf, *chain = read_certificates(pem)
        serialization = cryptography_module("hazmat.primitives.serialization")
        key = PublicKey(
            leaf.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ),
            "certificate",
        )
        der = leaf.public_bytes(serialization.Encoding.DER)
        return Signer(_subjects(leaf), _issuer(leaf), key, der, leaf, tuple(chain[:_MAX_CHAIN]))
    except NoSupport:
        raise
    except Exception:
        # Whatever a stranger's certificate does to the parser, there is no signer.
        return None


def _subjects(leaf: Any) -> tuple[str, ...]:
    x509 = _x509()
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        *names.get_values_for_type(x509.RFC822Name),
        *names.get_values_for_type(x509.UniformResourceIdentifier),
    )


def _issuer(leaf: Any) -> str:
    found = {one.oid.dotted_string: one.value for one in leaf.extensions}
    if ISSUER_DER in found:
        data = found[ISSUER_DER].value
        short = len(data) < 130 and data[:2] == bytes((_UTF8_STRING, len(data) - 2))
        return data[2:].decode() if short else ""
    return found[ISSUER_TEXT].value.decode() if ISSUER_TEXT in found else ""


def _is_issued(
    certificate: Any, roots: Sequence[Any], between: Sequence[Any], when: datetime, depth: int
) -> bool:
    """Whether a chain leads from `certificate` to one of `roots`."""
    if any(_issued(certificate, root, when) for root in roots):
        return True
    return depth > 0 and any(
        _issued(certificate, one, when)
        and _is_issued(one, roots, [other for other in between if other != one], when, depth - 1)
        for one in between
    )


def _issued(certificate: Any, issuer: Any, when: datetime) -> bool:
    """Whether `issuer`, which may issue certificates, issued this one."""
    if certificate.issuer != issuer.subject or not _is_valid(issuer, when):
        return False
    if not may_issue(issuer) or not _is_understood(certificate):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, cryptography_module("exceptions").InvalidSignature):
        return False
    return True


def _is_valid(certificate: Any, when: datetime) -> bool:
    started: bool = certificate.not_valid_before_utc <= when
    return started and when <= certificate.not_valid_after_utc


def _is_understood(certificate: Any) -> bool:
    return all(
        type(one.value).__name__ in _HANDLED for one in certificate.extensions if one.critical
    )


def may_issue(certificate: Any) -> bool:
    """Whether it is the certificate of an authority."""
    x509 = _x509()
    try:
        extensions = certificate.extensions
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
    return bool(constraints.ca and usage.key_cert_sign and _is_understood(certificate))


def _may_sign(certificate: Any) -> bool:
    x509 = _x509()
    try:
        extensions = certificate.extensions
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
    return bool(
        usage.digital_signature
        and x509.oid.ExtendedKeyUsageOID.CODE_SIGNING in purposes
        and _is_understood(certificate)
    )


def _shown(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _x509() -> ModuleType:
    return cryptography_module("x509")
