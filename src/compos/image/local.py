"""Images of this machine: `oci:FOLDER[:TAG]`, `oci-archive:FILE[:TAG]`,
`docker-archive:FILE[:NAME]`.

May touch: these files (reading), the store, which gets verified copies. Sources: the OCI image
specification ("Image Layout"); Docker's "Image specification v1.2" (`manifest.json` of `docker
save`). The network is never asked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from compos.errors import ImageError, WrongContent
from compos.image.archive import Archive, identity, opened
from compos.image.attestation import attestation_blobs
from compos.image.digest import Digest, digest_of
from compos.image.json_document import canonical_json, parse_json
from compos.image.model import (
    INDEX,
    LAYER_GZIP,
    LAYER_TAR,
    LAYER_ZSTD,
    MANIFEST,
    Descriptor,
    ImageConfig,
    Index,
    parse_document,
    wrong_platform,
)
from compos.image.names import ORIGIN, Origin, admit, require_free
from compos.image.platform import Platform
from compos.image.reference import Reference
from compos.image.selection import MAX_DEPTH, Selected, image_config, select_in, select_manifest
from compos.image.store import REF_NAME, Store
from compos.progress import task

__all__ = ["import_archive", "import_docker", "import_local"]

VERSION = 2
FULL_NAME = "io.containerd.image.name"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_HEX = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?")
_MAGIC = ((b"\x1f\x8b", LAYER_GZIP), (b"\x28\xb5\x2f\xfd", LAYER_ZSTD))
_PIECE = 1 << 20
MAX_DOCUMENTS = 1000
"""Manifests and indexes of one archive."""


def import_local(store: Store, text: str, platform: Platform) -> tuple[str, Descriptor]:
    """Have the store hold the image that `text` names, for `platform`.

    Returns its name, and its manifest or the index above it. The name is the one annotated in the
    layout or archive, else the file's, with the digest: it does not depend on where the file lies.
    Raises `ImageError`.
    """
    scheme, _, rest = text.partition(":")
    path, wanted = _split(rest)
    # A folder is asked for what it holds now; an archive is read again when it has changed.
    key = _key(text, path, platform)
    if key is not None and (known := store.recall("local", key)) is not None:
        return known
    with task(f"read {text}"), opened(path) as archive:
        try:
            if scheme == "docker-archive":
                name, manifest = import_docker(store, archive, platform, wanted)
                root = manifest
            else:
                name, manifest, root = _import_layout(store, archive, platform, wanted)
        except ImageError as error:
            error.place = (
                f"{text}: {error.place}" if error.place and error.place != str(path) else text
            )
            raise
    name = f"{name or f'{scheme}:{path.name}'}@{manifest.digest}"
    store.tag(text, root.plain, annotations={ORIGIN: str(Origin("archive", path.name))})
    # What was written to, or replaced, while it was read is read again.
    if key is not None and key == _key(text, path, platform):
        store.remember("local", key, name, root)
    return name, root


def _key(text: str, path: Path, platform: Platform) -> str | None:
    """What an archive is remembered under, until its file changes."""
    with suppress(OSError):
        if path.is_file():
            marks = (VERSION, text, str(platform), identity(path))
            return hashlib.sha256(repr(marks).encode("utf-8", "surrogateescape")).hexdigest()
    return None


def _split(rest: str) -> tuple[Path, str]:
    """Path, and the tag, name or digest behind it."""
    before, at, digest = rest.partition("@sha256:")
    if at:
        return Path(before), f"sha256:{digest}"
    path = Path(rest)
    start = rest.find(":")
    while start != -1 and not path.exists():
        if Path(rest[:start]).exists():
            return Path(rest[:start]), rest[start + 1 :]
        start = rest.find(":", start + 1)
    return path, ""


class _Archived:
    """Documents of an archive, which the store keeps."""

    def __init__(self, store: Store, archive: Archive) -> None:
        self._store = store
        self._archive = archive

    def document(self, blob: Descriptor) -> bytes:
        return _document(self._store, self._archive, blob)

    config = document


def _import_layout(
    store: Store, archive: Archive, platform: Platform, wanted: str
) -> tuple[str, Descriptor, Descriptor]:
    """Name, manifest, and the index above it (or the manifest again)."""
    documents = _Archived(store, archive)
    root, selected = _select(_entries_of(archive), wanted, platform, documents)
    selected.manifest.require_usable(wanted)
    image_config("", selected, platform, documents)
    for layer in _in_order(archive, selected.manifest.layers):
        _blob(store, archive, layer)
    for attestation in selected.attestations:
        if archive.has(attestation.digest.path):
            for blob in attestation_blobs(
                _document(store, archive, attestation), attestation.digest
            ):
                _blob(store, archive, blob)
    name = _full_name(_name_of(root))
    return name, selected.descriptor.plain, root.plain


def _select(
    entries: Index, wanted: str, platform: Platform, documents: _Archived
) -> tuple[Descriptor, Selected]:
    """The entry of `index.json` that is meant, and the manifest there: the entries may be one
    image's platforms."""
    found = _found(entries, wanted)
    if len({one.digest for one in found}) == 1:
        return found[0], select_manifest(wanted, found[0], platform, documents)
    if len({_name_of(one) for one in found}) == 1:
        selected = select_in(wanted, Index(found), platform, documents)
        above = next(
            (one for one in found if one.digest == selected.descriptor.digest), selected.descriptor
        )
        return above, selected
    raise _not_one([_name_of(one) or one.digest for one in _images(entries)], wanted, len(found))


