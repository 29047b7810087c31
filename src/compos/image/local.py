"""Images of this machine: `oci:FOLDER[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME]`.

May touch: these files (reading), the store, which gets verified copies. Sources: the OCI image specification ("Image
Layout"); Docker's "Image specification v1.2" (`manifest.json` of `docker save`). The network is never asked.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from compos.errors import ImageError
from compos.image.archive import Archive, identity, opened
from compos.image.attestation import attestation_blobs
from compos.image.blobs import digest_of
from compos.image.model import (
    INDEX_TYPES,
    LAYER_GZIP,
    LAYER_TAR,
    LAYER_ZSTD,
    MANIFEST,
    MANIFEST_TYPES,
    Descriptor,
    ImageConfig,
    Index,
    parse_document,
    wrong_platform,
)
from compos.image.platform import Platform
from compos.image.reference import Reference
from compos.image.store import REF_NAME, Store
from compos.progress import task

__all__ = ["import_archive", "import_docker", "import_local"]

VERSION = 1
FULL_NAME = "io.containerd.image.name"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_HEX = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?")
_MAGIC = ((b"\x1f\x8b", LAYER_GZIP), (b"\x28\xb5\x2f\xfd", LAYER_ZSTD))
_PIECE = 1 << 20
_DEEPEST = 4
"""Indexes inside of indexes."""


def import_local(store: Store, text: str, platform: Platform) -> tuple[str, Descriptor]:
    """Have the store hold the image that `text` names, for `platform`; gives its name, and its manifest or the index above it.

    The name is the one annotated in the layout or archive, else the file's, with the digest: it does not depend on where the
    file lies. Raises `ImageError`.
    """
    scheme, _, rest = text.partition(":")
    path, wanted = _split(rest)
    # A folder is asked for what it holds now; an archive is read again when it has changed.
    key = _key(text, path, platform)
    if key is not None and (known := store.derived("local", key)) is not None:
        name, media_type, digest, size = json.loads(known.read_text())
        if store.has(digest, size):
            return name, Descriptor(media_type, digest, size)
    with task(f"read {text}"), opened(path) as archive:
        try:
            if scheme == "docker-archive":
                name, manifest = import_docker(store, archive, platform, wanted)
                root = manifest
            else:
                name, manifest, root = _import_layout(store, archive, platform, wanted)
        except ImageError as error:
            error.place = f"{text}: {error.place}" if error.place and error.place != str(path) else text
            raise
    name = f"{name or f'{scheme}:{path.name}'}@{manifest.digest}"
    store.tag(text, root)
    # What was written to, or replaced, while it was read is read again.
    if key is not None and key == _key(text, path, platform):
        with store.derive("local", key) as made:
            made.write_text(json.dumps([name, root.media_type, root.digest, root.size]))
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


def _import_layout(
    store: Store, archive: Archive, platform: Platform, wanted: str
) -> tuple[str, Descriptor, Descriptor]:
    """Name, manifest, and the index above it (or the manifest again)."""
    _, index = parse_document(archive.document("index.json"))
    if not isinstance(index, Index):
        raise ImageError("archive-damaged", "index.json is no image index", hint="Save the image again.")
    root = _chosen(index, wanted)
    manifest, above = _manifest(store, archive, root, platform)
    _, document = parse_document(_document(store, archive, manifest), media_type=manifest.media_type)
    assert not isinstance(document, Index)  # noqa: S101  `_manifest` gives manifests
    document.require_distributable(wanted)
    config = ImageConfig.from_bytes(_document(store, archive, document.config))
    if not config.platform.offers(Platform(platform.os, platform.architecture)):
        raise wrong_platform("", platform, [config.platform])
    for layer in document.layers:
        _blob(store, archive, layer)
    name = _full_name(root.annotations.get(FULL_NAME) or root.annotations.get(REF_NAME) or "")
    return name, manifest, above


def import_archive(store: Store, archive: Archive) -> list[str]:
    """Have the store hold every image of an OCI layout that has a full name, with all its platforms, or those of what
    `docker save` writes; gives their names. Raises `ImageError`."""
    if not archive.has("index.json"):
        entries = _entries(archive)
        named = [(tag, _full_name(tag)) for entry in entries for tag in entry.get("RepoTags") or ()]
        for tag, name in named:
            platform = ImageConfig.from_bytes(archive.document(_saved(archive, tag)["Config"])).platform
            store.tag(name, import_docker(store, archive, platform, tag)[1])
        return [name for _, name in named]
    _, index = parse_document(archive.document("index.json"))
    names = []
    for root in index.manifests if isinstance(index, Index) else ():
        name = _full_name(root.annotations.get(FULL_NAME) or root.annotations.get(REF_NAME) or "")
        if name and root.media_type in (*INDEX_TYPES, *MANIFEST_TYPES):
            store.tag(name, _import_all(store, archive, root))
            names.append(name)
    return names


def _import_all(store: Store, archive: Archive, root: Descriptor, depth: int = 0) -> Descriptor:
    """A manifest or index with everything below it that the archive has; a saved index may lack platforms."""
    media_type, document = parse_document(_document(store, archive, root), media_type=root.media_type)
    if isinstance(document, Index):
        for child in document.manifests:
            known = store.has(child.digest, child.size) or archive.has(_place(child))
            if depth < _DEEPEST and known and child.media_type in (*INDEX_TYPES, *MANIFEST_TYPES):
                _import_all(store, archive, child, depth + 1)
    else:
        for blob in document.blobs:
            _blob(store, archive, blob)
    return Descriptor(media_type, root.digest, root.size)


def _chosen(index: Index, wanted: str) -> Descriptor:
    """The entry of `index.json` that is meant."""
    entries = [one for one in index.manifests if one.media_type in (*INDEX_TYPES, *MANIFEST_TYPES)]
    if wanted:
        found = [
            one
            for one in entries
            if wanted in (one.digest, one.annotations.get(REF_NAME), one.annotations.get(FULL_NAME))
            or _full_name(wanted) in (_full_name(one.annotations.get(REF_NAME, "")) or None,)
        ]
    else:
        found = entries
    if len(found) == 1 or (found and len({one.digest for one in found}) == 1):
        return found[0]
    names = sorted(one.annotations.get(REF_NAME) or one.digest for one in entries)
    what = f"no image {wanted!r}" if wanted else f"{len(entries)} images"
    raise ImageError(
        "archive-image",
        f"there {'is' if wanted else 'are'} {what} in it",
        hint=f"Put one of these behind the path: {', '.join(names[:10])}." if names else "Save an image there.",
    )


def _manifest(
    store: Store, archive: Archive, root: Descriptor, platform: Platform, depth: int = 0
) -> tuple[Descriptor, Descriptor]:
    """The manifest for `platform` at or below `root`, and the index that lists it, with what it attests of it."""
    plain = Descriptor(root.media_type, root.digest, root.size)
    if root.media_type in MANIFEST_TYPES:
        return plain, plain
    _, document = parse_document(_document(store, archive, root), media_type=root.media_type)
    if not isinstance(document, Index) or depth > _DEEPEST:
        raise ImageError("image-media-type", "the image's index leads nowhere", place=root.digest)
    chosen = document.select(platform, root.digest)
    for attestation in document.attestations(chosen.digest):
        if archive.has(_place(attestation)):
            for blob in attestation_blobs(_document(store, archive, attestation), attestation.digest):
                _blob(store, archive, blob)
    return Descriptor(chosen.media_type, chosen.digest, chosen.size), plain


def _document(store: Store, archive: Archive, blob: Descriptor) -> bytes:
    """A manifest, index or config, verified and put into the store."""
    if not store.has(blob.digest, blob.size):
        data = archive.document(_place(blob))
        if digest_of(data) != blob.digest:
            raise _damaged(_place(blob), blob.digest, digest_of(data))
        store.put(data, blob.media_type)
    return store.read(blob.digest)


def _blob(store: Store, archive: Archive, blob: Descriptor) -> None:
    if not store.has(blob.digest, blob.size):
        _copy(store, archive, _place(blob), blob.media_type, blob.digest)


def _place(blob: Descriptor) -> str:
    return f"blobs/{blob.digest.replace(':', '/')}"


def _copy(store: Store, archive: Archive, name: str, media_type: str, digest: str | None) -> Descriptor:
    """Put a file of the archive into the store; `digest` is what it must have."""
    with archive.stream(name) as stream, store.writer() as blob:
        while piece := stream.read(_PIECE):
            blob.write(piece)
        if digest is not None and blob.digest != digest:
            raise _damaged(name, digest, blob.digest)
        return blob.commit(media_type)


def _damaged(name: str, wanted: str, found: str) -> ImageError:
    return ImageError(
        "digest-mismatch",
        f"{name} has the digest {found}, not {wanted}",
        hint="Save the image again: what lies here is damaged.",
    )


def import_docker(store: Store, archive: Archive, platform: Platform, wanted: str) -> tuple[str, Descriptor]:
    """What `docker save` writes, as an OCI image; gives its name ("" when it has none) and its manifest.

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
            "archive-damaged", "manifest.json and config do not have the same layers", hint="Save it again."
        )
    layers = [_layer(store, archive, name, diff) for name, diff in zip(entry["Layers"], config.diff_ids, strict=True)]
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": store.put(settings, CONFIG_TYPE).to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    manifest = store.put(json.dumps(document, sort_keys=True, separators=(",", ":")).encode(), MANIFEST)
    names = [name for name in map(_full_name, entry.get("RepoTags") or ()) if name]
    return (_full_name(wanted) if _full_name(wanted) in names else names[0] if len(names) == 1 else ""), manifest


