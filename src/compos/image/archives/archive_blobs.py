"""Verified copies of an archive's files in the store, and the names that archives give images.

May touch: the store; the archive that it is given (reading).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from compos.errors import ImageError, WrongContent
from compos.image.archives.archive import Archive
from compos.image.model import Descriptor
from compos.image.offer import verified
from compos.image.reference import Reference
from compos.image.store import Store

__all__ = ["copy_blobs", "copy_stream", "damaged", "full_name", "not_one", "read_document"]

_PIECE = 1 << 20


def read_document(store: Store, archive: Archive, blob: Descriptor) -> bytes:
    """A manifest, index or config of `archive`, verified and put into the store. Raises
    `ImageError`."""
    if not store.has(blob.digest, blob.size):
        store.put(verified(blob, archive.document(blob.digest.path)), blob.media_type)
    return store.read(blob.digest)


def copy_blobs(store: Store, archive: Archive, blobs: Sequence[Descriptor]) -> None:
    """Have the store hold `blobs`, read in the order in which they lie in the archive. Raises
    `ImageError`."""
    for blob in sorted(blobs, key=lambda blob: archive.position(blob.digest.path)):
        if not store.has(blob.digest, blob.size):
            name = blob.digest.path
            with archive.stream(name) as stream:
                copy_stream(store, stream, name, blob.media_type, blob.digest, blob.size)


def copy_stream(
    store: Store,
    stream: IO[bytes],
    name: str,
    media_type: str,
    digest: str | None,
    size: int | None = None,
) -> Descriptor:
    """Put the archive's file `name` into the store; `digest` and `size` are what it must have.
    Raises `ImageError`."""
    with store.writer() as blob:
        while piece := stream.read(_PIECE):
            blob.write(piece)
            if size is not None and blob.size > size:
                # A hole of a sparse file may be larger than any disk.
                break
        if size is not None and blob.size != size:
            raise WrongContent(
                "digest-mismatch",
                f"{name} does not have the {size} bytes that its manifest states",
                hint="Save the image again: this copy is damaged.",
            )
        if digest is not None and blob.digest != digest:
            raise damaged(name, digest, blob.digest)
        return blob.commit(media_type)


def damaged(name: str, wanted: str, found: str) -> ImageError:
    """The error for a file of an archive that has another digest than it should."""
    return WrongContent(
        "digest-mismatch",
        f"{name} has the digest {found}, not {wanted}",
        hint="Save the image again: this copy is damaged.",
    )


def full_name(text: str) -> str:
    """The canonical form of a name with a repository; empty for tags and other texts."""
    if "/" not in text and ":" not in text:
        return ""
    with suppress(ImageError):
        return str(Reference.parse(text.partition("@")[0]))
    return ""


def not_one(names: Sequence[str], wanted: str, found: int) -> ImageError:
    """The error for an archive that has no image of a name, or several that may be meant."""
    what = f"no image {wanted!r}" if wanted and not found else f"{found or 'no'} images"
    known = [name[:255] for name in sorted(set(names))[:10]]
    return ImageError(
        "archive-image",
        f"it contains {what}",
        hint=f"Add one of these to the path: {', '.join(known)}."
        if known
        else "Save an image there.",
    )
