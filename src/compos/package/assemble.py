"""A finished tree as an OCI image in the store: one uncompressed layer, a config, a manifest, an
index by architecture.

May touch: the store. Layers are plain tars, so that a build takes file contents straight out of
them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from compos.filesystem.tar import tar_pieces
from compos.image.architectures import name_architectures
from compos.image.json_document import canonical_json
from compos.image.model import (
    CONFIG,
    INDEX,
    LAYER_TAR,
    MANIFEST,
    REFERENCE_DIGEST,
    Descriptor,
    Image,
    ImageConfig,
    parse_document,
)
from compos.image.model import ImageIndex as ImageIndex
from compos.image.platform import Platform
from compos.image.store import Store
from compos.package.recipe import ImageSettings
from compos.tree.contents import Contents
from compos.tree.node import Tree

__all__ = ["assemble", "tag_image"]

_PAUSE = 0.01
"""Seconds between two tries for the lock on a name, which is held for milliseconds."""


def assemble(
    store: Store, name: str, tree: Tree, platform: Platform, settings: ImageSettings
) -> tuple[Image, Descriptor]:
    """Put `tree` into the store as an image; returns it with its manifest's descriptor."""
    with store.writer() as writer, Contents(store.root) as contents:
        for chunk in contents.chunks(
            tar_pieces((path, node, {}) for path, node in sorted(tree.items()))
        ):
            writer.write(chunk)
        layer = writer.commit(LAYER_TAR)
    config_bytes = canonical_json(_config(layer, platform, settings))
    config = store.put(config_bytes, CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.to_json(),
        "layers": [layer.to_json()],
    }
    descriptor = store.put(canonical_json(manifest), MANIFEST)
    image = Image(
        name, descriptor.digest, ImageConfig.from_bytes(config_bytes), (layer,), config.digest
    )
    return image, Descriptor(MANIFEST, descriptor.digest, descriptor.size, {}, platform)


def _config(layer: Descriptor, platform: Platform, settings: ImageSettings) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for key, value in (
        ("Env", settings.env),
        ("Entrypoint", settings.entrypoint),
        ("Cmd", settings.cmd),
    ):
        if value:
            inner[key] = list(value)
    if settings.workdir:
        inner["WorkingDir"] = settings.workdir
    if settings.labels:
        inner["Labels"] = dict(sorted(settings.labels.items()))
    return {
        "architecture": platform.architecture,
        "os": platform.os,
        "config": inner,
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
    }


def tag_image(
    store: Store,
    name: str,
    manifest: Descriptor,
    attestations: Sequence[Descriptor],
    annotations: Mapping[str, str],
) -> Descriptor:
    """Name an image: the index under `name` gets `manifest` for its architecture, and what
    `attestations` say about it; other architectures stay. An empty annotation is removed. Returns
    the index. Several processes may name images of one package at the same time."""
    with store.exclusive(f"name {name}", lambda: time.sleep(_PAUSE)):
        return _tag_image(store, name, manifest, attestations, annotations)


def _tag_image(
    store: Store,
    name: str,
    manifest: Descriptor,
    attestations: Sequence[Descriptor],
    annotations: Mapping[str, str],
) -> Descriptor:
    others: Sequence[Descriptor] = ()
    current = store.resolve(name)
    kept: Mapping[str, str] = {}
    if current is not None and store.has(current.digest):
        _, document = parse_document(store.read(current.digest), media_type=current.media_type)
        if isinstance(document, ImageIndex):
            images = [
                entry
                for entry in document.manifests
                if entry.platform != manifest.platform and REFERENCE_DIGEST not in entry.annotations
            ]
            digests = {entry.digest for entry in images}
            about = [
                one
                for one in document.manifests
                if one.annotations.get(REFERENCE_DIGEST) in digests
            ]
            others = [*images, *about]
            kept = current.annotations
    manifests = sorted(
        [*others, manifest, *attestations], key=lambda entry: (str(entry.platform), entry.digest)
    )
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [entry.to_json() for entry in manifests],
    }
    merged = {key: value for key, value in {**kept, **annotations}.items() if value}
    root = store.put(canonical_json(index), INDEX)
    store.tag(name, root, annotations=merged)
    # Those that `pkg build` has left, for LinuxKit.
    name_architectures(store, name, only_known=True)
    return root
