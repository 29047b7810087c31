"""Volumes: writable or read-only folders shared by containers, empty or filled from an image
(docs/linuxkit.md#3.6).

May touch: the store.
"""

from __future__ import annotations

import json

from compos.compose.component import Component
from compos.compose.root import laid_out, placed, prefixed, with_ancestors
from compos.config.model import Volume
from compos.image.layout import ImageLayout
from compos.image.model import Image
from compos.image.store import REF_NAME, Store
from compos.tree.flatten import image_tree
from compos.tree.node import EPOCH, FILE, Node, Slice, Tree, directory, file

__all__ = ["volume_component"]

LAYOUT_VERSION = {"imageLayoutVersion": "1.0.0"}


def volume_component(
    store: Store, number: int, volume: Volume, content: Image | ImageLayout | None
) -> Component:
    """`containers/volumes/NAME/` with `lower`, `tmp` and `merged`; `content` fills `lower`. Raises
    `ImageError`."""
    base = f"containers/volumes/{volume.name}"
    nodes = with_ancestors(f"{base}/lower/x")
    subtree = None
    if isinstance(content, ImageLayout):
        nodes.update(prefixed(f"{base}/lower", _layout(content)))
    elif content is not None:
        tree = laid_out(image_tree(store, content), resolv_conf_link=True)
        own, subtree = placed(f"{base}/lower", tree)
        nodes.update(own)
    nodes[f"{base}/tmp"] = directory(0o755, EPOCH)
    nodes[f"{base}/merged"] = directory(0o755, EPOCH)
    source = content.name if content else "empty"
    return Component(f"volume[{number}]", source, nodes, subtree=subtree)


def _layout(image: ImageLayout) -> Tree:
    """An OCI image layout ("Image Layout" of the image specification), times 0; contents are the
    store's own blobs."""
    index = {
        "schemaVersion": 2,
        "manifests": [{**image.root.to_json(), "annotations": {REF_NAME: image.name}}],
    }
    tree: Tree = {
        "oci-layout": file(json.dumps(LAYOUT_VERSION).encode(), 0o644, 0),
        "index.json": file(json.dumps(index).encode(), 0o644, 0),
        "blobs": directory(0o755, 0),
        "blobs/sha256": directory(0o755, 0),
    }
    for blob in image.blobs:
        path = f"blobs/{blob.digest.replace(':', '/')}"
        tree[path] = Node(
            FILE, 0o644, size=blob.size, content=(Slice(path, 0, blob.size),) if blob.size else ()
        )
    return tree
