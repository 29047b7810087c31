"""Where a registry has the signatures and attestations of an image: as cosign puts them, in a
manifest beside it that is tagged with the image's digest (`sha256-….sig`, `.att`), and as sigstore
bundles and such manifests that refer to it.

May touch: the network, through `registry`, and the store. Sources: cosign's "Signature
Specification", "Storage", and "Bundle Format: OCI Referrers".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from compos.errors import ImageNotFound
from compos.image.digest import Digest
from compos.image.json_document import canonical_json
from compos.image.model import CONFIG, MANIFEST, Descriptor, Manifest, parse_document
from compos.image.offer import CarriedDocuments, Carrier
from compos.image.reference import Reference
from compos.image.registries.push import push_root
from compos.image.registries.referrers import attach, referrers
from compos.image.registries.registry import Registry
from compos.image.store import Store
from compos.trust.bundle import BUNDLE_TYPE
from compos.trust.dsse import SIGN
from compos.trust.evidence import (
    MAX_BUNDLE,
    SIGNATURE,
    Signature,
    from_annotations,
    from_bundle,
    from_envelope,
)
from compos.trust.keys import SigningKey
from compos.trust.simple_signing import MAX_PAYLOAD, payload_of

__all__ = [
    "ATTESTATION",
    "DSSE",
    "MAX_SIGNATURES",
    "SIGNATURE_TAG",
    "Attached",
    "attached_to",
    "attestations",
    "beside",
    "beside_manifest",
    "is_bundle",
    "push_attached",
    "push_beside",
    "push_bundle",
    "push_signature",
    "signatures_of_layers",
    "signatures_of_registry",
]

SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
DSSE = "application/vnd.dsse.envelope.v1+json"
_BUNDLES = "application/vnd.dev.sigstore.bundle"

PREDICATE = "dev.sigstore.bundle.predicateType"
"""The annotation of a bundle's manifest that says what its statement is of."""

SIGNATURE_TAG, ATTESTATION = "sig", "att"
"""How tags beside an image end."""

MAX_SIGNATURES = 64
"""Signatures of one image that are looked at; each is a download."""


class Attached(NamedTuple):
    """A layer of a manifest beside an image: not checked."""

    media_type: str
    data: bytes
    annotations: Mapping[str, str]

    def signatures(self) -> Iterator[Signature]:
        """The signatures in it."""
        if self.media_type == SIMPLE_SIGNING:
            yield from_annotations(self.data, self.annotations)
        elif self.media_type == DSSE:
            yield from from_envelope(self.data, self.annotations)
        elif self.media_type.startswith(_BUNDLES):
            yield from from_bundle(self.data)


def is_bundle(one: Attached) -> bool:
    """Whether it is a sigstore bundle, which refers to an image."""
    return one.media_type.startswith(_BUNDLES)


def signatures_of_registry(
    registry: Registry, store: Store, reference: Reference, digest: Digest
) -> Iterator[Attached]:
    """What signs `digest` at the registry of `reference`; what is tagged comes first. Raises
    `ImageError`, `NetworkError`."""
    yield from _fetched(registry, store, beside(reference, digest, SIGNATURE_TAG), MAX_PAYLOAD)
    yield from _referring(registry, store, reference, digest, SIGN, MAX_PAYLOAD)


def attached_to(store: Store, manifest: Descriptor, carrier: Carrier | None) -> Iterator[Attached]:
    """The signatures in a manifest that lies beside an image, brought by `carrier`; nothing if it
    is another image's. Raises `ImageError`."""
    documents = CarriedDocuments(store, carrier)
    _, document = parse_document(documents.document(manifest), media_type=manifest.media_type)
    if not isinstance(document, Manifest):
        return
    for layer in signatures_of_layers(document.layers, MAX_PAYLOAD):
        yield Attached(layer.media_type, documents.config(layer), layer.annotations)


def attestations(
    registry: Registry, store: Store, reference: Reference, digest: Digest, predicate_type: str
) -> Iterator[Attached]:
    """What may be attested of `digest` at the registry of `reference`, of a type of predicate.
    Raises as `signatures_of_registry` does."""
    yield from _fetched(registry, store, beside(reference, digest, ATTESTATION), MAX_BUNDLE)
    yield from _referring(registry, store, reference, digest, predicate_type, MAX_BUNDLE)


def signatures_of_layers(layers: tuple[Descriptor, ...], limit: int) -> list[Descriptor]:
    """The layers that may be signatures or attestations, of at most `limit` bytes."""
    return [
        layer
        for layer in layers
        if (layer.media_type in (SIMPLE_SIGNING, DSSE) or layer.media_type.startswith(_BUNDLES))
        and layer.digest.is_verifiable
        and layer.size <= limit
    ][:MAX_SIGNATURES]


