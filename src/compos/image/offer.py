"""What a source of images offers: the only shape in which an image gets to the door (`image.door`).

May touch: the store, through `CarriedDocuments`. A source knows where images come from and how to
bring their blobs into the store. It selects no platform, believes nothing and names nothing: the
door does that, for all sources alike.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from compos.errors import NotStored, StoreDamaged, WrongContent
from compos.image.digest import Digest, digest_of
from compos.image.model import Descriptor
from compos.image.names import Origin
from compos.image.platform import Platform
from compos.image.reference import Reference
from compos.image.store import Store

if TYPE_CHECKING:
    from compos.image.registries.registry import Registry

__all__ = [
    "CarriedDocuments",
    "Carrier",
    "ImageSource",
    "Offer",
    "Required",
    "Signer",
    "Trust",
    "Wanted",
]


class Wanted(NamedTuple):
    """An image that a build asks for: its canonical name, or that of an image of this machine.

    `platforms` are never empty; there is one unless the image is wanted `as_published`, with its
    index and all of these platforms.
    """

    text: str
    platforms: tuple[Platform, ...]
    as_published: bool = False

    @property
    def reference(self) -> Reference:
        """The name as a reference; raises `ImageError` (`image-reference`)."""
        return Reference.parse(self.text)

    @property
    def platform(self) -> Platform:
        """The only platform, or the first."""
        return self.platforms[0]


class Carrier(Protocol):
    """Brings the blobs of one image from where it was found."""

    def document(self, blob: Descriptor) -> bytes:
        """A manifest or an index; raises `ImageError` (`BlobMissing` when it is not there), or
        `NetworkError`."""

    def fetch(self, blobs: Sequence[Descriptor]) -> None:
        """Have the store hold all `blobs`, which it lacks. Raises as `document` does."""


class Required(Protocol):
    """Who must have signed an image (`compos.trust`)."""

    @property
    def fingerprint(self) -> str:
        """What the store remembers of the signer."""

    def require(self, reference: Reference, digest: Digest) -> None:
        """Raise `ImageError` (`image-signature`) unless they signed `digest` as `reference`."""


class Signer(Protocol):
    """Who must have signed the bricks of a registry (`compos.trust`)."""

    @property
    def fingerprint(self) -> str:
        """What the store remembers of them."""

    def required(
        self, registry: Registry, store: Store, reference: Reference, digest: Digest
    ) -> Required:
        """What must hold for `digest`, which the registry has as `reference`."""


class Trust(Protocol):
    """The policies that images must satisfy (`compos.trust`)."""

    def require(self, offer: Offer, platform: Platform, digests: Sequence[Digest]) -> Digest:
        """The first of `digests` (an index; the manifest that it leads to) that is trusted. Raises
        `ImageError` (`image-signature`, `image-untrusted`, …)."""


class Offer(NamedTuple):
    """An image that a source has: not looked at yet, and not believed.

    `asked` is the name that it is offered for; `root` a manifest, or the index above it. Without an
    `origin` the store had it under that name already, and without a `carrier` it has all of its
    blobs. The store keeps the image as `kept_as` (by default `asked`). An image that its source
    does not call `asked` has a `title`, which is completed by the manifest's digest. `may_be_brick`
    lets it have a name that is kept for our bricks. With `signed`, its root must have been signed.
    `beside` are the manifests that lie beside it, among them its signatures.
    """

    asked: str
    root: Descriptor
    origin: Origin | None = None
    carrier: Carrier | None = None
    kept_as: str = ""
    title: str = ""
    may_be_brick: bool = False
    signed: Required | None = None
    beside: Callable[[], Iterable[Descriptor]] | None = None


class ImageSource(Protocol):
    """Somewhere that images come from: the store, files, an engine, recipes, a registry."""

    def offers(self, wanted: Wanted) -> Generator[Offer, None, None]:
        """What there is, the best first; nothing when the name is not this source's business.

        The iterator is closed when no more offers are wanted: what an offer's carrier reads from
        stays open until then. Raises `ComposError` when nobody else should be asked either. Several
        threads may ask.
        """


class CarriedDocuments:
    """The documents of an image (`selection.Documents`), from the store or else from a carrier;
    they are then in the store."""

    def __init__(self, store: Store, carrier: Carrier | None) -> None:
        self._store = store
        self._carrier = carrier

    def document(self, blob: Descriptor) -> bytes:
        """A manifest or an index, verified; raises `ImageError`, or `NetworkError`."""
        try:
            return self._store.read(blob.digest)
        except (NotStored, StoreDamaged):
            if self._carrier is None:
                raise
            data = verified(blob, self._carrier.document(blob))
            self._store.put(data, blob.media_type)
            return data

    def config(self, blob: Descriptor) -> bytes:
        """An image's config, verified; raises `ImageError`, or `NetworkError`."""
        try:
            return self._store.read(blob.digest)
        except (NotStored, StoreDamaged):
            if self._carrier is None:
                raise
            self._carrier.fetch([blob])
            return self._store.read(blob.digest)


def verified(blob: Descriptor, data: bytes) -> bytes:
    """`data`, if it is what `blob` describes; raises `WrongContent` (`digest-mismatch`)."""
    if (found := digest_of(data)) != blob.digest:
        raise WrongContent(
            "digest-mismatch",
            f"{blob.digest.path} has the digest {found}, not {blob.digest}",
            hint="Save or push the image again: this copy is damaged.",
        )
    return data
