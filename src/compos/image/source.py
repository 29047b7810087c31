"""Images for a build: from the store when complete, else our own bricks, else the registry.

May touch: the store and the network. Differs from LinuxKit on purpose: every layer must be there
(docs/linuxkit.md#N3), a single manifest must be for the wanted platform (docs/linuxkit.md#N23),
only that platform is fetched (docs/linuxkit.md#N25).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

from compos.errors import (
    CombinedError,
    ComposError,
    ImageError,
    ImageNotFound,
    Interrupted,
    NetworkError,
    NotStored,
    StoreDamaged,
    StoreError,
    Unauthorized,
    WrongContent,
)
from compos.image.attestation import attestation_blobs, attested
from compos.image.layout import ImageLayout, read_layout, require_platforms
from compos.image.mirrors import Mirrors
from compos.image.model import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    Descriptor,
    Image,
    ImageConfig,
    Manifest,
    parse_document,
)
from compos.image.names import Origin, admit, admitted, require_free
from compos.image.platform import Platform
from compos.image.reference import Reference, is_local
from compos.image.selection import image_config, select_manifest
from compos.image.store import Store
from compos.progress import notice, task, threads

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from compos.image.registry import Registry

__all__ = ["Images", "Missing", "canonical_name", "stored_image"]

Missing = Callable[[Reference, Platform], Image | None]
"""Makes an image that is not in the store, or gives None when the name is not its business."""

DOCUMENT_TYPES = (*INDEX_TYPES, *MANIFEST_TYPES)
_ARENA_MAX = -8
"""M_ARENA_MAX (malloc.h)."""

_IMAGES_AT_ONCE = 4
_BLOBS_AT_ONCE = 6


def stored_image(store: Store, name: str, root: Descriptor, platform: Platform) -> Image:
    """The image for `platform` that `root` (a manifest or an index) leads to.

    Raises `ImageError`: `store-missing` when any of its blobs is not there with the right size,
    `store-corrupt`, `image-platform`, `image-media-type`, `image-malformed`.
    """
    documents = _Stored(store)
    try:
        selected = select_manifest(name, root, platform, documents)
        config = image_config(name, selected, platform, documents)
        selected.manifest.require_usable(name)
    except ImageError as error:
        error.place = error.place or name
        raise
    manifest = selected.manifest
    for layer in manifest.layers:
        try:
            store.require(layer.digest, layer.size)
        except NotStored as error:
            raise NotStored(
                "store-missing",
                "a layer of the image is missing from the image store, or has another size",
                place=f"{name}: {layer.digest}",
                hint="Fetch it again with --pull.",
            ) from error
    digest = selected.descriptor.digest
    return Image(
        name, digest, config, manifest.layers, manifest.config.digest, selected.attestations
    )


class _Stored:
    """Documents that the store has."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def document(self, blob: Descriptor) -> bytes:
        return self._store.read(blob.digest)

    config = document


class _Published:
    """Documents of an image in a registry, which the store keeps."""

    def __init__(self, images: Images, reference: Reference) -> None:
        self._images = images
        self._reference = reference

    def document(self, blob: Descriptor) -> bytes:
        try:
            return self._images.store.read(blob.digest)
        except ImageError:
            _, data = self._images.registry.manifest(self._reference, blob)
            self._images.store.put(data, blob.media_type)
            return data

    def config(self, blob: Descriptor) -> bytes:
        self._images.downloads.fetch(self._reference, [blob])
        return self._images.store.read(blob.digest)


