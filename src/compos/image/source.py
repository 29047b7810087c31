"""Images for a build: each source is asked in turn, and what it offers goes through the door.

May touch: the store and the network, through the sources. The order is: files of this machine for
names that say so; else what the user asked to look at first, such as the Docker engine; the store;
makers, such as our bricks' recipes; the registry. Differs from LinuxKit on purpose: every layer
must be there (docs/linuxkit.md#N3), a single manifest must be for the wanted platform
(docs/linuxkit.md#N23), only that platform is fetched (docs/linuxkit.md#N25).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

from compos.errors import (
    CombinedError,
    ComposError,
    ImageError,
    ImageNotFound,
    NetworkError,
    StoreDamaged,
    Unauthorized,
)
from compos.image.attestation import attested
from compos.image.door import admit, admit_layout, attest
from compos.image.layout import ImageLayout
from compos.image.model import Descriptor, Image
from compos.image.names import entry_of
from compos.image.offer import ImageSource, Offer, Signer, Trust, Wanted
from compos.image.platform import Platform
from compos.image.reference import Reference, is_local
from compos.image.registries.published import PublishedImages
from compos.image.store import Store
from compos.progress import notice, threads

if TYPE_CHECKING:
    from compos.image.registries.registry import Registry

__all__ = ["Images", "Pins", "StoredImages", "canonical_name"]

_Admitted = TypeVar("_Admitted", Image, ImageLayout)

_ARENA_MAX = -8
"""M_ARENA_MAX (malloc.h)."""

_IMAGES_AT_ONCE = 4


class StoredImages:
    """The images that the store has by name; of our bricks, with the fingerprint of a key as
    `signer`, only those that were built here or signed with it."""

    def __init__(self, store: Store, signer: str = "") -> None:
        self._store = store
        self._signer = signer

    def offers(self, wanted: Wanted) -> Generator[Offer, None, None]:
        """What the name stands for, complete or not."""
        if entry := entry_of(self._store, wanted.text, wanted.platform, self._signer):
            yield Offer(wanted.text, entry)


class Pins(Protocol):
    """What images must be: a lock. Nothing but its sources is asked for an image."""

    stored: ImageSource
    """What the store has of it."""

    others: ImageSource
    """What brings the rest into the store."""

    def require(self, name: str, platform: Platform, digest: str) -> None:
        """Raise `ComposError` unless `digest` is the manifest that the image `name` must have."""

    def require_root(self, name: str, digest: str) -> None:
        """Likewise for the root of an image that is wanted as it was published."""


class Images:
    """What a build asks for its images; each is looked up once. Several threads may ask.

    `pull` asks makers and registries even for what the store has. `registry` may be what makes one:
    most builds need none. `first` are sources on this machine that are asked before the store,
    `makers` sources that are asked before the registry. `reserved` lets registries serve images
    under the names of our bricks, which must be signed with `key` if there is one. `built` has what
    was built for this very purpose, and is asked before all others. `trust` has the policies that
    every image must satisfy, whatever its source. With `pins`, these alone say what the images are,
    and where they come from.
    """

    def __init__(
        self,
        store: Store,
        *,
        registry: Registry | Callable[[], Registry] | None = None,
        pull: bool = False,
        first: Sequence[ImageSource] = (),
        makers: Sequence[ImageSource] = (),
        reserved: bool = False,
        key: Signer | None = None,
        trust: Trust | None = None,
        pins: Pins | None = None,
        built: ImageSource | None = None,
    ) -> None:
        self.store = store
        self._trust = trust
        self._pins = pins
        self._published = PublishedImages(
            store, registry, complete=not pull, reserved=reserved, key=key
        )
        stored = StoredImages(store, key.fingerprint if key else "")
        known = () if built is None else (built,)
        self._quick: tuple[ImageSource, ...] = known if pull else (*known, stored)
        self._at_hand = (*known, *first, *(() if pull else (stored,)))
        self._sources = (*self._at_hand, *makers, self._published)
        if first:
            # Nothing is quick behind what may have to export an image.
            self._quick = ()
        if pins:
            self._quick = self._at_hand = (pins.stored,)
            self._sources = (pins.stored, pins.others)
        self._known: dict[tuple[str, Platform], Image] = {}
        self._wrong: dict[tuple[str, Platform], ImageError] = {}
        """What was wrong with the store's image when it was first looked at: damaged blobs are then
        moved aside, and would only be missing the second time."""

    def image(self, name: str, platform: Platform) -> Image:
        """One image, complete in the store; raises `ImageError`, or `ComposError` (`network-*`)."""
        text = _required_name(name)
        key = (text, platform)
        if key not in self._known:
            self._known[key] = self._find(
                Wanted(text, (platform,)), lambda offer: self._admit(text, offer, platform)
            )
        return self._known[key]

    def _admit(self, name: str, offer: Offer, platform: Platform) -> Image:
        image = admit(self.store, offer, platform, trust=self._trust)
        if self._pins:
            self._pins.require(name, platform, image.digest)
        return image

    def images(self, wanted: Sequence[tuple[str, Platform]]) -> dict[tuple[str, Platform], Image]:
        """Several images, fetched in parallel; the keys are those of `wanted`.

        All are tried; raises the error, or a `CombinedError` with the errors in the order of
        `wanted`.
        """
        keys = {(name, platform): (canonical_name(name), platform) for name, platform in wanted}
        rest = [key for key in dict.fromkeys(keys.values()) if not self._has(*key, self._quick)]
        if rest:
            self._find_all(rest)
        return {given: self._known[key] for given, key in keys.items()}

    def layout(
        self, name: str, platforms: Sequence[Platform] | None, default: Platform
    ) -> ImageLayout:
        """The image as it was published, for `platforms` (all when None), complete in the store.

        A brick that is not in the store is built for `default` when no platforms are named. Raises
        as `image` does.
        """
        text = _required_name(name)
        if is_local(text):
            # A file of this machine has whatever was saved; one platform is asked of it.
            platforms = platforms or (default,)
        return self._find(
            Wanted(text, tuple(platforms or (default,)), as_published=True),
            lambda offer: self._admit_layout(text, offer, platforms, default),
        )

    def _admit_layout(
        self, name: str, offer: Offer, platforms: Sequence[Platform] | None, default: Platform
    ) -> ImageLayout:
        layout = admit_layout(self.store, offer, platforms, default, trust=self._trust)
        if self._pins:
            self._pins.require_root(name, layout.root.digest)
        return layout

    def at_hand(self, name: str, platform: Platform) -> bool:
        """Whether the image with this canonical name can be had without a maker or a registry."""
        return self._has(name, platform, self._at_hand)

    def fetch_attestations(self, images: Iterable[Image]) -> None:
        """Complete the attestations of `images` that the store lacks: they came from a tool that
        leaves them out.

        Where that is impossible a notice says so: an image serves without them. The first time that
        the network fails is the last one that it is asked.
        """
        local = {image.digest for (name, _), image in self._known.items() if is_local(name)}
        for image in images:
            # Whoever names a file of this machine wants nothing from the network.
            if image.digest in local or attested(self.store, image):
                continue
            carrier = self._published.carrier(Reference.parse(image.name))
            offer = Offer(image.name, image.attestations[0], carrier=carrier)
            if isinstance(attest(self.store, offer, image.attestations), NetworkError):
                return

    def fetch_layers(self, name: str, layers: Sequence[Descriptor]) -> None:
        """Have the store hold these layers of the published image `name`. Raises as `image`
        does."""
        self._published.carrier(Reference.parse(name)).fetch(layers)

    def _has(self, name: str, platform: Platform, sources: Sequence[ImageSource]) -> bool:
        """Whether one of `sources` has the image, or it is known already."""
        key = (name, platform)
        if key not in self._known:
            with suppress(ImageError):
                found = self._search(
                    Wanted(name, (platform,)),
                    sources,
                    lambda offer: self._admit(name, offer, platform),
                )
                if found is not None:
                    self._known[key] = found
        return key in self._known

    def _find(self, wanted: Wanted, take: Callable[[Offer], _Admitted]) -> _Admitted:
        """What `take` makes of the first offer that serves; raises `ComposError`."""
        found = self._search(wanted, self._sources, take)
        if found is None:
            raise self._wrong.get((wanted.text, wanted.platform)) or ImageNotFound(
                "image-not-found",
                "no source has an image of this name",
                place=wanted.text,
                hint="Check the image's name.",
            )
        return found

    def _search(
        self,
        wanted: Wanted,
        sources: Sequence[ImageSource],
        take: Callable[[Offer], _Admitted],
    ) -> _Admitted | None:
        """As `_find`, among `sources`, unless the name says that it is a file of this machine; None
        when there is no offer.

        What is wrong with an image of the store is remembered, and reported when nothing else
        serves. What is wrong with any other image ends the search.
        """
        key = (wanted.text, wanted.platform)
        wrong: ImageError | None = None
        try:
            for source in (_local(self.store),) if is_local(wanted.text) else sources:
                with closing(source.offers(wanted)) as offers:
                    for offer in offers:
                        if isinstance(wrong, StoreDamaged) and offer.carrier is not None:
                            notice(f"{wrong.message} ({wrong.place}); fetching it again")
                        try:
                            return take(offer)
                        except ImageError as error:
                            if offer.origin is not None:
                                raise
                            wrong = wrong or self._wrong.setdefault(key, error)
        except ComposError as error:
            if wrong is None:
                raise
            _explain(wrong, error)
        return None

    def _find_all(self, wanted: Sequence[tuple[str, Platform]]) -> None:
        _share_memory()
        executor = threads(_IMAGES_AT_ONCE, "image")
        try:
            futures = [executor.submit(self.image, name, platform) for name, platform in wanted]
            errors = [error for error in [future.exception() for future in futures] if error]
        except BaseException:
            # An interrupt must not wait for hundreds of megabytes.
            self._published.stop()
            raise
        finally:
            executor.shutdown(cancel_futures=True)
        _raise(errors)


def _local(store: Store) -> ImageSource:
    # Not at the top: most builds name no files.
    from compos.image.archives.local import LocalImages

    return LocalImages(store)


def _explain(wrong: ImageError, error: ComposError) -> NoReturn:
    """Raise what helps: the store's error when the registry could not be asked or has nothing, else
    the registry's."""
    if isinstance(error, (NetworkError, ImageNotFound, Unauthorized)):
        raise type(wrong)(
            wrong.id, f"{wrong.message}; and {error.message}", place=wrong.place, hint=wrong.hint
        ) from error
    raise error


def _required_name(name: str) -> str:
    """As `canonical_name`; raises `ImageError` (`image-reference`) for nonsense."""
    return name if is_local(name) else str(Reference.parse(name))


def canonical_name(name: str) -> str:
    """The canonical name; images of this machine and nonsense stand for themselves."""
    reference = Reference.find(name)
    return name if reference is None else str(reference)


def _share_memory() -> None:
    """Let all threads allocate from one place (mallopt(3), glibc only): each would keep megabytes
    that it needs no more."""
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def _raise(errors: Sequence[BaseException]) -> None:
    unforeseen = [error for error in errors if not isinstance(error, ComposError)]
    if unforeseen:
        raise unforeseen[0]
    known = [error for error in errors if isinstance(error, ComposError)]
    if len(known) > 1:
        raise CombinedError(known)
    if known:
        raise known[0]
