"""An image of the store as one tar for other tools: OCI layout, `docker load` archive, or its plain
root filesystem.

Pure but for the store (reading). Sources: OCI image specification ("Image Layout"); Docker's "Image
specification v1.2" (`manifest.json`). Times are 0 and owners root, so that the same image gives the
same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from compos.filesystem.tar import TarEntry, tar_pieces
from compos.image.digest import Digest
from compos.image.model import MANIFEST, Descriptor, Image
from compos.image.platform import Platform
from compos.image.store import REF_NAME, Store
from compos.tree.flatten import image_tree
from compos.tree.layer import plain_layer
from compos.tree.node import FILE, Node, Piece, Slice, directory, file

__all__ = ["FORMATS", "export_pieces"]

FORMATS = ("oci", "docker", "filesystem")
CONTAINERD_NAME = "io.containerd.image.name"


def export_pieces(
    store: Store, image: Image, platform: Platform, form: str, name: str
) -> list[Piece]:
    """The tar of `image` in one of `FORMATS`, named `name` in it, as pieces of stored files. Raises
    `ImageError`."""
    if form == "filesystem":
        return list(
            tar_pieces((path, node, {}) for path, node in sorted(image_tree(store, image).items()))
        )
    entries = _oci(store, image, platform, name) if form == "oci" else _docker(store, image, name)
    # A layer that an image has twice stands in the archive once.
    return list(
        tar_pieces(
            (path, node, {})
            for path, node in sorted({path: node for path, node, _ in entries}.items())
        )
    )


def _oci(store: Store, image: Image, platform: Platform, name: str) -> Iterator[TarEntry]:
    size = store.path(image.digest).stat().st_size
    annotations = {REF_NAME: name, CONTAINERD_NAME: name}
    manifest = Descriptor(MANIFEST, Digest(image.digest), size, annotations, platform)
    index = {"schemaVersion": 2, "manifests": [manifest.to_json()]}
    yield "oci-layout", file(b'{"imageLayoutVersion":"1.0.0"}', 0o644, 0), {}
    yield "index.json", file(json.dumps(index).encode(), 0o644, 0), {}
    yield "blobs", directory(0o755, 0), {}
    yield "blobs/sha256", directory(0o755, 0), {}
    for digest in dict.fromkeys(
        (image.digest, image.config_digest, *(layer.digest for layer in image.layers))
    ):
        yield Digest(digest).path, _blob(store, digest), {}


def _docker(store: Store, image: Image, name: str) -> Iterator[TarEntry]:
    config = f"{image.config_digest.removeprefix('sha256:')}.json"
    layers = []
    for layer in image.layers:
        # Old engines know neither zstd nor every media type: all take plain tars.
        source = plain_layer(store, layer, name)
        size = (store.root / source).stat().st_size
        path = f"{layer.digest.removeprefix('sha256:')}.tar"
        layers.append(path)
        yield (
            path,
            Node(FILE, 0o644, size=size, content=(Slice(source, 0, size),) if size else ()),
            {},
        )
    yield config, _blob(store, image.config_digest), {}
    document = [{"Config": config, "RepoTags": [name], "Layers": layers}]
    yield "manifest.json", file(json.dumps(document).encode(), 0o644, 0), {}


def _blob(store: Store, digest: str) -> Node:
    path = store.path(digest)
    size = path.stat().st_size
    return Node(
        FILE,
        0o644,
        size=size,
        content=(Slice(str(path.relative_to(store.root)), 0, size),) if size else (),
    )