class Images:
    """What a build asks for its images; each is looked up once. Several threads may ask.

    `pull` asks the registry even for what the store has. `registry` may be what makes one: most
    builds need none. `missing` is asked before the registry is, from any thread; `first` before the
    store, for LinuxKit's `--docker`. `reserved` lets registries serve images under the names of our
    bricks.
    """

    def __init__(
        self,
        store: Store,
        *,
        mirrors: Mirrors | None = None,
        certificates: tuple[str, ...] = (),
        pull: bool = False,
        missing: Missing | None = None,
        registry: Registry | Callable[[], Registry] | None = None,
        first: Missing | None = None,
        reserved: bool = False,
    ) -> None:
        self.store = store
        self._mirrors = mirrors
        self._certificates = certificates
        self._given = registry
        self._pull = pull
        self._missing = missing
        self._first = first
        self._reserved = reserved
        self._known: dict[tuple[str, Platform], Image] = {}
        self._passed: set[tuple[str, Platform]] = set()
        """Images that `first` does not have."""
        self._wrong: dict[tuple[str, Platform], ImageError] = {}
        self.downloads = _Downloads(store, lambda: self.registry)

    @cached_property
    def registry(self) -> Registry:
        """The client that asks registries, made when it is first needed."""
        if self._given is None:
            from compos.image.registry import Registry

            return Registry(self._mirrors, certificates=self._certificates)
        return self._given() if callable(self._given) else self._given

    def image(self, reference: str, platform: Platform) -> Image:
        """One image, complete in the store; raises `ImageError`, or `ComposError` (`network-*`)."""
        if is_local(reference):
            key = (reference, platform)
            if key not in self._known:
                from compos.image.local import import_local

                name, root = import_local(self.store, reference, platform)
                self._known[key] = stored_image(self.store, name, root, platform)
            return self._known[key]
        parsed = Reference.parse(reference)
        key = (str(parsed), platform)
        if key not in self._known:
            self._known[key] = self._find(parsed, platform)
        return self._known[key]

    def images(self, wanted: Sequence[tuple[str, Platform]]) -> dict[tuple[str, Platform], Image]:
        """Several images, fetched in parallel; the keys are those of `wanted`.

        All are tried; raises the error, or a `CombinedError` with the errors in the order of
        `wanted`.
        """
        keys = {
            (reference, platform): (canonical_name(reference), platform)
            for reference, platform in wanted
        }
        rest = [key for key in dict.fromkeys(keys.values()) if not self._is_stored(*key)]
        if rest:
            self._find_all(rest)
        return {given: self._known[key] for given, key in keys.items()}

    def layout(
        self, reference: str, platforms: Sequence[Platform] | None, default: Platform
    ) -> ImageLayout:
        """The image as it was published, for `platforms` (all when None), complete in the store.

        A brick that is not in the store is built for `default` when no platforms are named. Raises
        as `image` does.
        """
        if is_local(reference):
            wanted = list(platforms or (default,))
            if len(wanted) > 1:
                raise ImageError(
                    "image-platform",
                    "an image of this machine serves as a volume for one platform only",
                    place=reference,
                    hint="Name one platform, or push the image to a registry.",
                )
            from compos.image.local import import_local

            name, found = import_local(self.store, reference, wanted[0])
            return read_layout(name, found, wanted, _Stored(self.store))
        parsed = Reference.parse(reference)
        name = str(parsed)
        chosen = tuple(platforms or (default,))
        root = None if self._pull else admitted(self.store, parsed, chosen[0])
        if root is None and self._missing:
            made = [self._missing(parsed, platform) for platform in chosen]
            root = self.store.resolve(name) if all(made) else None
        known = root
        if root is None:
            root = self._published(parsed)
        layout = read_layout(name, root, platforms, _Published(self, parsed))
        self.downloads.fetch(
            parsed, [blob for blob in layout.blobs if blob.media_type not in DOCUMENT_TYPES]
        )
        if root.media_type in MANIFEST_TYPES:
            _, manifest = parse_document(self.store.read(root.digest), media_type=root.media_type)
            if isinstance(manifest, Manifest):
                config = ImageConfig.from_bytes(self.store.read(manifest.config.digest))
                require_platforms(layout, platforms, config.platform)
        if known is None:
            admit(self.store, parsed, root, _registry_of(parsed), reserved=self._reserved)
        return layout

    def _published(self, reference: Reference) -> Descriptor:
        """The manifest or index that the registry has under the name, in the store; it has no name
        there yet."""
        if not self._reserved:
            require_free(reference, _registry_of(reference))
        root, data = self.registry.manifest(reference)
        self.store.put(data, root.media_type)
        return root

    def fetch_attestations(self, images: Iterable[Image]) -> None:
        """Complete the attestations of `images` that the store lacks: they came from a tool that
        leaves them out.

        Where that is impossible a notice says so: an image serves without them. The first time that
        the network fails is the last one that it is asked.
        """
        local = {
            image.digest for (reference, _), image in self._known.items() if is_local(reference)
        }
        for image in images:
            # Whoever names a file of this machine wants nothing from the network.
            if image.digest in local or attested(self.store, image):
                continue
            error = self._attestations(Reference.parse(image.name), image.attestations)
            if isinstance(error, NetworkError):
                return

    def _attestations(
        self, reference: Reference, manifests: Sequence[Descriptor]
    ) -> ComposError | None:
        """Fetch what attests an image; returns the error that prevented it, which has been
        reported.

        The manifest is stored last: if it is there, so is what it names.
        """
        for manifest in manifests:
            try:
                if self.store.has(manifest.digest):
                    data = self.store.read(manifest.digest)
                else:
                    _, data = self.registry.manifest(reference, manifest)
                self.downloads.fetch(reference, attestation_blobs(data, str(reference)))
                self.store.put(data, manifest.media_type)
            except (StoreError, WrongContent, Interrupted):
                raise
            except (ImageError, NetworkError) as error:
                # An image does without what cannot be fetched, but not with what is wrong.
                notice(f"{reference}: its SBOM cannot be fetched: {error.message}")
                return error
        return None

    def at_hand(self, name: str, platform: Platform) -> bool:
        """Whether the image with this canonical name can be had without a registry."""
        return self._first_has(name, platform) or self._is_stored(name, platform)

    def _first_has(self, name: str, platform: Platform) -> bool:
        """Whether `first` has the image; it is asked once, which may take as long as exporting the
        image."""
        key = (name, platform)
        if self._first is None or key in self._passed or is_local(name):
            return False
        if key not in self._known:
            found = self._first(Reference.parse(name), platform)
            if found is None:
                self._passed.add(key)
                return False
            self._known[key] = found
        return True

    def _is_stored(self, name: str, platform: Platform) -> bool:
        """Whether the store alone has the image: usual in a second build, which needs no
        threads."""
        key = (name, platform)
        if is_local(name):
            with suppress(ImageError):
                self.image(name, platform)
        elif key not in self._known and not self._pull and self._is_passed(key):
            try:
                if root := admitted(self.store, Reference.parse(name), platform):
                    self._known[key] = stored_image(self.store, name, root, platform)
            except ImageError as error:
                self._wrong[key] = error
        return key in self._known

    def _is_passed(self, key: tuple[str, Platform]) -> bool:
        return self._first is None or key in self._passed

    def _find_all(self, wanted: Sequence[tuple[str, Platform]]) -> None:
        _share_memory()
        executor = threads(_IMAGES_AT_ONCE, "image")
        try:
            futures = [executor.submit(self.image, name, platform) for name, platform in wanted]
            errors = [error for error in [future.exception() for future in futures] if error]
        except BaseException:
            # An interrupt must not wait for hundreds of megabytes.
            self.downloads.stop()
            raise
        finally:
            executor.shutdown(cancel_futures=True)
        _raise(errors)

    def _find(self, reference: Reference, platform: Platform) -> Image:
        """Store, bricks, registry, in this order; what was wrong in the store is reported when
        nothing else helps."""
        name = str(reference)
        if self._first_has(name, platform):
            return self._known[name, platform]
        root = None if self._pull else admitted(self.store, reference, platform)
        wrong: ImageError | None = None
        if root:
            try:
                return stored_image(self.store, name, root, platform)
            except ImageError as error:
                # A damaged blob has been moved aside when it was found: the second look finds it
                # missing.
                wrong = self._wrong.get((name, platform), error)
        made = self._missing(reference, platform) if self._missing else None
        if made:
            return made
        try:
            return self._fetch(reference, platform, root, wrong)
        except ComposError as error:
            if wrong is None:
                raise
            _explain(wrong, error)

    def _fetch(
        self,
        reference: Reference,
        platform: Platform,
        root: Descriptor | None,
        wrong: ImageError | None,
    ) -> Image:
        """Complete what the store has under the name, if that can help; else fetch what the
        registry has."""
        if root and isinstance(wrong, (NotStored, StoreDamaged)):
            if isinstance(wrong, StoreDamaged):
                notice(f"{wrong.message} ({wrong.place}); fetching it again")
            try:
                return self._complete(reference, platform, root)
            except ImageNotFound:
                pass
        return self._complete(reference, platform, self._published(reference))

    def _complete(self, reference: Reference, platform: Platform, root: Descriptor) -> Image:
        """Fetch every blob of the platform's image that the store lacks, then let the name stand
        for `root`."""
        name = str(reference)
        documents = _Published(self, reference)
        selected = select_manifest(name, root, platform, documents)
        selected.manifest.require_usable(name)
        image_config(name, selected, platform, documents)
        self.downloads.fetch(reference, selected.manifest.layers)
        self._attestations(reference, selected.attestations)
        image = stored_image(self.store, name, root, platform)
        known = admitted(self.store, reference, platform)
        if known is None or known.digest != root.digest:
            admit(self.store, reference, root, _registry_of(reference), reserved=self._reserved)
        return image


