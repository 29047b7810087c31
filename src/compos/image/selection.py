"""Which manifest an image's index means for a platform: the one search, whatever brought the image.

Pure; reads documents through what it is given. Rules: OCI image specification, image-index.md;
where it leaves a choice, the manifest that the wanted machine surely runs. Each document is looked
at once, however many indexes name it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from compos.errors import BlobMissing, ImageError
from compos.image.model import (
    Descriptor,
    ImageConfig,
    ImageIndex,
    Manifest,
    parse_document,
    unverifiable,
    wrong_platform,
)
from compos.image.platform import Platform

__all__ = [
    "Documents",
    "Selected",
    "all_manifests",
    "image_config",
    "indexes_inside",
    "read_document",
    "select_in",
    "select_manifest",
]

MAX_DEPTH = 4
"""Indexes inside of indexes."""

MAX_INDEXES = 256
"""Indexes that are read in search of one image; honest ones have one, or one a platform."""

MAX_ENTRIES = 10_000
"""Entries of all of them together."""

MAX_DOCUMENT = 8 << 20
"""Bytes of a manifest, an index or a config; registries refuse manifests above 4 MiB."""


class Documents(Protocol):
    """Where manifests, indexes and configs come from: a store, an archive, a registry."""

    def document(self, blob: Descriptor) -> bytes:
        """A manifest or an index, verified; raises `ImageError`."""

    def config(self, blob: Descriptor) -> bytes:
        """An image's config, verified; raises `ImageError`."""


class Selected(NamedTuple):
    """A manifest for the wanted platform; what its index attests of it; whether the index named the
    platform."""

    descriptor: Descriptor
    manifest: Manifest
    attestations: tuple[Descriptor, ...] = ()
    is_named: bool = False


def select_manifest(
    name: str, root: Descriptor, platform: Platform, documents: Documents
) -> Selected:
    """The manifest for `platform` at or below `root`.

    Indexes inside of `root` are looked through where it has none itself, then entries that only
    their configs tell the platform of. Raises `ImageError`: `image-platform` with what there is,
    and what `documents` raises.
    """
    document = read_document(name, root, documents)
    if isinstance(document, Manifest):
        return Selected(root, document)
    return select_in(name, document, platform, documents)


def select_in(name: str, index: ImageIndex, platform: Platform, documents: Documents) -> Selected:
    """As `select_manifest`, in an index that has been read."""
    there: list[Platform] = []
    unnamed: list[tuple[ImageIndex, Descriptor]] = []
    for one in _indexes(name, index, documents):
        if found := one.best(platform):
            return _selected(name, one, found, documents, is_named=True)
        there += one.platforms()
        unnamed += [(one, entry) for entry in one.unnamed()]
    for one, entry in unnamed:
        selected = _selected(name, one, entry, documents, is_named=False)
        made_for = _config(name, selected.manifest, documents).platform
        if made_for.offers(platform):
            return selected
        there.append(made_for)
    raise wrong_platform(name, platform, there)


def _selected(
    name: str, index: ImageIndex, entry: Descriptor, documents: Documents, *, is_named: bool
) -> Selected:
    manifest = read_document(name, entry, documents)
    if isinstance(manifest, ImageIndex):
        raise ImageError(
            "image-media-type",
            "the index lists another index as a manifest",
            place=name,
            hint="Build and push the image again.",
        )
    return Selected(entry, manifest, index.attestations(entry.digest), is_named)


def all_manifests(
    name: str, index: ImageIndex, documents: Documents
) -> Iterator[tuple[Descriptor, Manifest | ImageError]]:
    """Every manifest that `index` leads to, attestations included, each once; for one that cannot
    be used the reason.

    Raises as `select_manifest` does.
    """
    seen: set[str] = set()
    for one in _indexes(name, index, documents):
        for entry in one.images():
            if entry.digest not in seen:
                seen.add(entry.digest)
                yield entry, _usable(name, one, entry, documents)


