"""Signatures that travel with images in archives and layouts: as `cosign save` lays them beside an
image, as manifests that are tagged with its digest, and as artifacts that refer to it.

May touch: the store; the archive that it is given (reading); the network, through a registry's
client, for signatures that the store does not keep. Sources: cosign's `pkg/oci/layout`
(annotations of `index.json`); the OCI image specification ("Image Layout").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from compos.errors import ImageError
from compos.image.archives.archive import Archive
from compos.image.archives.layout_index import COSIGN, COSIGN_KIND, entries_of
from compos.image.digest import Digest
from compos.image.model import Descriptor, ImageIndex, Manifest, parse_document
from compos.image.offer import verified
from compos.image.reference import Reference
from compos.image.registries.referrers import artifact
from compos.image.registries.registry import Registry
from compos.image.store import REF_NAME, Store
from compos.trust.attachments import (
    MAX_SIGNATURES,
    SIGNATURE_TAG,
    Attached,
    beside,
    beside_manifest,
    is_bundle,
    push_attached,
    signatures_of_layers,
    signatures_of_registry,
)
from compos.trust.kept import keep, kept
from compos.trust.simple_signing import MAX_PAYLOAD

__all__ = ["Travelling", "import_signatures", "push_signatures", "travelling_signatures"]

MAX_BESIDE = 256
"""Manifests of an archive that are looked at."""


def import_signatures(store: Store, archive: Archive, names: Sequence[str]) -> int:
    """Have the store keep the signatures in an archive that are of its images `names`, which the
    store has; returns how many are new. What is damaged is none. Raises `ImageError`."""
    if not archive.has("index.json"):
        return 0
    signed: dict[str, Digest] = {}
    for name in names:
        root = store.named(name)
        for digest in _digests(store, root):
            signed.setdefault(digest, root.digest)
    found: dict[Digest, list[Attached]] = {}
    count = 0
    for one in _attached(archive):
        for whole in {signed[digest] for digest in _claimed(one) if digest in signed}:
            known = found.setdefault(whole, [*kept(store, whole)])
            if one not in known and len(known) < MAX_SIGNATURES:
                known.append(one)
                count += 1
    for whole, attached in found.items():
        keep(store, whole, attached)
    return count


def _digests(store: Store, root: Descriptor) -> Iterator[str]:
    """What may be signed of an image: its root, and the manifests of an index."""
    yield root.digest
    _, document = parse_document(store.read(root.digest), media_type=root.media_type)
    if isinstance(document, ImageIndex):
        yield from (one.digest for one in document.images())


def _attached(archive: Archive) -> Iterator[Attached]:
    """What may be signatures in an archive."""
    entries = entries_of(archive)
    listed = [*entries.images()]
    # Lists of referrers, where a registry without their API has them under a tag.
    for one in entries.inner():
        if one.annotations.get(REF_NAME, "").rpartition(":")[2].startswith("sha256-"):
            document = _document(archive, one)
            listed += document.images() if isinstance(document, ImageIndex) else ()
    for one in listed[:MAX_BESIDE]:
        document = _document(archive, one)
        layers = document.layers if isinstance(document, Manifest) else ()
        for layer in signatures_of_layers(layers, MAX_PAYLOAD):
            with suppress(ImageError):
                data = verified(layer, archive.document(layer.digest.path))
                yield Attached(layer.media_type, data, layer.annotations)


def _document(archive: Archive, one: Descriptor) -> ImageIndex | Manifest | None:
    """None for what cannot be read: that is no signature."""
    try:
        data = verified(one, archive.document(one.digest.path))
        return parse_document(data, media_type=one.media_type)[1]
    except ImageError:
        return None


def push_signatures(store: Store, registry: Registry, name: str, target: Reference) -> int:
    """Have the registry hold the signatures that the store keeps of the image `name`, beside the
    image that it has as `target`; returns how many are new there. Those of platforms that it does
    not have are left out. Raises `ImageError`, `NetworkError`."""
    root = store.named(name)
    subjects = {*_digests(store, root)}
    count = 0
    for one in kept(store, root.digest):
        for digest in sorted(_claimed(one) & subjects):
            subject = Digest(digest)
            if registry.exists(target._replace(tag="", digest=subject), actions="pull,push"):
                count += push_attached(registry, store, target, subject, one)
    return count


class Travelling(NamedTuple):
    """An image as it travels with its signatures: its `root`, which is what was signed, and the
    entries of `index.json` beside it, with the blobs that they need."""

    root: Descriptor
    entries: tuple[Descriptor, ...]
    blobs: tuple[Digest, ...]


def travelling_signatures(
    store: Store, registry: Callable[[], Registry], name: str, manifest: Descriptor
) -> Travelling:
    """The signatures of the image `name` of the store, or of its `manifest` for a platform: those
    that the store keeps, else those that its registry has. Raises `ImageError`
    (`export-signatures` if there is none), `NetworkError`."""
    root, reference = store.named(name).plain, Reference.parse(name)
    found = [*kept(store, root.digest)]
    if not found:
        client = registry()
        for digest in dict.fromkeys((root.digest, manifest.digest)):
            found += signatures_of_registry(client, store, reference, digest)
    entries: list[Descriptor] = []
    blobs: list[Digest] = []
    for subject in (root, manifest):
        of_subject = [one for one in found if subject.digest in _claimed(one)]
        if not of_subject:
            continue
        for entry, needed in _entries(store, reference, subject.plain, of_subject):
            entries.append(entry)
            blobs += needed
        whole = _annotated(subject, "imageIndex" if subject.digest != manifest.digest else "image")
        return Travelling(whole, tuple(entries), tuple(dict.fromkeys(blobs)))
    raise ImageError(
        "export-signatures",
        "neither the store nor the registry has a signature of the image",
        place=f"{name}@{root.digest}",
        hint="Sign it at its registry with `compos sign`, or leave out --signatures.",
    )


def _claimed(one: Attached) -> set[str]:
    claims = [claim for signature in one.signatures() if (claim := signature.claim())]
    return {digest for claim in claims for digest in claim.digests}


def _entries(
    store: Store, reference: Reference, subject: Descriptor, attached: Sequence[Attached]
) -> Iterator[tuple[Descriptor, list[Digest]]]:
    """Entries of `index.json` with signatures of `subject`, and the blobs of each."""
    layers = [
        Descriptor(one.media_type, blob.digest, blob.size, dict(one.annotations))
        for one in attached
        if not is_bundle(one)
        for blob in (store.put(one.data, one.media_type),)
    ]
    if layers:
        made, config = beside_manifest(store, layers)
        tag = str(beside(reference, subject.digest, SIGNATURE_TAG))
        blobs = [made.digest, config.digest, *(layer.digest for layer in layers)]
        yield _annotated(made, "sigs", {REF_NAME: tag}), blobs
    for one in attached:
        if not is_bundle(one):
            continue
        layer = store.put(one.data, one.media_type)
        made, config = artifact(store, subject, one.media_type, [layer])
        # cosign knows no such kind, and passes over it.
        entry = _annotated(made._replace(artifact_type=one.media_type), "bundle")
        yield entry, [made.digest, config.digest, layer.digest]


def _annotated(one: Descriptor, kind: str, more: dict[str, str] | None = None) -> Descriptor:
    return one._replace(annotations={COSIGN_KIND: f"{COSIGN}{kind}", **(more or {})})
