"""What cosign signs of an image: a payload of the type "simple signing", which names a digest and a
repository.

Pure. Source: cosign's "Signature Specification"; containers/image, "Atomic Container Signature".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from compos.image.json_document import canonical_json, parse_json
from compos.image.reference import Reference

__all__ = ["Claim", "claim_of", "is_about", "payload_of"]

TYPE = "cosign container image signature"

MAX_PAYLOAD = 64 << 10
"""Bytes of a payload, which has some hundred."""


class Claim(NamedTuple):
    """What a signed document says: digests (one, but for in-toto statements), and the name that
    they have; empty if the document says none."""

    digests: tuple[str, ...]
    name: str


def payload_of(reference: Reference, digest: str) -> bytes:
    """What is signed: `digest`, for the name that `reference` has at its registry. The tag is an
    annotation that `cosign verify -a tag=TAG` checks."""
    critical = {
        "identity": {"docker-reference": f"{reference.domain}/{reference.path}"},
        "image": {"docker-manifest-digest": digest},
        "type": TYPE,
    }
    optional = {"tag": reference.tag} if reference.tag else None
    return canonical_json({"critical": critical, "optional": optional})


def claim_of(payload: bytes) -> Claim | None:
    """What a payload says; None for what is no payload."""
    plain = _plain(payload)
    if plain is None:
        return None
    critical = plain["critical"]
    digest = critical["image"]["docker-manifest-digest"]
    return Claim((str(digest),), str(critical["identity"]["docker-reference"]))


def is_about(payload: bytes, reference: Reference, digest: str) -> bool:
    """Whether a payload, whose signer is known, is about this image, for bricks.

    Of the signed name only the last component counts: bricks are copied to other registries.
    `cosign sign` names no tag unless it is told to; it then signs for any.
    """
    claim, plain = claim_of(payload), _plain(payload)
    if claim is None or plain is None:
        return False
    optional = plain.get("optional") or {}
    if not isinstance(optional, dict):
        return False
    last = claim.name.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return (
        claim.digests == (digest,)
        and last == reference.path.rpartition("/")[2]
        and (not reference.tag or optional.get("tag", reference.tag) == reference.tag)
    )


def _plain(payload: bytes) -> dict[str, Any] | None:
    try:
        plain = parse_json(payload, limit=MAX_PAYLOAD)
        critical = plain["critical"]
        _ = critical["identity"]["docker-reference"], critical["image"]["docker-manifest-digest"]
        known: dict[str, Any] | None = plain if critical["type"] == TYPE else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return known
