"""Push of an image from the store to a registry: blobs that it lacks, several at once, then
manifests, then the name.

May touch: the network, through `session`, and the store for reading. Follows the OCI distribution
specification 1.1 ("Pushing manifests"): a registry takes a manifest only with all that it names, so
that a push that is interrupted leaves the name as it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from compos.errors import BlobMissing, ImageError, Interrupted
from compos.image.model import Descriptor, Manifest, parse_document
from compos.image.reference import HUB, HUB_HOSTS, Reference, is_local
from compos.image.registries.mounts import mounts
from compos.image.registries.referrers import record_referrer
from compos.image.registries.registry import Registry
from compos.image.registries.session import Session
from compos.image.registries.upload import Uploader, require_digest
from compos.image.store import Store
from compos.image.transient import TransientError
from compos.progress import Task, task, threads

__all__ = ["push", "push_root", "push_target"]

_ACTIONS = "pull,push"
_AT_ONCE = 4
"""Blobs that are sent at a time; each has a MiB in memory."""

_PARTS_MISSING = ("BLOB_UNKNOWN", "MANIFEST_UNKNOWN", "DIGEST_INVALID")

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def push_target(text: str) -> Reference:
    """What an image can be pushed as; the tag is `latest` if `text` says none.

    Raises `ImageError` (`image-reference`) for what is no name, has a digest, or is a bare name:
    that means one of the images that the public hub keeps for itself.
    """
    reference = Reference.parse(text)
    bare = reference.domain in (HUB, *HUB_HOSTS) and reference.origin[1].startswith("library/")
    if is_local(text) or reference.digest or bare:
        raise ImageError(
            "image-reference",
            "images cannot be pushed under this name",
            place=text,
            hint="Write it as HOST[:PORT]/REPOSITORY[:TAG], or USER/REPOSITORY[:TAG] for the "
            "public hub.",
        )
    return reference if reference.tag else reference._replace(tag="latest")


def push(store: Store, name: str, *, registry: Registry, target: str | None = None) -> Descriptor:
    """Upload the image or index that the store has under `name`, as `target` (default: the same
    name).

    An index goes with everything it lists. What the registry already has is not sent again. Raises
    `ImageError`: `image-not-found` (not in the store), `store-*`, `registry-*`.
    """
    root = store.named(str(Reference.parse(name)))
    push_root(store, root, registry=registry, target=target or name)
    return root


def push_root(
    store: Store,
    root: Descriptor,
    *,
    registry: Registry,
    target: str,
    make: Callable[[Descriptor], object] = lambda _: None,
) -> None:
    """Upload the manifest or index `root` of the store as `target`. `make` is asked to put a blob
    into the store that neither it nor the registry has. Raises as `push` does."""
    reference = Reference.parse(target)
    session = registry.session(reference, actions=_ACTIONS)
    levels = _levels(store, root, registry, reference)
    blobs = {blob.digest: blob for level in levels for one in level for blob in one.blobs}
    uploader = Uploader(
        store, session, registry.attempts, mounts=mounts(store, registry, reference)
    )
    with task(f"push {session.name}", sum(blob.size for blob in blobs.values())) as progress:
        sending = _Sending(store, registry, uploader, progress, make)
        _at_once(sending.send, blobs.values(), sending.stop)
    # A registry takes an index only with all that it lists.
    for level in reversed(levels):
        _at_once(lambda one: _put(one, session, registry), level)


class _Document(NamedTuple):
    """A manifest or an index that is uploaded as `reference`, a tag or its digest."""

    descriptor: Descriptor
    data: bytes
    document: Manifest | None
    reference: Reference

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        return self.document.blobs if self.document else ()


def _levels(
    store: Store, root: Descriptor, registry: Registry, reference: Reference
) -> list[list[_Document]]:
    """The documents to upload, those first that list those behind them. What the registry has is
    there with all that it lists, but the root's parts are looked for."""
    levels = []
    waiting = [(root, reference)]
    while waiting:
        level, children = [], {}
        for entry, target in waiting:
            data = store.read(entry.digest)
            media_type, document = parse_document(data, media_type=entry.media_type)
            itself = Descriptor(media_type, entry.digest, len(data))
            if isinstance(document, Manifest):
                level.append(_Document(itself, data, document, target))
                continue
            level.append(_Document(itself, data, None, target))
            for child in document.manifests:
                children[child.digest] = child
        levels.append(level)
        parts = [
            (child, reference._replace(tag="", digest=child.digest)) for child in children.values()
        ]
        there = _at_once(lambda part: registry.exists(part[1], actions=_ACTIONS), parts)
        waiting = [part for part, exists in zip(parts, there, strict=True) if not exists]
    return levels