def _entries(archive: Archive) -> list[dict[str, Any]]:
    """manifest.json of `docker save`."""
    try:
        entries = json.loads(archive.document("manifest.json"))
        for entry in entries:
            texts = (entry["Config"], *entry["Layers"], *(entry.get("RepoTags") or ()))
            if not isinstance(entry["Layers"], list) or not all(isinstance(text, str) for text in texts):
                raise TypeError
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ImageError(
            "archive-damaged", "manifest.json is not what `docker save` writes", hint="Save it again."
        ) from error
    return list(entries)


def _saved(archive: Archive, wanted: str) -> dict[str, Any]:
    """The entry of manifest.json that is meant."""
    entries = _entries(archive)
    found = [
        entry
        for entry in entries
        if not wanted or _full_name(wanted) in map(_full_name, entry.get("RepoTags") or ()) or wanted in entry["Config"]
    ]
    if len(found) == 1:
        chosen: dict[str, Any] = found[0]
        return chosen
    names = sorted(tag for entry in entries for tag in entry.get("RepoTags") or ())
    what = f"no image {wanted!r}" if wanted else f"{len(entries)} images"
    raise ImageError(
        "archive-image",
        f"there {'is' if wanted else 'are'} {what} in it",
        hint=f"Put one of these behind the path: {', '.join(names[:10])}." if names else "Save an image there.",
    )


def _layer(store: Store, archive: Archive, name: str, diff: str) -> Descriptor:
    if store.has(diff):
        return Descriptor(LAYER_TAR, diff, store.path(diff).stat().st_size)
    with archive.stream(name) as stream:
        start = stream.read(4)
    for magic, media_type in _MAGIC:
        if start.startswith(magic):
            said = _HEX.fullmatch(name)
            return _copy(store, archive, name, media_type, f"sha256:{said[1]}" if said and "blobs/" in name else None)
    return _copy(store, archive, name, LAYER_TAR, diff)


def _full_name(text: str) -> str:
    """The canonical form of a name with a repository; empty for tags and other texts."""
    if "/" not in text and ":" not in text:
        return ""
    with suppress(ImageError):
        return str(Reference.parse(text.partition("@")[0]))
    return ""