def _usable(
    name: str, index: ImageIndex, entry: Descriptor, documents: Documents
) -> Manifest | ImageError:
    if not entry.digest.is_verifiable:
        return unverifiable(name, entry)
    manifest = _selected(name, index, entry, documents, is_named=True).manifest
    try:
        manifest.require_usable(name)
    except ImageError as error:
        return error
    return manifest


def indexes_inside(name: str, index: ImageIndex, documents: Documents) -> list[Descriptor]:
    """The indexes that `index` leads to, each once; raises as `select_manifest` does."""
    found: list[Descriptor] = []
    for _ in _indexes(name, index, documents, found):
        pass
    return found


def _indexes(
    name: str, index: ImageIndex, documents: Documents, found: list[Descriptor] | None = None
) -> Iterator[ImageIndex]:
    """`index` and those inside of it, level by level, each once; their descriptors go into
    `found`."""
    level: Sequence[ImageIndex] = [index]
    seen: set[str] = set()
    entries = 0
    absent: ImageError | None = None
    for depth in range(MAX_DEPTH + 1):
        deeper: list[ImageIndex] = []
        for one in level:
            entries += len(one.manifests)
            if entries > MAX_ENTRIES:
                raise _too_much(name, f"more than {MAX_ENTRIES} entries")
            yield one
            # Read only when what was there did not serve.
            for inner in one.inner() if depth < MAX_DEPTH else ():
                if inner.digest in seen:
                    continue
                seen.add(inner.digest)
                if len(seen) > MAX_INDEXES:
                    raise _too_much(name, f"more than {MAX_INDEXES} indexes")
                try:
                    document = read_document(name, inner, documents)
                except BlobMissing as error:
                    # What was saved may lack platforms.
                    absent = absent or error
                    continue
                if isinstance(document, ImageIndex):
                    deeper.append(document)
                    if found is not None:
                        found.append(inner.plain)
        level = deeper
    if absent:
        raise absent


def read_document(name: str, blob: Descriptor, documents: Documents) -> Manifest | ImageIndex:
    """A manifest or an index of the image `name`. Raises `ImageError` (`image-malformed`,
    `image-digest`, ...)."""
    with _placed(name):
        _require_small(name, blob)
        return parse_document(documents.document(blob), media_type=blob.media_type)[1]


def _config(name: str, manifest: Manifest, documents: Documents) -> ImageConfig:
    with _placed(name):
        _require_small(name, manifest.config)
        return ImageConfig.from_bytes(documents.config(manifest.config))


@contextmanager
def _placed(name: str) -> Iterator[None]:
    """Errors of a document that say no place are the image's."""
    try:
        yield
    except ImageError as error:
        error.place = error.place or name
        raise


def _require_small(name: str, blob: Descriptor) -> None:
    if not blob.digest.is_verifiable:
        raise unverifiable(name, blob)
    if blob.size > MAX_DOCUMENT:
        raise ImageError(
            "image-malformed",
            f"the document {blob.digest} is larger than {MAX_DOCUMENT >> 20} MiB",
            place=name,
            hint="Build and push the image again.",
        )


def _too_much(name: str, what: str) -> ImageError:
    return ImageError(
        "image-malformed",
        f"the image's index refers to {what}",
        place=name,
        hint="Push the image again.",
    )


def image_config(
    name: str, selected: Selected, platform: Platform, documents: Documents
) -> ImageConfig:
    """The config of a selected image, if that is one for `platform`. Raises `ImageError`
    (`image-platform`, ...)."""
    manifest = selected.manifest
    config = _config(name, manifest, documents)
    made_for = config.platform
    if selected.is_named and not (made_for.os or made_for.architecture):
        # Some builders leave it to the index.
        config = config._replace(os=platform.os, architecture=platform.architecture)
    # Variants stand in indexes; many configs leave them out.
    elif not made_for.offers(Platform(platform.os, platform.architecture)):
        raise wrong_platform(name, platform, [made_for])
    if len(config.diff_ids) not in (0, len(manifest.layers)):
        raise ImageError(
            "image-malformed",
            "config and manifest do not have the same number of layers",
            place=name,
            hint="Build and push the image again.",
        )
    return config
