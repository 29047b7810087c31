"""`index.json` of an OCI layout that others made: its images, and the one that a name means.

Pure; documents are read through what it is given. Source: the OCI image specification ("Image
Layout Specification", "index.json file").
"""

from __future__ import annotations

from compos.errors import ImageError
from compos.image.archives.archive import Archive
from compos.image.archives.archive_blobs import full_name, not_one
from compos.image.model import Descriptor, ImageIndex, parse_document
from compos.image.platform import Platform
from compos.image.selection import Documents, select_in
from compos.image.store import REF_NAME

__all__ = ["COSIGN", "COSIGN_KIND", "entries_of", "images_of", "name_of_entry", "select_root"]

COSIGN_KIND, COSIGN = "kind", "dev.cosignproject.cosign/"
"""The annotation with which `cosign save` tells images and their indexes from signatures and
attestations, and how its values begin."""

FULL_NAME = "io.containerd.image.name"
"""The annotation in which containerd and BuildKit write the whole name; the standard one often has
only the tag."""


def entries_of(archive: Archive) -> ImageIndex:
    """`index.json`; raises `ImageError` (`archive-damaged`, ...)."""
    _, index = parse_document(archive.document("index.json"))
    if not isinstance(index, ImageIndex):
        raise ImageError(
            "archive-damaged", "index.json is not an image index", hint="Save the image again."
        )
    return index


def images_of(index: ImageIndex) -> tuple[Descriptor, ...]:
    """The manifests and indexes of an index, without what cosign has saved beside images."""
    return tuple(
        one
        for one in (*index.images(), *index.inner())
        if not (kind := one.annotations.get(COSIGN_KIND, "")).startswith(COSIGN)
        or kind.startswith(f"{COSIGN}image")
    )


def name_of_entry(entry: Descriptor) -> str:
    """The name of an entry of `index.json`, or its tag; empty when it has none."""
    return entry.annotations.get(FULL_NAME) or entry.annotations.get(REF_NAME) or ""


def select_root(
    entries: ImageIndex, wanted: str, platform: Platform, documents: Documents
) -> Descriptor:
    """The entry of `index.json` that `wanted` (a tag, a name or a digest; empty: the only one)
    means: several may be one image's platforms.

    Raises `ImageError` (`archive-image`, `image-platform`, ...).
    """
    found = _found(entries, wanted)
    if len({one.digest for one in found}) == 1:
        return found[0]
    if len({name_of_entry(one) for one in found}) == 1:
        selected = select_in(wanted, ImageIndex(found), platform, documents).descriptor
        return next((one for one in found if one.digest == selected.digest), selected)
    names = [name_of_entry(one) or one.digest for one in images_of(entries)]
    raise not_one(names, wanted, len(found))


def _found(entries: ImageIndex, wanted: str) -> tuple[Descriptor, ...]:
    if not wanted:
        return images_of(entries)
    full = full_name(wanted)
    return tuple(
        one
        for one in images_of(entries)
        if wanted in (one.digest, one.annotations.get(REF_NAME), one.annotations.get(FULL_NAME))
        or (
            full
            and full
            in (full_name(one.annotations.get(REF_NAME, "")), full_name(name_of_entry(one)))
        )
    )
