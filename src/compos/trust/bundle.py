"""Sigstore bundles that are made here: a signature with what it takes to check it, in one JSON
document.

Pure. Source: sigstore's protobuf specifications, `sigstore_bundle.proto`, version 0.3. The key is
not in it, but a hint at it; who checks the bundle has the key.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from compos.image.json_document import canonical_json
from compos.trust.keys import PublicKey

__all__ = ["BUNDLE_TYPE", "envelope_bundle", "message_bundle"]

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def envelope_bundle(envelope: Mapping[str, Any], key: PublicKey) -> bytes:
    """The bundle of a DSSE envelope."""
    return canonical_json({**_head(key), "dsseEnvelope": envelope})


def message_bundle(digest: bytes, signature: bytes, key: PublicKey) -> bytes:
    """The bundle of a signature of bytes with this SHA-256."""
    message = {
        "messageDigest": {
            "algorithm": "SHA2_256",
            "digest": base64.b64encode(digest).decode(),
        },
        "signature": base64.b64encode(signature).decode(),
    }
    return canonical_json({**_head(key), "messageSignature": message})


def _head(key: PublicKey) -> dict[str, Any]:
    hint = base64.b64encode(bytes.fromhex(key.fingerprint)).decode()
    return {"mediaType": BUNDLE_TYPE, "verificationMaterial": {"publicKey": {"hint": hint}}}
