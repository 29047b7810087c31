"""Images from registries, as a source of images: what a name stands for there, and blobs on their
way into the store.

May touch: the network, through `Registry`, and the store.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from compos.errors import Interrupted
from compos.image.model import Descriptor
from compos.image.names import REGISTRY, Origin, entry_of, require_free
from compos.image.offer import Offer, Required, Signer, Wanted
from compos.image.reference import Reference, is_reserved
from compos.image.store import Store
from compos.progress import task, threads

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from compos.image.registries.registry import Registry

__all__ = ["PublishedImages"]

_BLOBS_AT_ONCE = 6


class PublishedImages:
    """The images of registries.

    `registry` may be what makes one: most builds need none. With `complete`, an image that the
    store has in part is offered first with the rest from its registry, even where its tag has moved
    on since. `reserved` lets registries serve images under the names of our bricks, which must be
    signed with `key` if there is one.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry | Callable[[], Registry] | None = None,
        *,
        complete: bool = False,
        reserved: bool = False,
        key: Signer | None = None,
    ) -> None:
        self._store = store
        self._given = registry
        self._complete = complete
        self._reserved = reserved
        self._key = key
        self._downloads = _Downloads(store, lambda: self.registry)

    @cached_property
    def registry(self) -> Registry:
        """The client that asks registries, made when it is first needed."""
        if self._given is None:
            from compos.image.registries.registry import Registry

            return Registry()
        return self._given() if callable(self._given) else self._given

    def offers(self, wanted: Wanted) -> Generator[Offer, None, None]:
        """What the store has in part, completed; then what the registry has under the name now."""
        reference = wanted.reference
        carrier = self.carrier(reference)
        signer = self._key.fingerprint if self._key else ""
        if self._complete and (
            known := entry_of(self._store, wanted.text, wanted.platform, signer)
        ):
            yield Offer(wanted.text, known, carrier=carrier)
        if not self._reserved:
            # Nobody learns which of our bricks are asked for.
            require_free(reference, Origin(REGISTRY, reference.origin[0]))
        root, data = self.registry.manifest(reference)
        self._store.put(data, root.media_type)
        origin = Origin(REGISTRY, self.registry.host(reference))
        yield Offer(
            wanted.text,
            root,
            origin,
            carrier,
            may_be_brick=self._reserved,
            signed=self._signed(reference, root),
        )

    def _signed(self, reference: Reference, root: Descriptor) -> Required | None:
        """Who must have signed `root`; the signatures are fetched when the door asks."""
        if self._key is None or not is_reserved(reference):
            return None
        return self._key.required(self.registry, self._store, reference, root.digest)

    def carrier(self, reference: Reference) -> _Carrier:
        """What brings the blobs of the image `reference`."""
        return _Carrier(self, self._downloads, reference)

    def stop(self) -> None:
        """End all downloads at their next piece."""
        self._downloads.stop()


class _Carrier:
    """Blobs of one repository."""

    def __init__(
        self, source: PublishedImages, downloads: _Downloads, reference: Reference
    ) -> None:
        self._source = source
        self._downloads = downloads
        self._reference = reference

    def document(self, blob: Descriptor) -> bytes:
        return self._source.registry.manifest(self._reference, blob)[1]

    def fetch(self, blobs: Sequence[Descriptor]) -> None:
        self._downloads.fetch(self._reference, blobs)


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
        with task(f"pull {reference}", sum(blob.size for blob in blobs)) as progress:

            def advance(amount: int) -> None:
                if self._stopped:
                    raise Interrupted(
                        "interrupted", "the download was interrupted", place=str(reference)
                    )
                progress.advance(amount)

            try:
                futures = [self._submit(reference, blob, advance) for blob in blobs]
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
