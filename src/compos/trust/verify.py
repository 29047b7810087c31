"""Verifying on request: who signed an image or a file, and what is attested of it.

May touch: the network, through `repository`; the store; files (reading).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from compos.errors import ImageError
from compos.image.archives.local import LocalImages
from compos.image.offer import CarriedDocuments
from compos.image.offer import Wanted as WantedImage
from compos.image.platform import Platform
from compos.image.reference import Reference, is_local
from compos.image.registries.published import PublishedImages
from compos.image.registries.registry import Registry
from compos.image.selection import select_manifest
from compos.image.store import Store
from compos.trust.attachments import attestations
from compos.trust.dsse import IN_TOTO, statement_of
from compos.trust.evidence import MAX_BUNDLE, Signature, from_bundle, from_file_bundle
from compos.trust.guard import Guard
from compos.trust.identity import (
    ANY_NAME,
    MATCH_REPO_DIGEST_OR_EXACT,
    MATCH_REPOSITORY,
    SignedIdentity,
    expanded,
)
from compos.trust.judge import Found, Judge, Wanted
from compos.trust.key_sources import ENVIRONMENT, public_key
from compos.trust.pkcs11 import SCHEME
from compos.trust.policy import Certified, Material, Policy, Signed
from compos.trust.sign import Repository, bundle_path, opened

__all__ = ["Verified", "required_of", "verify_attestation", "verify_file", "verify_image"]


_NAMES = {
    "repository": MATCH_REPOSITORY,
    "exact": MATCH_REPO_DIGEST_OR_EXACT,
    "any": ANY_NAME,
}


class Verified(NamedTuple):
    """A digest, who signed it, and the predicate that is attested of it, if that was asked for."""

    digest: str
    signer: str
    predicate: Any = None


def required_of(
    keys: Sequence[str],
    identity: str | None,
    issuer: str | None,
    trusted_root: str | None,
    log_keys: Sequence[str],
    signed_name: str,
) -> Signed:
    """What must hold, as flags say it."""
    certified = Certified(
        issuer=issuer or "",
        subject=identity or "",
        trusted_root=Material(path=trusted_root) if trusted_root else None,
    )
    return Signed(
        tuple(_material(one) for one in keys),
        (certified,) if identity else (),
        tuple(_material(one) for one in log_keys),
        SignedIdentity(_NAMES[signed_name]),
    )


def _material(name: str) -> Material:
    if name.startswith((ENVIRONMENT, SCHEME)):
        return Material(data=public_key(name).pem, place=name)
    return Material(path=name)


def verify_image(
    store: Store, registry: Callable[[], Registry], name: str, required: Signed | Guard
) -> Verified:
    """Who signed an image: as its registry has it, or in a folder or file of this machine. Nothing
    of it is taken into the store but manifests. Raises as the door does (`image.door.admit`)."""
    guard = required
    if isinstance(guard, Signed):
        guard = Guard(store, [Policy((guard,), {}, "the options")], registry)
    platform = Platform.host()
    wanted = WantedImage(name if is_local(name) else str(Reference.parse(name)), (platform,))
    source = (
        LocalImages(store) if is_local(name) else PublishedImages(store, registry, reserved=True)
    )
    with closing(source.offers(wanted)) as offers:
        offer = next(offers)
        digests = [offer.root.digest]
        documents = CarriedDocuments(store, offer.carrier)
        selected = select_manifest(name, offer.root, platform, documents).descriptor.digest
        digests += [selected] if selected not in digests else []
        digest = guard.require(offer, platform, digests)
    signer = ", ".join(guard.signers.get(digest, ())) or "accepted without a signature"
    return Verified(digest, signer)


def verify_attestation(
    repository: Repository, reference: Reference, required: Signed, predicate_type: str
) -> Verified:
    """What is attested of the image that the registry has as `reference`. Raises `ImageError`
    (`image-signature`), `NetworkError`."""
    root = repository.root(reference)
    wanted = Wanted(expanded(reference), (root.digest,), predicate_type)
    passed: list[Signature] = []

    def signatures() -> Iterator[Signature]:
        for one in attestations(*repository, reference, root.digest, predicate_type):
            for signature in one.signatures():
                passed.append(signature)
                yield signature

    verdict = Judge().require(required, wanted, signatures())
    if not isinstance(verdict, Found):
        raise _untrusted(verdict, f"{reference}@{root.digest}")
    # The last one that was looked at is the one that served.
    return Verified(verdict.digest, verdict.signer, _predicate(passed[-1]))


def verify_file(
    path: Path, required: Signed, *, bundle: Path | None = None, kind: str = "", predicate: str = ""
) -> Verified:
    """Who signed a file, by the bundle beside it (or `bundle`); or who attested a `predicate` of
    it. Raises `ImageError` (`image-signature`, `signature-bundle`), `OutputError`
    (`file-read`)."""
    beside = bundle or bundle_path(path, kind)
    with opened(path) as content:
        digest = hashlib.sha256(content).digest()
        data = _bundle(beside)
        name = f"sha256:{digest.hex()}"
        required = required._replace(identity=SignedIdentity(ANY_NAME))
        wanted = Wanted(None, (name,), predicate)
        if predicate:
            signatures = [*from_bundle(data)]
            verdict = Judge().require(required, wanted, signatures)
        else:
            signatures = [*from_file_bundle(data, content, digest)]
            verdict = Judge().require_bytes(required, name, signatures)
    if not isinstance(verdict, Found):
        raise _untrusted(verdict, str(path))
    return Verified(name, verdict.signer, _predicate(signatures[0]) if predicate else None)


def _bundle(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BUNDLE)
    except OSError as error:
        raise ImageError(
            "signature-bundle",
            f"there is no signature of the file: {error.strerror}",
            place=str(path),
            hint="Sign it with `compos sign`, or name the bundle with --bundle.",
        ) from error


def _predicate(signature: Signature) -> Any:
    statement = statement_of(signature.payload) if signature.type == IN_TOTO else None
    return statement.predicate if statement else None


def _untrusted(reason: str, place: str) -> ImageError:
    return ImageError(
        "image-signature",
        f"it is not trusted: {reason}",
        place=place,
        hint="Use the public key or identity of whoever published it.",
    )