class _Downloads:
    """Blobs on their way into the store: a few at once, each only once whoever wants it."""

    def __init__(self, store: Store, registry: Callable[[], Registry]) -> None:
        self._store = store
        self._registry = registry
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._under_way: dict[str, Future[None]] = {}
        self._stopped = False

    def stop(self) -> None:
        """End all downloads at their next piece."""
        self._stopped = True

    def fetch(self, reference: Reference, blobs: Sequence[Descriptor]) -> None:
        """Return when all `blobs` are in the store; raises the first one's error, in the order of
        `blobs`."""
        lacking = [
            blob for blob in dict.fromkeys(blobs) if not self._store.has(blob.digest, blob.size)
        ]
        if not lacking:
            return
        with task(f"pull {reference}", sum(blob.size for blob in lacking)) as progress:

            def advance(amount: int) -> None:
                if self._stopped:
                    raise Interrupted(
                        "interrupted", "the download was stopped", place=str(reference)
                    )
                progress.advance(amount)

            try:
                futures = [self._submit(reference, blob, advance) for blob in lacking]
                errors = [error for error in [future.exception() for future in futures] if error]
            except BaseException:
                self.stop()
                raise
        if errors:
            raise errors[0]

    def _submit(
        self, reference: Reference, blob: Descriptor, advance: Callable[[int], None]
    ) -> Future[None]:
        def work() -> None:
            try:
                advance(0)
                self._registry().download(reference, blob, self._store, advance=advance)
            finally:
                with self._lock:
                    del self._under_way[blob.digest]

        with self._lock:
            if self._executor is None:
                self._executor = threads(_BLOBS_AT_ONCE, "blob")
            if blob.digest not in self._under_way:
                self._under_way[blob.digest] = self._executor.submit(work)
            return self._under_way[blob.digest]


def _registry_of(reference: Reference) -> Origin:
    return Origin("registry", reference.origin[0])


def _explain(wrong: ImageError, error: ComposError) -> NoReturn:
    """Raise what helps: the store's error when the registry could not be asked or has nothing, else
    the registry's."""
    if isinstance(error, (NetworkError, ImageNotFound, Unauthorized)):
        raise type(wrong)(
            wrong.id, f"{wrong.message}; and {error.message}", place=wrong.place, hint=wrong.hint
        ) from error
    raise error


def canonical_name(reference: str) -> str:
    """The canonical name; images of this machine and nonsense stand for themselves."""
    if is_local(reference):
        return reference
    try:
        return str(Reference.parse(reference))
    except ImageError:
        return reference


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