def _entries_of(archive: Archive) -> Index:
    _, index = parse_document(archive.document("index.json"))
    if not isinstance(index, Index):
        raise ImageError(
            "archive-damaged", "index.json is not an image index", hint="Save the image again."
        )
    return index


def _images(entries: Index) -> tuple[Descriptor, ...]:
    return (*entries.images(), *entries.inner())


def _name_of(entry: Descriptor) -> str:
    return entry.annotations.get(FULL_NAME) or entry.annotations.get(REF_NAME) or ""


def _found(entries: Index, wanted: str) -> tuple[Descriptor, ...]:
    """The entries that `wanted` (a tag, a name or a digest; empty: any) may mean."""
    if not wanted:
        return _images(entries)
    full = _full_name(wanted)
    return tuple(
        one
        for one in _images(entries)
        if wanted in (one.digest, one.annotations.get(REF_NAME), one.annotations.get(FULL_NAME))
        or (
            full
            and full in (_full_name(one.annotations.get(REF_NAME, "")), _full_name(_name_of(one)))
        )
    )


def _not_one(names: Sequence[str], wanted: str, found: int) -> ImageError:
    """The error for an archive that has no image of a name, or several that may be meant."""
    what = f"no image {wanted!r}" if wanted and not found else f"{found or 'no'} images"
    known = [name[:255] for name in sorted(set(names))[:10]]
    return ImageError(
        "archive-image",
        f"there {'is' if wanted and not found else 'are'} {what} in it",
        hint=f"Put one of these behind the path: {', '.join(known)}."
        if known
        else "Save an image there.",
    )


def import_archive(
    store: Store, archive: Archive, origin: Origin, *, reserved: bool = False
) -> list[str]:
    """Have the store hold every image of an OCI layout that has a full name, with all its
    platforms, or those of what `docker save` writes; returns their names. `reserved` permits names
    of our bricks. Raises `ImageError`."""
    place = origin.detail or origin.kind
    try:
        named = _named(store, archive)
        if not reserved:
            # Before anything is taken: half an archive helps nobody.
            for name in named:
                require_free(Reference.parse(name), origin)
        for name, take in named.items():
            place = f"{origin.detail or origin.kind}: {name}"
            admit(store, Reference.parse(name), take(), origin, reserved=reserved)
    except ImageError as error:
        error.place = error.place or place
        raise
    return [*named]


def _named(store: Store, archive: Archive) -> dict[str, Callable[[], Descriptor]]:
    """The images of an archive by their full names, and what takes each into the store."""
    named: dict[str, Callable[[], Descriptor]] = {}
    if archive.has("index.json"):
        groups: dict[str, list[Descriptor]] = {}
        for entry in _images(_entries_of(archive)):
            groups.setdefault(_full_name(_name_of(entry)), []).append(entry)
        named = {
            name: partial(_import_entries, store, archive, entries)
            for name, entries in groups.items()
        }
    else:
        for saved in _entries(archive):
            for tag in saved.get("RepoTags") or ():
                named[_full_name(tag)] = partial(_import_saved, store, archive, tag)
    named.pop("", None)
    return named


def _import_saved(store: Store, archive: Archive, tag: str) -> Descriptor:
    platform = ImageConfig.from_bytes(archive.document(_saved(archive, tag)["Config"])).platform
    return import_docker(store, archive, platform, tag)[1]


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
            f"there are more than {MAX_DOCUMENTS} images in it",
            hint="Save fewer.",
        )
    _, document = parse_document(_document(store, archive, root), media_type=root.media_type)
    if isinstance(document, Index):
        for child in _images(document) if depth < MAX_DEPTH else ():
            if store.has(child.digest, child.size) or archive.has(child.digest.path):
                _import_all(store, archive, child, seen, depth + 1)
    else:
        foreign = document.foreign_layer()
        for blob in _in_order(archive, document.blobs):
            if foreign is None or archive.has(blob.digest.path):
                _blob(store, archive, blob)


def _document(store: Store, archive: Archive, blob: Descriptor) -> bytes:
    """A manifest, index or config, verified and put into the store."""
    if not store.has(blob.digest, blob.size):
        data = archive.document(blob.digest.path)
        if digest_of(data) != blob.digest:
            raise _damaged(blob.digest.path, blob.digest, digest_of(data))
        store.put(data, blob.media_type)
    return store.read(blob.digest)


def _in_order(archive: Archive, blobs: Sequence[Descriptor]) -> list[Descriptor]:
    """Blobs as they lie in the archive."""
    return sorted(blobs, key=lambda blob: archive.position(blob.digest.path))