def push_signature(
    registry: Registry, store: Store, reference: Reference, digest: Digest, key: SigningKey
) -> bool:
    """Sign `digest`, which the registry has as `reference`; other signatures of it stay. Returns
    whether there was anything to do. Raises `ImageError`, `NetworkError`."""
    import base64

    payload = payload_of(reference, digest)
    there = _layers(registry, beside(reference, digest, SIGNATURE_TAG))
    blob = store.put(payload, SIMPLE_SIGNING)
    for one in there:
        # Not every key makes the same signature twice.
        made = from_annotations(payload, one.annotations).signature
        if one.digest == blob.digest and key.public.made(made, payload):
            return False
    annotations = {SIGNATURE: base64.b64encode(key.sign(payload)).decode()}
    layer = Descriptor(SIMPLE_SIGNING, blob.digest, blob.size, annotations)
    push_beside(registry, store, reference, digest, SIGNATURE_TAG, layer)
    return True


def push_beside(
    registry: Registry,
    store: Store,
    reference: Reference,
    digest: Digest,
    kind: str,
    layer: Descriptor,
) -> None:
    """Add `layer`, which the store has, to the manifest beside `digest`. Raises `ImageError`,
    `NetworkError`."""
    at = beside(reference, digest, kind)
    made, _ = beside_manifest(store, [*_layers(registry, at), layer])
    push_root(store, made, registry=registry, target=str(at))


def beside_manifest(store: Store, layers: list[Descriptor]) -> tuple[Descriptor, Descriptor]:
    """The manifest that lies beside an image, with what is made of it, and its config; the store
    has them then."""
    config = store.put(canonical_json(_config(layers)), CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.to_json(),
        "layers": [one.to_json() for one in layers],
    }
    return store.put(canonical_json(manifest), MANIFEST), config


def push_bundle(
    registry: Registry,
    store: Store,
    reference: Reference,
    subject: Digest,
    bundle: bytes,
    predicate_type: str,
) -> bool:
    """Attach a sigstore bundle to `subject`, as an artifact that refers to it. Returns whether
    there was anything to do. Raises `ImageError`, `NetworkError`."""
    known = _referring(registry, store, reference, subject, predicate_type, MAX_BUNDLE)
    if any(one.data == bundle for one in known):
        return False
    attach(
        registry,
        store,
        reference._replace(tag="", digest=subject),
        artifact_type=BUNDLE_TYPE,
        layers=[store.put(bundle, BUNDLE_TYPE)],
        annotations={"dev.sigstore.bundle.content": "dsse-envelope", PREDICATE: predicate_type},
    )
    return True


def push_attached(
    registry: Registry, store: Store, reference: Reference, subject: Digest, one: Attached
) -> bool:
    """Attach a signature of `subject` that was found elsewhere. Returns whether there was anything
    to do. Raises `ImageError`, `NetworkError`."""
    if is_bundle(one):
        return push_bundle(registry, store, reference, subject, one.data, SIGN)
    blob = store.put(one.data, one.media_type)
    layer = Descriptor(one.media_type, blob.digest, blob.size, dict(one.annotations))
    there = _layers(registry, beside(reference, subject, SIGNATURE_TAG))
    if any((at.digest, at.annotations) == (layer.digest, layer.annotations) for at in there):
        return False
    push_beside(registry, store, reference, subject, SIGNATURE_TAG, layer)
    return True


def beside(reference: Reference, digest: Digest, kind: str) -> Reference:
    """The tag beside an image that has what is made of it, of a kind."""
    return reference._replace(tag=f"{digest.replace(':', '-')}.{kind}", digest="")


def _referring(
    registry: Registry,
    store: Store,
    reference: Reference,
    digest: Digest,
    predicate_type: str,
    limit: int,
) -> Iterator[Attached]:
    """The layers of what refers to `digest`, unless it says that it is of another type."""
    listed = [
        one
        for one in referrers(registry, reference, digest)
        if one.annotations.get(PREDICATE, predicate_type) == predicate_type
    ]
    for one in listed[:MAX_SIGNATURES]:
        at = reference._replace(tag="", digest=one.digest)
        yield from _fetched(registry, store, at, limit)


def _fetched(registry: Registry, store: Store, at: Reference, limit: int) -> Iterator[Attached]:
    for layer in signatures_of_layers(tuple(_layers(registry, at)), limit):
        if not store.has(layer.digest, layer.size):
            registry.download(at, layer, store)
        yield Attached(layer.media_type, store.read(layer.digest), layer.annotations)


def _layers(registry: Registry, at: Reference) -> list[Descriptor]:
    """The layers of a manifest beside an image; none if there is none."""
    try:
        root, data = registry.manifest(at)
    except ImageNotFound:
        return []
    _, document = parse_document(data, media_type=root.media_type)
    return [*document.layers] if isinstance(document, Manifest) else []


def _config(layers: list[Descriptor]) -> dict[str, object]:
    """An image's config, which registries want of a manifest."""
    diff_ids = [layer.digest for layer in layers]
    return {
        "architecture": "",
        "os": "",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