class _Sending:
    """Blobs on their way to a registry."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        uploader: Uploader,
        progress: Task,
        make: Callable[[Descriptor], object],
    ) -> None:
        self._store = store
        self._registry = registry
        self._uploader = uploader
        self._progress = progress
        self._make = make
        self._making = threading.Lock()
        self._stopped = False

    def stop(self) -> None:
        """End all uploads at their next piece."""
        self._stopped = True

    def send(self, blob: Descriptor) -> None:
        """Upload one blob, unless the registry has it."""
        shown = 0

        def sent(size: int) -> None:
            nonlocal shown
            if self._stopped:
                raise Interrupted("interrupted", "the upload was interrupted", place=blob.digest)
            # Less than before when it began again.
            if size > shown:
                self._progress.advance(size - shown)
                shown = size

        sent(0)
        if not self._registry.patiently(lambda: self._uploader.has(blob)):
            self._require(blob)
            self._uploader.upload(blob, sent)
        sent(blob.size)

    def _require(self, blob: Descriptor) -> None:
        try:
            self._store.require(blob.digest, blob.size)
        except BlobMissing:
            with self._making:
                self._make(blob)
            self._store.require(blob.digest, blob.size)


def _put(one: _Document, session: Session, registry: Registry) -> None:
    """Upload a manifest or an index, whose parts the registry has."""
    media_type, digest, _ = one.descriptor[:3]

    def put() -> bool:
        url = session.url(f"manifests/{one.reference.tag or digest}")
        headers = {"Content-Type": media_type}
        with session.request("PUT", url, headers=headers, body=one.data, allowed=(400,)) as answer:
            if answer.status == 400:
                raise _refused(session.refusal(url, answer))
            require_digest(answer, digest, session.name)
            return "OCI-Subject" in answer.headers

    listed = registry.patiently(put)
    if one.document and one.document.subject and not listed:
        record_referrer(registry, one.reference, one.descriptor, one.document)


def _refused(error: ImageError) -> ImageError:
    """What the refusal of a manifest means. That a part of it is missing, or has another digest,
    passes: somebody else is uploading the same part, whose link docker-registry truncates before
    it writes it again."""
    if not any(code in error.message for code in _PARTS_MISSING):
        return error
    return TransientError(error.id, error.message, place=error.place, hint="Push it again.")


def _at_once(
    work: Callable[[_Item], _Result],
    items: Iterable[_Item],
    stop: Callable[[], None] = lambda: None,
) -> list[_Result]:
    """`work` for all items, several at once. Raises the first error, after all that has begun has
    ended; others may be its consequence."""
    items = list(items)
    if len(items) < 2:
        return [work(item) for item in items]
    failed: list[BaseException] = []

    def guarded(item: _Item) -> _Result:
        try:
            return work(item)
        except BaseException as error:
            failed.append(error)
            stop()
            raise

    with threads(_AT_ONCE, "push") as pool:
        futures = [pool.submit(guarded, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException as error:
            stop()
            for future in futures:
                future.cancel()
            # Whoever interrupts has the failures that follow from it.
            interrupted = not isinstance(error, Exception)
            raise (failed[0] if failed and not interrupted else error) from None
