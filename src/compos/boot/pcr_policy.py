"""Signed PCR policies: what the section `.pcrsig` of a unified kernel image says. A secret that is
bound to a key, and not to values, can be unsealed in every system whose expected PCR 11 this key
has signed. Pure.

The signature is RSASSA-PKCS1-v1_5 with SHA-256 of the policy's digest, as TPM2_PolicyAuthorize
wants it (without a policyRef). One for each phase of the boot up to which secrets may be unsealed.

Sources: TCG, "TPM 2.0 Library", part 3, 23.7 (TPM2_PolicyPCR), part 2, 10.9.7 (TPML_PCR_SELECTION);
systemd-measure(1) and systemd-stub(7) (the JSON, and where it goes).
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple, Protocol

from compos.image.json_document import canonical_json, parse_json
from compos.trust.later import SignatureAwaited

__all__ = [
    "PolicyKey",
    "PolicySignature",
    "policy_digest",
    "read_policies",
    "signed_policies",
]

PCR = 11
BANK = "sha256"

CC_POLICY_PCR = 0x0000017F
ALG_SHA256 = 0x000B
# What TPM2_PolicyPCR extends the policy with. Offset, size, field:
#     0    4  command code
#     4    4  number of selections
#     8    2  algorithm of the bank
#    10    1  bytes of the bit map
#    11    3  bit map of PCRs, the lowest first
#    14   32  hash of the values
_POLICY_PCR = struct.Struct(">IIHB3s32s")

MAX_SECTION = 64 << 10
"""Bytes; a signature has about 600."""


class PolicyKey(Protocol):
    """The RSA key that signs policies: its public half in PEM, and the SHA-256 of its
    RSAPublicKey in DER."""

    pem: bytes
    fingerprint: str

    def sign(self, data: bytes) -> bytes:
        """The signature of `data`: RSASSA-PKCS1-v1_5 with SHA-256."""


class PolicySignature(NamedTuple):
    """A signed policy: the SHA-256 of the key (hexadecimal), the policy's digest, the signature."""

    key: str
    policy: bytes
    signature: bytes


def policy_digest(value: bytes, pcr: int = PCR) -> bytes:
    """The digest of the policy that PCR `pcr` of the bank SHA-256 has `value` (32 bytes)."""
    selected = (1 << pcr).to_bytes(3, "little")
    values = hashlib.sha256(value).digest()
    extended = _POLICY_PCR.pack(CC_POLICY_PCR, 1, ALG_SHA256, len(selected), selected, values)
    return hashlib.sha256(bytes(32) + extended).digest()


def signed_policies(keys: Sequence[PolicyKey], values: Iterable[bytes]) -> bytes:
    """The contents of `.pcrsig`: that PCR 11 may have one of `values`, signed by each of `keys`.
    Raises `SignatureAwaited` after it has asked for all signatures."""
    entries = []
    awaited = None
    policies = [policy_digest(value) for value in values]
    for key, policy in product(keys, policies):
        try:
            signature = key.sign(policy)
        except SignatureAwaited as error:
            awaited = error
            continue
        entries.append(
            {
                "pcrs": [PCR],
                "pkfp": key.fingerprint,
                "pol": policy.hex(),
                "sig": base64.b64encode(signature).decode(),
            }
        )
    if awaited:
        raise awaited
    return canonical_json({BANK: entries})


def read_policies(data: bytes) -> list[PolicySignature]:
    """What a `.pcrsig` says of PCR 11 alone in the bank SHA-256. Raises `ValueError` for what is no
    such section."""
    found = parse_json(data.rstrip(b"\0"), limit=MAX_SECTION)
    entries = found.get(BANK, []) if isinstance(found, dict) else None
    if not isinstance(entries, list):
        raise ValueError(".pcrsig has no list of signatures")
    return [policy for entry in entries if (policy := _policy(entry))]


def _policy(entry: object) -> PolicySignature | None:
    """None for other PCRs."""
    if not isinstance(entry, dict):
        raise ValueError(".pcrsig has a signature that is no object")
    texts = [entry.get(name) for name in ("pkfp", "pol", "sig")]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(".pcrsig has a signature without key, policy or signature")
    key, policy, signature = map(str, texts)
    if entry.get("pcrs") != [PCR]:
        return None
    return PolicySignature(key, bytes.fromhex(policy), base64.b64decode(signature, validate=True))
