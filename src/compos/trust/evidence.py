"""Signatures as they are found beside an image: what is signed, by what, and what a log says of it.

Pure. None of it is believed yet (`compos.trust.judge`): every reader takes what a stranger wrote,
and returns nothing for nonsense. Sources: cosign's "Signature Specification"; sigstore's protobuf
specifications, `sigstore_bundle.proto`; DSSE v1.0.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from compos.image.json_document import parse_json
from compos.trust.dsse import IN_TOTO, pre_authentication_encoding, statement_of
from compos.trust.simple_signing import Claim, claim_of
from compos.trust.timestamps import MAX_TIMESTAMPS
from compos.trust.transparency import LogEntry, entry_of_annotation, entry_of_bundle

__all__ = [
    "SIGNATURE",
    "Signature",
    "from_annotations",
    "from_bundle",
    "from_envelope",
    "from_file_bundle",
]

SIGNATURE = "dev.cosignproject.cosign/signature"
"""The annotation of a payload that has its signature, in base64."""

CERTIFICATE = "dev.sigstore.cosign/certificate"
CHAIN = "dev.sigstore.cosign/chain"
BUNDLE = "dev.sigstore.cosign/bundle"
TIMESTAMP = "dev.sigstore.cosign/rfc3161timestamp"
"""Likewise: the signer's certificate and those above it, in PEM; what the transparency log and a
timestamp authority returned for the signature, in JSON."""

MAX_BUNDLE = 32 << 20
"""Bytes of a bundle or an envelope: it may hold an SBOM."""

_MAX_ENVELOPE_SIGNATURES = 16


class Signature(NamedTuple):
    """A payload, what somebody made of it with a key, and what came along: the signer's certificate
    and those above it (PEM), the transparency log's entry, and signed timestamps of the signature
    (DER). `type` is that of the payload in a DSSE envelope; empty for a payload that was signed as
    it is."""

    payload: bytes
    signature: bytes
    type: str = ""
    certificates: bytes = b""
    entry: LogEntry | None = None
    timestamps: tuple[bytes, ...] = ()

    @property
    def signed(self) -> bytes:
        """The bytes that the signature is of."""
        return pre_authentication_encoding(self.type, self.payload) if self.type else self.payload

    def claim(self) -> Claim | None:
        """What is signed, if it is about an image: a simple signing payload, or cosign's statement
        that stands for one."""
        if not self.type:
            return claim_of(self.payload)
        statement = statement_of(self.payload) if self.type == IN_TOTO else None
        return statement.claim() if statement and statement.is_signature else None

    def attested(self, predicate: str) -> Claim | None:
        """What a predicate of this type is attested of, if that is what is signed."""
        statement = statement_of(self.payload) if self.type == IN_TOTO else None
        return statement.claim() if statement and statement.predicate_type == predicate else None


def from_annotations(payload: bytes, annotations: Mapping[str, str]) -> Signature:
    """A payload with what stands in its layer's annotations."""
    certificates = "\n".join(annotations.get(key, "") for key in (CERTIFICATE, CHAIN)).strip()
    return Signature(
        payload,
        decoded(annotations.get(SIGNATURE, "")),
        certificates=certificates.encode(),
        entry=entry_of_annotation(annotations.get(BUNDLE, "")),
        timestamps=_timestamp_of_annotation(annotations.get(TIMESTAMP, "")),
    )


def from_envelope(data: bytes, annotations: Mapping[str, str]) -> Iterator[Signature]:
    """The signatures of a DSSE envelope, with what stands in its layer's annotations."""
    beside = from_annotations(b"", annotations)
    for signature in _signatures(_object(data), "payloadType"):
        yield signature._replace(certificates=beside.certificates, entry=beside.entry)


def from_bundle(data: bytes) -> Iterator[Signature]:
    """The signatures of a sigstore bundle of an image: of its DSSE envelope."""
    plain = _object(data)
    envelope = plain.get("dsseEnvelope")
    for signature in _signatures(envelope if isinstance(envelope, dict) else {}, "payloadType"):
        yield _with_material(signature, plain)


def from_file_bundle(data: bytes, content: bytes, digest: bytes) -> Iterator[Signature]:
    """The signature of a sigstore bundle that belongs to a file: of the file's `content` itself,
    whose SHA-256 is `digest`."""
    plain = _object(data)
    message = plain.get("messageSignature")
    if not isinstance(message, dict):
        return
    stated = message.get("messageDigest")
    if isinstance(stated, dict) and decoded(stated.get("digest")) != digest:
        return
    yield _with_material(Signature(content, decoded(message.get("signature"))), plain)


def decoded(text: object) -> bytes:
    """Base64 as JSON has it; nothing for nonsense, of which no key makes a signature."""
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        return b""


def _signatures(envelope: Mapping[str, Any], key: str) -> Iterator[Signature]:
    kind, listed = envelope.get(key), envelope.get("signatures")
    if not isinstance(kind, str) or not kind or not isinstance(listed, list):
        return
    payload = decoded(envelope.get("payload"))
    for one in listed[:_MAX_ENVELOPE_SIGNATURES]:
        if isinstance(one, dict):
            yield Signature(payload, decoded(one.get("sig")), kind)


def _with_material(signature: Signature, bundle: Mapping[str, Any]) -> Signature:
    """`signature` with what its bundle has beside it: certificates, the first log entry, and
    timestamps."""
    plain = bundle.get("verificationMaterial")
    if not isinstance(plain, dict):
        return signature
    listed = [plain.get("certificate")]
    chain = plain.get("x509CertificateChain")
    if isinstance(chain, dict) and isinstance(chain.get("certificates"), list):
        listed += chain["certificates"][:8]
    pem = b"".join(_pem(decoded(one.get("rawBytes"))) for one in listed if isinstance(one, dict))
    entries = plain.get("tlogEntries")
    first = entries[0] if isinstance(entries, list) and entries else None
    entry = entry_of_bundle(first) if isinstance(first, dict) else None
    return signature._replace(certificates=pem, entry=entry, timestamps=_timestamps(plain))


def _timestamps(material: Mapping[str, Any]) -> tuple[bytes, ...]:
    data = material.get("timestampVerificationData")
    listed = data.get("rfc3161Timestamps") if isinstance(data, dict) else None
    return tuple(
        decoded(one.get("signedTimestamp"))
        for one in (listed[:MAX_TIMESTAMPS] if isinstance(listed, list) else ())
        if isinstance(one, dict)
    )


def _timestamp_of_annotation(text: str) -> tuple[bytes, ...]:
    token = decoded(_object(text.encode()).get("SignedRFC3161Timestamp")) if text else b""
    return (token,) if token else ()


def _pem(der: bytes) -> bytes:
    lines = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n".encode()


def _object(data: bytes) -> dict[str, Any]:
    try:
        plain = parse_json(data, limit=MAX_BUNDLE)
    except ValueError:
        return {}
    return plain if isinstance(plain, dict) else {}
