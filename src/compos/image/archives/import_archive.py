"""Every named image of an archive, taken into the store (`cache import`).

May touch: the store; the archive that it is given (reading). What an archive leaves out, such as
other platforms, is not missed here: `image.door` looks when an image is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from compos.errors import ImageError
from compos.image.archives.archive import Archive
from compos.image.archives.archive_blobs import copy_blobs, full_name, read_document
from compos.image.archives.docker_archive import import_docker, saved_names, saved_platform
from compos.image.archives.layout_index import entries_of, images_of, name_of_entry
from compos.image.json_document import canonical_json
from compos.image.model import INDEX, Descriptor, ImageIndex, parse_document
from compos.image.names import Origin, bind, origin_of, require_free
from compos.image.reference import Reference
from compos.image.selection import MAX_DEPTH
from compos.image.store import Store
from compos.progress import notice

__all__ = ["import_archive"]

MAX_DOCUMENTS = 1000
"""Manifests and indexes of one archive."""


def import_archive(
    store: Store, archive: Archive, origin: Origin, *, reserved: bool = False, nameless: str = ""
) -> list[str]:
    """Have the store hold every image of an OCI layout that has a full name, with all its
    platforms, or those of what `docker save` writes; returns their names. `reserved` permits names
    of our bricks; an image without a full name is called `nameless` if it is the only one. Raises
    `ImageError`."""
    place = origin.detail or origin.kind
    try:
        named = _named(store, archive, nameless)
        if not reserved:
            # Before anything is taken: half an archive helps nobody.
            for name in named:
                require_free(Reference.parse(name), origin)
        for name, take in named.items():
            place = f"{origin.detail or origin.kind}: {name}"
            root = take()
            known = store.resolve(name)
            if known is not None and known.digest != root.digest:
                notice(f"{name} was {known.digest} ({origin_of(known)}) and is now {root.digest}")
            bind(store, name, root, origin)
    except ImageError as error:
        error.place = error.place or place
        raise
    return [*named]


def _named(store: Store, archive: Archive, nameless: str) -> dict[str, Callable[[], Descriptor]]:
    """The images of an archive by their full names, and what takes each into the store."""
    named: dict[str, Callable[[], Descriptor]] = {}
    if archive.has("index.json"):
        groups: dict[str, list[Descriptor]] = {}
        for entry in images_of(entries_of(archive)):
            groups.setdefault(full_name(name_of_entry(entry)), []).append(entry)
        named = {
            name: partial(_import_entries, store, archive, entries)
            for name, entries in groups.items()
        }
    else:
        for tag in saved_names(archive):
            named[full_name(tag)] = partial(_import_saved, store, archive, tag)
    unnamed = named.pop("", None)
    if nameless and unnamed and not named:
        named[nameless] = unnamed
    return named


def _import_saved(store: Store, archive: Archive, tag: str) -> Descriptor:
    return import_docker(store, archive, saved_platform(archive, tag), tag)[1]


def _import_entries(store: Store, archive: Archive, entries: Sequence[Descriptor]) -> Descriptor:
    """The image of a name, with all its platforms: entries that share the name are put under one
    index."""
    seen: set[str] = set()
    for entry in entries:
        _import_all(store, archive, entry, seen)
    if len({entry.digest for entry in entries}) == 1:
        return entries[0].plain
    manifests = [
        Descriptor(one.media_type, one.digest, one.size, platform=one.platform).to_json()
        for one in entries
    ]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
    return store.put(canonical_json(index), INDEX)


def _import_all(
    store: Store, archive: Archive, root: Descriptor, seen: set[str], depth: int = 0
) -> None:
    """A manifest or index with everything below it that the archive has; a saved index may lack
    platforms.

    Each document is looked at once, whatever leads to it.
    """
    if root.digest in seen:
        return
    seen.add(root.digest)
    if len(seen) > MAX_DOCUMENTS:
        raise ImageError(
            "archive-damaged",
            f"the archive contains more than {MAX_DOCUMENTS} images",
            hint="Save fewer images.",
        )
    _, document = parse_document(read_document(store, archive, root), media_type=root.media_type)
    if isinstance(document, ImageIndex):
        for child in images_of(document) if depth < MAX_DEPTH else ():
            if store.has(child.digest, child.size) or archive.has(child.digest.path):
                _import_all(store, archive, child, seen, depth + 1)
    else:
        foreign = document.foreign_layer()
        there = (
            blob for blob in document.blobs if foreign is None or archive.has(blob.digest.path)
        )
        copy_blobs(store, archive, [*there])
