"""Whether signatures satisfy what a policy requires of an image, and why not.

May touch: the files of keys and certificates that the policy names (reading). Every signature is
taken for hostile until a key says otherwise; then it must still be about this digest and this name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from compos.errors import ImageError
from compos.image.reference import Reference
from compos.trust.certificates import Authority, Signer, authority_of, read_certificates, signer_of
from compos.trust.evidence import Signature
from compos.trust.keys import MAX_KEY, PublicKey, read_file
from compos.trust.policy import Certified, Material, Signed
from compos.trust.timestamps import stamped
from compos.trust.trusted_root import TrustedRoot, read_trusted_root

__all__ = ["Found", "Judge", "Wanted"]


BYTES = "bytes"
"""In place of a type of predicate: what is signed is the file itself."""


class Wanted(NamedTuple):
    """What must be signed: the name that was asked for (None for an image of this machine), and
    digests of which any will do: an index, or the manifest that it leads to."""

    asked: Reference | None
    digests: tuple[str, ...]
    predicate: str = ""
    """The type of what must be attested, instead of a mere signature."""


class Found(NamedTuple):
    """The digest that is signed, and by whom: a key's fingerprint, or an identity."""

    digest: str
    signer: str


class _Failure(NamedTuple):
    """Why a signature does not serve; of several the one that got furthest is reported."""

    step: int
    reason: str


_UNKNOWN = _Failure(1, "no signature was made with a key that the policy names")


class Judge:
    """Checks signatures; files of keys are read once."""

    def __init__(self) -> None:
        self._key = cache(_public_key)
        self._authority = cache(_authority)
        self._root = cache(_trusted_root)

    def require(
        self, required: Signed, wanted: Wanted, signatures: Iterable[Signature]
    ) -> Found | str:
        """Who signed what is wanted as `required`, or why nobody did. Raises `ImageError`
        (`signature-key`) for keys that cannot be used."""
        worst = _Failure(0, "it is not signed")
        # First of all: a key that cannot be read is an error, signatures or not.
        keys = [self._key(one) for one in required.keys]
        logs = [self._key(one) for one in required.logs]
        instances = [(one, self._instance(one, logs)) for one in required.certified]
        for signature in signatures:
            failures = [self._by_key(keys, logs, required, wanted, signature)] if keys else []
            failures += [
                self._by_identity(certified, instance, required, wanted, signature)
                for certified, instance in instances
            ]
            for one in failures:
                if isinstance(one, Found):
                    return one
                worst = max(worst, one)
        return worst.reason

    def require_bytes(
        self, required: Signed, digest: str, signatures: Iterable[Signature]
    ) -> Found | str:
        """As `require`, for signatures of the bytes with this digest, and not of what is said of
        them."""
        return self.require(required, Wanted(None, (digest,), BYTES), signatures)

    def _instance(self, certified: Certified, logs: Sequence[PublicKey]) -> TrustedRoot:
        """Certificates, keys of logs and timestamp authorities that count for an identity."""
        if certified.trusted_root is None:
            return TrustedRoot(self._authority(certified.authority), tuple(logs))
        root = self._root(certified.trusted_root)
        return root._replace(logs=(*logs, *root.logs))

    def _by_key(
        self,
        keys: Sequence[PublicKey],
        logs: Sequence[PublicKey],
        required: Signed,
        wanted: Wanted,
        signature: Signature,
    ) -> Found | _Failure:
        signed = signature.signed
        key = next((one for one in keys if one.made(signature.signature, signed)), None)
        if key is None:
            return _UNKNOWN
        if logs and (failure := _unlogged(signature, key.der, logs)):
            return failure
        return _about(required, wanted, signature, f"key {key.fingerprint}")

    def _by_identity(
        self,
        certified: Certified,
        instance: TrustedRoot,
        required: Signed,
        wanted: Wanted,
        signature: Signature,
    ) -> Found | _Failure:
        signer = signer_of(signature.certificates) if signature.certificates else None
        if signer is None:
            return _Failure(1, "no signature has a certificate of the identity that is required")
        if not signer.key.made(signature.signature, signature.signed):
            return _Failure(1, "no signature was made with the key of its certificate")
        if failure := _unlogged(signature, signer.der, instance.logs):
            return failure
        times = _times(signature, instance)
        if isinstance(times, _Failure):
            return times
        for time in times:
            if reason := signer.failure(instance.authority, time):
                return _Failure(3, reason)
        if not signer.is_identity(certified.issuer, certified.subject, certified.subject_pattern):
            return _Failure(4, f"it is signed by {_shown(signer)}, not by whom the policy names")
        return _about(required, wanted, signature, _shown(signer))


