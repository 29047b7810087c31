"""What `docker save` writes, as an OCI image in the store.

May touch: the store; the archive that it is given (reading). Source: Docker's "Image specification
v1.2" (`manifest.json`).
"""

from __future__ import annotations

import re
from typing import Any

from compos.errors import ImageError
from compos.image.archives.archive import Archive
from compos.image.archives.archive_blobs import copy_stream, damaged, full_name, not_one
from compos.image.digest import Digest, digest_of
from compos.image.json_document import canonical_json, parse_json
from compos.image.model import (
    LAYER_GZIP,
    LAYER_TAR,
    LAYER_ZSTD,
    MANIFEST,
    Descriptor,
    ImageConfig,
    wrong_platform,
)
from compos.image.platform import Platform
from compos.image.store import Store

__all__ = ["import_docker", "saved_names", "saved_platform"]

_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_HEX = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?")
_MAGIC = ((b"\x1f\x8b", LAYER_GZIP), (b"\x28\xb5\x2f\xfd", LAYER_ZSTD))


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
        raise damaged(entry["Config"], f"sha256:{said[1]}", digest_of(settings))
    config = ImageConfig.from_bytes(settings)
    if not config.platform.offers(Platform(platform.os, platform.architecture)):
        raise wrong_platform("", platform, [config.platform])
    if len(config.diff_ids) != len(entry["Layers"]):
        raise ImageError(
            "archive-damaged",
            "manifest.json and config do not have the same layers",
            hint="Save the image again.",
        )
    named = list(zip(entry["Layers"], config.diff_ids, strict=True))
    layers = {
        one: _layer(store, archive, *one)
        for one in sorted(named, key=lambda layer: archive.position(layer[0]))
    }
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": store.put(settings, _CONFIG_TYPE).to_json(),
        "layers": [layers[one].to_json() for one in named],
    }
    manifest = store.put(canonical_json(document), MANIFEST)
    names = [name for name in map(full_name, entry.get("RepoTags") or ()) if name]
    return (
        full_name(wanted) if full_name(wanted) in names else names[0] if len(names) == 1 else ""
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
            "manifest.json is not in the format of `docker save`",
            hint="Save the image again.",
        ) from error
    return list(entries)


def _saved(archive: Archive, wanted: str) -> dict[str, Any]:
    """The entry of manifest.json that is meant."""
    entries = _entries(archive)
    found = [
        entry
        for entry in entries
        if not wanted
        or full_name(wanted) in map(full_name, entry.get("RepoTags") or ())
        or wanted in entry["Config"]
    ]
    if len(found) == 1:
        chosen: dict[str, Any] = found[0]
        return chosen
    raise not_one(
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
                return copy_stream(store, stream, name, media_type, digest)
        return copy_stream(store, stream, name, LAYER_TAR, diff)


def saved_names(archive: Archive) -> list[str]:
    """The names that the archive's images were saved with. Raises `ImageError`."""
    return [tag for saved in _entries(archive) for tag in saved.get("RepoTags") or ()]


def saved_platform(archive: Archive, tag: str) -> Platform:
    """What the image that was saved as `tag` is for. Raises `ImageError`."""
    return ImageConfig.from_bytes(archive.document(_saved(archive, tag)["Config"])).platform
