"""Entries of a transparency log (Rekor): that the log's key signed them, when, and what they are
about.

Pure. Sources: Rekor's "SignedEntryTimestamp" (a promise that is signed over the entry in canonical
JSON, RFC 8785), its types hashedrekord and dsse, version 0.0.1, and 0.0.2 of Rekor version 2; RFC
9162, 2.1.3.2, for proofs of inclusion; the signed note format of checkpoints.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from compos.image.json_document import canonical_json, parse_json
from compos.trust.keys import PublicKey

__all__ = ["LogEntry", "entry_of_annotation", "entry_of_bundle"]

MAX_ENTRY = 1 << 20
_MAX_HASHES = 64


class Proof(NamedTuple):
    """Where an entry lies in a tree, the hashes beside its path, and the log's signed note about
    the tree."""

    number: int
    size: int
    hashes: tuple[bytes, ...]
    checkpoint: str


class LogEntry(NamedTuple):
    """An entry as the log returned it: its canonical `body`, the second at which it was taken in,
    and what proves it: `promise`, the log's signature of all of this, or a proof of inclusion."""

    body: bytes
    time: int
    number: int
    log: str
    promise: bytes
    proof: Proof | None = None

    def is_promised(self, keys: Sequence[PublicKey]) -> bool:
        """Whether a log with one of `keys` signed the entry with its time."""
        document = {
            "body": base64.b64encode(self.body).decode(),
            "integratedTime": self.time,
            "logID": self.log,
            "logIndex": self.number,
        }
        signed = canonical_json(document)
        return any(key.fingerprint == self.log and key.made(self.promise, signed) for key in keys)

    def is_included(self, keys: Sequence[PublicKey]) -> bool:
        """Whether a log with one of `keys` signed a tree that has the entry; its time is not
        covered."""
        return self.proof is not None and _is_included(self.body, self.proof, keys)

    def is_about(self, signature: bytes, payload: bytes, signed: bytes, signer: bytes) -> bool:
        """Whether the entry is of this `signature` of `signed`, by the key or certificate
        `signer` (DER)."""
        try:
            plain = parse_json(self.body, limit=MAX_ENTRY)
            kind, spec = plain["kind"], plain["spec"]
            if plain.get("apiVersion") == "0.0.2":
                return _is_about(kind, spec, signature, {"dsse": payload}.get(kind, signed), signer)
            if kind == "hashedrekord":
                digest, expected = spec["data"]["hash"], signed
                pairs = [(spec["signature"]["content"], spec["signature"]["publicKey"]["content"])]
            elif kind == "dsse":
                digest, expected = spec["payloadHash"], payload
                pairs = [(one["signature"], one["verifier"]) for one in spec["signatures"]]
            else:
                return False
            return (
                digest["algorithm"] == "sha256"
                and digest["value"] == hashlib.sha256(expected).hexdigest()
                and any(
                    base64.b64decode(made) == signature and _der(base64.b64decode(by)) == signer
                    for made, by in pairs
                )
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return False


def _is_about(
    kind: str, spec: Mapping[str, Any], signature: bytes, expected: bytes, signer: bytes
) -> bool:
    """As `LogEntry.is_about`, for entries of version 0.0.2 (rekor-tiles, `hashedrekord.proto` and
    `dsse.proto`): digests in base64, certificates and keys in DER."""
    if kind == "hashedrekord":
        one = spec["hashedRekordV002"]
        digest, made = one["data"], [one["signature"]]
    elif kind == "dsse":
        digest, made = spec["dsseV002"]["payloadHash"], spec["dsseV002"]["signatures"]
    else:
        return False
    if digest["algorithm"] != "SHA2_256":
        return False
    if base64.b64decode(digest["digest"]) != hashlib.sha256(expected).digest():
        return False
    for one in made:
        verifier = one["verifier"]
        by = (verifier.get("x509Certificate") or verifier["publicKey"])["rawBytes"]
        if base64.b64decode(one["content"]) == signature and base64.b64decode(by) == signer:
            return True
    return False


def entry_of_annotation(text: str) -> LogEntry | None:
    """The entry in cosign's annotation; None for what is none."""
    try:
        plain = parse_json(text, limit=MAX_ENTRY)
        payload = plain["Payload"]
        return LogEntry(
            base64.b64decode(payload["body"], validate=True),
            _whole(payload["integratedTime"]),
            _whole(payload["logIndex"]),
            str(payload["logID"]),
            base64.b64decode(plain["SignedEntryTimestamp"], validate=True),
        )
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error):
        return None


def entry_of_bundle(plain: Mapping[str, Any]) -> LogEntry | None:
    """The entry of a sigstore bundle; None for what is none."""
    try:
        promise = plain.get("inclusionPromise") or {}
        return LogEntry(
            base64.b64decode(plain["canonicalizedBody"], validate=True),
            _whole(plain.get("integratedTime") or 0),
            _whole(plain.get("logIndex") or 0),
            base64.b64decode(plain["logId"]["keyId"], validate=True).hex(),
            base64.b64decode(promise.get("signedEntryTimestamp") or "", validate=True),
            _proof(plain.get("inclusionProof")),
        )
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error):
        return None


def _proof(plain: Any) -> Proof | None:
    if plain is None:
        return None
    hashes = tuple(base64.b64decode(one, validate=True) for one in plain.get("hashes") or ())
    if len(hashes) > _MAX_HASHES:
        return None
    return Proof(
        _whole(plain.get("logIndex") or 0),
        _whole(plain["treeSize"]),
        hashes,
        str(plain["checkpoint"]["envelope"]),
    )


def _is_included(body: bytes, proof: Proof, keys: Sequence[PublicKey]) -> bool:
    root = _root(hashlib.sha256(b"\0" + body).digest(), proof)
    note, _, signatures = proof.checkpoint.partition("\n\n")
    lines = note.split("\n")
    try:
        if root is None or int(lines[1]) != proof.size or base64.b64decode(lines[2]) != root:
            return False
        for line in signatures.splitlines():
            # A dash, the log's name, then four bytes that hint at the key before the signature.
            made = base64.b64decode(line.split(" ")[2])[4:]
            if any(key.made(made, f"{note}\n".encode()) for key in keys):
                return True
    except (ValueError, IndexError):
        return False
    return False


def _root(leaf: bytes, proof: Proof) -> bytes | None:
    """The root of the tree that the proof leads to (RFC 9162, 2.1.3.2)."""
    node, last, found = proof.number, proof.size - 1, leaf
    if not 0 <= node <= last:
        return None
    for one in proof.hashes:
        if last == 0:
            return None
        if node & 1 or node == last:
            found = hashlib.sha256(b"\1" + one + found).digest()
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = hashlib.sha256(b"\1" + found + one).digest()
        node, last = node >> 1, last >> 1
    return found if last == 0 else None


def _whole(value: object) -> int:
    """A number, which JSON of protocol buffers has as text."""
    if isinstance(value, str) and len(value) < 20:
        return int(value)
    if type(value) is int:
        return value
    raise ValueError("not a whole number")


def _der(pem: bytes) -> bytes:
    """What is in the first block of a PEM text."""
    _, begins, rest = pem.decode("ascii").partition("-----BEGIN ")
    inner, ends, _ = rest.partition("-----END ")
    if not begins or not ends:
        raise ValueError("not PEM")
    return base64.b64decode(inner.partition("-----\n")[2].replace("\r", "").replace("\n", ""))