def _about(required: Signed, wanted: Wanted, signature: Signature, signer: str) -> Found | _Failure:
    """What a signature whose signer is known is about."""
    if wanted.predicate == BYTES:
        return Found(wanted.digests[0], signer)
    claim = signature.attested(wanted.predicate) if wanted.predicate else signature.claim()
    if claim is None:
        return _Failure(5, "the signer signed something else")
    digest = next((one for one in wanted.digests if one in claim.digests), None)
    if digest is None:
        return _Failure(6, f"the signer signed another digest, {claim.digests[0][:80]}")
    if not required.identity.holds(wanted.asked, claim.name):
        name = claim.name[:200] or "no name"
        return _Failure(7, f"the signer signed this image under another name, {name}")
    return Found(digest, signer)


def _unlogged(signature: Signature, signer: bytes, logs: Sequence[PublicKey]) -> _Failure | None:
    """What is wrong with the transparency log's entry of a signature; None if nothing is."""
    entry = signature.entry
    if entry is None:
        return _Failure(2, "the signature has no entry of a transparency log")
    if not entry.is_about(signature.signature, signature.payload, signature.signed, signer):
        return _Failure(2, "the transparency log's entry is about another signature")
    if entry.is_promised(logs) or entry.is_included(logs):
        return None
    return _Failure(2, "the transparency log's entry is not signed by the log that is required")


def _times(signature: Signature, instance: TrustedRoot) -> tuple[int, ...] | _Failure:
    """When the signature was there, in seconds since 1970: as the log promises, and as timestamp
    authorities say. At least one time, or why there is none."""
    entry = signature.entry
    # A proof of inclusion covers no time.
    promised = (entry.time,) if entry and entry.is_promised(instance.logs) else ()
    if promised and not instance.timestamps:
        return promised
    found = stamped(signature.timestamps, signature.signature, instance.timestamps)
    if promised or found.times:
        return (*promised, *found.times)
    return _Failure(
        2, f"nobody says when it was signed: the log's entry has no signed time, and {found.reason}"
    )


def _shown(signer: Signer) -> str:
    return f"{' '.join(signer.subjects)[:200]} ({signer.issuer[:200]})"


def _public_key(material: Material) -> PublicKey:
    return PublicKey(_data(material), material.path or material.place)


def _authority(materials: tuple[Material, ...]) -> Authority:
    found: list[Any] = []
    for material in materials:
        try:
            found += read_certificates(_data(material))
        except ValueError as error:
            _refuse(material, "it holds no certificates in PEM", error)
    return authority_of(found)


def _trusted_root(material: Material) -> TrustedRoot:
    try:
        return read_trusted_root(_data(material, limit=1 << 20))
    except ValueError as error:
        _refuse(material, f"it is no trusted root of sigstore: {error}", error)


def _data(material: Material, *, limit: int = MAX_KEY) -> bytes:
    return read_file(Path(material.path), limit) if material.path else material.data


def _refuse(material: Material, reason: str, error: Exception) -> NoReturn:
    raise ImageError(
        "signature-key",
        f"what signers are checked with cannot be used: {reason}",
        place=material.path or material.place,
        hint="Correct the policy, or the file that it names.",
    ) from error
