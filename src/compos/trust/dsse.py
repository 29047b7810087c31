"""Statements about artifacts, and the envelopes that they are signed in.

Pure. Sources: DSSE v1.0 ("Dead Simple Signing Envelope", protocol); in-toto attestation framework,
Statement v1 (and v0.1, which cosign writes).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from compos.image.json_document import canonical_json, parse_json
from compos.trust.simple_signing import Claim

__all__ = [
    "IN_TOTO",
    "PREDICATES",
    "Statement",
    "Subject",
    "envelope_of",
    "pre_authentication_encoding",
    "statement_of",
]

IN_TOTO = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
STATEMENTS = (STATEMENT, "https://in-toto.io/Statement/v0.1")

SIGN = "https://sigstore.dev/cosign/sign/v1"
"""The type of predicate by which cosign says nothing but that an image is signed."""

PREDICATES = {
    "slsaprovenance1": "https://slsa.dev/provenance/v1",
    "spdxjson": "https://spdx.dev/Document",
    "cyclonedx": "https://cyclonedx.org/bom",
}
"""Types of predicates by cosign's short names."""

MAX_STATEMENT = 24 << 20


class Subject(NamedTuple):
    """An artifact: its name, and its SHA-256 in hexadecimal digits."""

    name: str
    sha256: str


class Statement(NamedTuple):
    """That a predicate of a type holds for the subjects."""

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: Any

    @property
    def is_signature(self) -> bool:
        """Whether it says nothing but that its subject is signed."""
        return self.predicate_type == SIGN

    def claim(self) -> Claim:
        """Digests and name of what it is about."""
        names = {one.name for one in self.subjects}
        name = names.pop() if len(names) == 1 else ""
        return Claim(tuple(f"sha256:{one.sha256}" for one in self.subjects), name)

    def to_json(self) -> bytes:
        """The statement as it is signed."""
        return canonical_json(
            {
                "_type": STATEMENT,
                "subject": [
                    {"name": one.name, "digest": {"sha256": one.sha256}} for one in self.subjects
                ],
                "predicateType": self.predicate_type,
                "predicate": self.predicate,
            }
        )


def statement_of(payload: bytes) -> Statement | None:
    """The statement in a payload; None for what is none."""
    try:
        plain = parse_json(payload, limit=MAX_STATEMENT)
        if plain["_type"] not in STATEMENTS or not plain["subject"]:
            return None
        subjects = tuple(
            Subject(str(one.get("name") or ""), str(one["digest"]["sha256"]))
            for one in plain["subject"]
        )
        return Statement(subjects, str(plain["predicateType"]), plain.get("predicate"))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def pre_authentication_encoding(kind: str, payload: bytes) -> bytes:
    """What is signed of a payload and its type (DSSE, "PAE")."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def envelope_of(payload: bytes, sign: Callable[[bytes], bytes]) -> dict[str, Any]:
    """The envelope with an in-toto statement, signed."""
    signature = sign(pre_authentication_encoding(IN_TOTO, payload))
    signatures: Sequence[dict[str, str]] = [{"sig": base64.b64encode(signature).decode()}]
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": IN_TOTO,
        "signatures": [*signatures],
    }
