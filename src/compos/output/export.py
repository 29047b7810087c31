"""An image of the store as one tar for other tools: OCI layout, `docker load` archive, or its plain
root filesystem.

Pure but for the store (reading). Sources: OCI image specification ("Image Layout"); Docker's "Image
specification v1.2" (`manifest.json`). Times are 0 and owners root, so that the same image gives the
same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from compos.filesystem.tar import TarEntry, tar_pieces
from compos.image.digest import Digest
from compos.image.model import MANIFEST, Descriptor, Image
from compos.image.platform import Platform
from compos.image.store import REF_NAME, Store
from compos.tree.flatten import image_tree
from compos.tree.layer import plain_layer
from compos.tree.node import FILE, Node, Piece, Slice, directory, file

if TYPE_CHECKING:
    from compos.trust.travelling import Travelling

__all__ = ["FORMATS", "docker_pieces", "export_pieces"]

FORMATS = ("oci", "docker", "filesystem")
CONTAINERD_NAME = "io.containerd.image.name"


def export_pieces(
    store: Store,
    image: Image,
    platform: Platform,
    form: str,
    name: str,
    signatures: Travelling | None = None,
) -> list[Piece]:
    """The tar of `image` in one of `FORMATS`, named `name` in it, as pieces of stored files; an OCI
    layout with its `signatures`, if there are some. Raises `ImageError`."""
    if form == "filesystem":
        return list(
            tar_pieces((path, node, {}) for path, node in sorted(image_tree(store, image).items()))
        )
    if form == "docker":
        return docker_pieces(store, [(image, [name])])
    return _pieces(_oci(store, image, platform, name, signatures))


def docker_pieces(store: Store, images: Sequence[tuple[Image, Sequence[str]]]) -> list[Piece]:
    """The tar of several images for `docker load`, each with its names. Raises `ImageError`."""
    return _pieces(_docker(store, images))


def _pieces(entries: Iterator[TarEntry]) -> list[Piece]:
    # A layer that an archive has twice stands in it once.
    return list(
        tar_pieces(
            (path, node, {})
            for path, node in sorted({path: node for path, node, _ in entries}.items())
        )
    )


def _oci(
    store: Store, image: Image, platform: Platform, name: str, signatures: Travelling | None
) -> Iterator[TarEntry]:
    size = store.path(image.digest).stat().st_size
    root = Descriptor(MANIFEST, Digest(image.digest), size, {}, platform)
    entries: tuple[Descriptor, ...] = ()
    blobs: tuple[Digest, ...] = ()
    if signatures is not None:
        root, entries, blobs = signatures
    root = root._replace(annotations={**root.annotations, REF_NAME: name, CONTAINERD_NAME: name})
    index = {"schemaVersion": 2, "manifests": [one.to_json() for one in (root, *entries)]}
    yield "oci-layout", file(b'{"imageLayoutVersion":"1.0.0"}', 0o644, 0), {}
    yield "index.json", file(json.dumps(index).encode(), 0o644, 0), {}
    # For docker load before Docker 25, as later versions write it themselves.
    yield "manifest.json", file(_docker_manifest(image, name), 0o644, 0), {}
    yield "blobs", directory(0o755, 0), {}
    yield "blobs/sha256", directory(0o755, 0), {}
    for digest in dict.fromkeys(
        (
            *(root.digest, image.digest, image.config_digest),
            *(layer.digest for layer in image.layers),
            *blobs,
        )
    ):
        yield Digest(digest).path, _blob(store, digest), {}


def _docker_manifest(image: Image, name: str) -> bytes:
    """The blobs of the layout as an archive of Docker's."""
    layers = [Digest(layer.digest).path for layer in image.layers]
    config = Digest(image.config_digest).path
    return json.dumps([{"Config": config, "RepoTags": [name], "Layers": layers}]).encode()


def _docker(store: Store, images: Sequence[tuple[Image, Sequence[str]]]) -> Iterator[TarEntry]:
    document = []
    for image, names in images:
        config = f"{image.config_digest.removeprefix('sha256:')}.json"
        layers = []
        for layer in image.layers:
            # Old engines know neither zstd nor every media type: all take plain tars.
            source = plain_layer(store, layer, image.name)
            size = (store.root / source).stat().st_size
            path = f"{layer.digest.removeprefix('sha256:')}.tar"
            layers.append(path)
            yield (
                path,
                Node(FILE, 0o644, size=size, content=(Slice(source, 0, size),) if size else ()),
                {},
            )
        yield config, _blob(store, image.config_digest), {}
        document.append({"Config": config, "RepoTags": [*names], "Layers": layers})
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
