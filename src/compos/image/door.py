"""The one door for images: whatever brought an image, what must hold for it is checked here.

May touch: the store. In this order: may the image have its name (`image.names`); is its root signed
by whoever must have signed it (`compos.trust`); is there a manifest for the platform, and can it
be used (`image.selection`); is every blob there, with the right digest (but for layers that the
remote cache makes up for until they are read); what its index attests comes along if it can be had;
then the store lets the name stand for it. Of an image that is not trusted nothing but its manifests
is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from compos.errors import (
    BlobMissing,
    ImageError,
    Interrupted,
    NetworkError,
    NotStored,
    StoreError,
    WrongContent,
)
from compos.image.attestation import attestation_blobs
from compos.image.digest import Digest
from compos.image.layout import ImageLayout, read_layout, require_platforms
from compos.image.model import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    Image,
    ImageConfig,
    Manifest,
    parse_document,
)
from compos.image.names import LOCK, REGISTRY, bind, entry_of, require_free
from compos.image.offer import CarriedDocuments, Offer, Trust, verified
from compos.image.platform import Platform
from compos.image.reference import Reference
from compos.image.selection import image_config, select_manifest
from compos.image.store import Store
from compos.progress import notice

__all__ = ["admit", "admit_layout", "attest", "stored_image"]

_DOCUMENT_TYPES = (*INDEX_TYPES, *MANIFEST_TYPES)


def admit(store: Store, offer: Offer, platform: Platform, *, trust: Trust | None = None) -> Image:
    """The image for `platform` that `offer` leads to, complete in the store, and named there. It
    must satisfy the policies of `trust`.

    Raises `ImageError`: `name-reserved`, `image-platform`, `image-media-type`, `image-malformed`,
    `store-missing` and `store-corrupt` when blobs are not there; and what the offer's carrier
    raises, such as `NetworkError`.
    """
    with _placed(offer):
        _require_name(offer)
        _require_signature(offer)
        documents = CarriedDocuments(store, offer.carrier)
        selected = select_manifest(offer.asked, offer.root, platform, documents)
        digests = _different(offer.root.digest, selected.descriptor.digest)
        if trust is not None and trust.require(offer, platform, digests) != digests[0]:
            # Nobody signed what the index attests.
            selected = selected._replace(attestations=())
        selected.manifest.require_usable(offer.asked)
        config = image_config(offer.asked, selected, platform, documents)
        if not _may_stay_away(store, offer, selected.descriptor.digest, selected.manifest.layers):
            _complete(store, offer, selected.manifest.layers)
        attest(store, offer, selected.attestations)
        _name(store, offer, platform)
    manifest = selected.manifest
    digest = selected.descriptor.digest
    return Image(
        _full_name(offer, digest),
        digest,
        config,
        manifest.layers,
        manifest.config.digest,
        selected.attestations,
    )


def admit_layout(
    store: Store,
    offer: Offer,
    platforms: Sequence[Platform] | None,
    default: Platform,
    *,
    trust: Trust | None = None,
) -> ImageLayout:
    """The image as `offer` has it, with its index, for `platforms` (all of them when None),
    complete in the store, and named there. Its root must satisfy the policies of `trust`. Raises as
    `admit` does."""
    with _placed(offer):
        _require_name(offer)
        _require_signature(offer)
        if trust is not None:
            trust.require(offer, default, (offer.root.digest,))
        documents = CarriedDocuments(store, offer.carrier)
        name = offer.asked
        if offer.title:
            first = (*(platforms or ()), default)[0]
            selected = select_manifest(name, offer.root, first, documents)
            name = _full_name(offer, selected.descriptor.digest)
        layout = read_layout(name, offer.root, platforms, documents)
        _complete(
            store, offer, [blob for blob in layout.blobs if blob.media_type not in _DOCUMENT_TYPES]
        )
        if offer.root.media_type in MANIFEST_TYPES:
            _, manifest = parse_document(
                store.read(offer.root.digest), media_type=offer.root.media_type
            )
            if isinstance(manifest, Manifest):
                config = ImageConfig.from_bytes(store.read(manifest.config.digest))
                require_platforms(layout, platforms, config.platform)
        _name(store, offer, default)
    return layout


def attest(
    store: Store, offer: Offer, manifests: Sequence[Descriptor]
) -> ImageError | NetworkError | None:
    """Have the store hold the attestation `manifests` of an image, and what they name.

    An image does without what cannot be fetched, but not with what is wrong. Returns what prevented
    it, which has been reported. Raises `ImageError` (`digest-mismatch`, `store-full`, …).
    """
    carrier = offer.carrier
    if carrier is None:
        return None
    for manifest in manifests:
        try:
            if store.has(manifest.digest):
                data = store.read(manifest.digest)
            else:
                data = verified(manifest, carrier.document(manifest))
            lacking = _lacking(store, attestation_blobs(data, offer.asked))
            if lacking:
                carrier.fetch(lacking)
            # Stored last: if it is there, so is what it names.
            store.put(data, manifest.media_type)
        except (StoreError, WrongContent, Interrupted):
            raise
        except BlobMissing:
            # Tools that save an image may leave out what is attested of it.
            continue
        except (ImageError, NetworkError) as error:
            notice(f"{offer.asked}: its SBOM cannot be fetched: {error.message}")
            return error
    return None


def _different(root: Digest, manifest: Digest) -> tuple[Digest, ...]:
    return (root,) if root == manifest else (root, manifest)


def stored_image(store: Store, name: str, root: Descriptor, platform: Platform) -> Image:
    """The image for `platform` that `root`, which the store has as `name`, leads to. Raises as
    `admit` does."""
    return admit(store, Offer(name, root), platform)


@contextmanager
def _placed(offer: Offer) -> Iterator[None]:
    """Errors say which image they are about, as the user named it."""
    try:
        yield
    except ImageError as error:
        place = error.place or ""
        if not place:
            error.place = offer.asked
        elif offer.title and not place.startswith(offer.asked):
            error.place = f"{offer.asked}: {place}"
        raise


def _require_name(offer: Offer) -> None:
    """Only an image from elsewhere could have a name that is not its own."""
    if offer.origin is None or offer.may_be_brick or offer.title:
        return
    require_free(Reference.parse(offer.asked), offer.origin)


def _require_signature(offer: Offer) -> None:
    if offer.signed is not None:
        offer.signed.require(Reference.parse(offer.asked), offer.root.digest)


def _may_stay_away(store: Store, offer: Offer, digest: str, layers: Sequence[Descriptor]) -> bool:
    """Whether the layers of a published image, or of one of our bricks, need not be here as long as
    nobody reads them."""
    if store.elsewhere is None or offer.title or not _lacking(store, layers):
        return False
    if offer.origin is not None and offer.origin.kind not in (REGISTRY, LOCK):
        return False
    return store.elsewhere.defers_image(offer.asked, digest, layers)


def _lacking(store: Store, blobs: Sequence[Descriptor]) -> list[Descriptor]:
    return [blob for blob in dict.fromkeys(blobs) if not store.has(blob.digest, blob.size)]


def _complete(store: Store, offer: Offer, blobs: Sequence[Descriptor]) -> None:
    """See that the store holds all `blobs`."""
    if offer.carrier is not None:
        blobs = _lacking(store, blobs)
        if blobs:
            offer.carrier.fetch(blobs)
    for blob in blobs:
        try:
            store.require(blob.digest, blob.size)
        except NotStored as error:
            raise NotStored(
                "store-missing",
                "a layer of the image is missing from the image store or has a different size",
                place=f"{offer.asked}: {blob.digest}",
                hint="Fetch it again with --pull.",
            ) from error


def _name(store: Store, offer: Offer, platform: Platform) -> None:
    """Let the store's name stand for what has been admitted."""
    if offer.origin is None:
        return
    name = offer.kept_as or offer.asked
    signer = offer.signed.fingerprint if offer.signed else ""
    known = entry_of(store, name, platform, signer)
    if known is None or known.digest != offer.root.digest:
        bind(store, name, offer.root, offer.origin, signer)


def _full_name(offer: Offer, digest: str) -> str:
    return f"{offer.title}@{digest}" if offer.title else offer.asked