def _blob(store: Store, archive: Archive, blob: Descriptor) -> None:
    if not store.has(blob.digest, blob.size):
        _copy(store, archive, blob.digest.path, blob.media_type, blob.digest, blob.size)


def _copy(
    store: Store,
    archive: Archive,
    name: str,
    media_type: str,
    digest: str | None,
    size: int | None = None,
) -> Descriptor:
    """Put a file of the archive into the store; `digest` and `size` are what it must have."""
    with archive.stream(name) as stream:
        return _put(store, stream, name, media_type, digest, size)


def _put(
    store: Store,
    stream: IO[bytes],
    name: str,
    media_type: str,
    digest: str | None,
    size: int | None = None,
) -> Descriptor:
    with store.writer() as blob:
        while piece := stream.read(_PIECE):
            blob.write(piece)
            if size is not None and blob.size > size:
                # A hole of a sparse file may be larger than any disk.
                break
        if size is not None and blob.size != size:
            raise WrongContent(
                "digest-mismatch",
                f"{name} has not the {size} bytes that its manifest says",
                hint="Save the image again: what lies here is damaged.",
            )
        if digest is not None and blob.digest != digest:
            raise _damaged(name, digest, blob.digest)
        return blob.commit(media_type)


def _damaged(name: str, wanted: str, found: str) -> ImageError:
    return WrongContent(
        "digest-mismatch",
        f"{name} has the digest {found}, not {wanted}",
        hint="Save the image again: what lies here is damaged.",
    )


def import_docker(
    store: Store, archive: Archive, platform: Platform, wanted: str
) -> tuple[str, Descriptor]:
    """What `docker save` writes, as an OCI image; returns its name ("" when it has none) and its
    manifest.

    Layers stay as they are, uncompressed ones as plain tars. Raises `ImageError`.
    """
    entry = _saved(archive, wanted)
    settings = archive.document(entry["Config"])
    if (said := _HEX.fullmatch(entry["Config"])) and digest_of(settings) != f"sha256:{said[1]}":
        raise _damaged(entry["Config"], f"sha256:{said[1]}", digest_of(settings))
    config = ImageConfig.from_bytes(settings)
    if not config.platform.offers(Platform(platform.os, platform.architecture)):
        raise wrong_platform("", platform, [config.platform])
    if len(config.diff_ids) != len(entry["Layers"]):
        raise ImageError(
            "archive-damaged",
            "manifest.json and config do not have the same layers",
            hint="Save it again.",
        )
    named = list(zip(entry["Layers"], config.diff_ids, strict=True))
    layers = {
        one: _layer(store, archive, *one)
        for one in sorted(named, key=lambda layer: archive.position(layer[0]))
    }
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": store.put(settings, CONFIG_TYPE).to_json(),
        "layers": [layers[one].to_json() for one in named],
    }
    manifest = store.put(canonical_json(document), MANIFEST)
    names = [name for name in map(_full_name, entry.get("RepoTags") or ()) if name]
    return (
        _full_name(wanted) if _full_name(wanted) in names else names[0] if len(names) == 1 else ""
    ), manifest


def _entries(archive: Archive) -> list[dict[str, Any]]:
    """manifest.json of `docker save`."""
    try:
        entries = parse_json(archive.document("manifest.json"))
        for entry in entries:
            texts = (entry["Config"], *entry["Layers"], *(entry.get("RepoTags") or ()))
            if not isinstance(entry["Layers"], list) or not all(
                isinstance(text, str) for text in texts
            ):
                raise TypeError
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ImageError(
            "archive-damaged",
            "manifest.json is not what `docker save` writes",
            hint="Save it again.",
        ) from error
    return list(entries)


def _saved(archive: Archive, wanted: str) -> dict[str, Any]:
    """The entry of manifest.json that is meant."""
    entries = _entries(archive)
    found = [
        entry
        for entry in entries
        if not wanted
        or _full_name(wanted) in map(_full_name, entry.get("RepoTags") or ())
        or wanted in entry["Config"]
    ]
    if len(found) == 1:
        chosen: dict[str, Any] = found[0]
        return chosen
    raise _not_one(
        [tag for entry in entries for tag in entry.get("RepoTags") or ()], wanted, len(found)
    )


def _layer(store: Store, archive: Archive, name: str, diff: Digest) -> Descriptor:
    if store.has(diff):
        return Descriptor(LAYER_TAR, diff, store.path(diff).stat().st_size)
    with archive.stream(name) as stream:
        start = stream.peek(4)
        for magic, media_type in _MAGIC:
            if start.startswith(magic):
                said = _HEX.fullmatch(name)
                digest = f"sha256:{said[1]}" if said and "blobs/" in name else None
                return _put(store, stream, name, media_type, digest)
        return _put(store, stream, name, LAYER_TAR, diff)


def _full_name(text: str) -> str:
    """The canonical form of a name with a repository; empty for tags and other texts."""
    if "/" not in text and ":" not in text:
        return ""
    with suppress(ImageError):
        return str(Reference.parse(text.partition("@")[0]))
    return ""
