"""Names at registries: indexes that are merged with what is there, further tags, and copies.

May touch: the network, through `registry`, and the store. The rules are those of LinuxKit
(docs/linuxkit.md#cli-2.9): a push never removes other platforms of an index.
"""

from __future__ import annotations

from collections.abc import Sequence

from compos.errors import ImageError, ImageNotFound
from compos.image.digest import Digest
from compos.image.json_document import canonical_json
from compos.image.model import (
    INDEX,
    REFERENCE_DIGEST,
    Descriptor,
    ImageIndex,
    Manifest,
    parse_document,
)
from compos.image.reference import Reference
from compos.image.registries.push import push_root
from compos.image.registries.registry import Registry
from compos.image.store import Store

__all__ = ["copy", "index_at", "merge", "put_index", "put_tag"]

_ACTIONS = "pull,push"


def index_at(registry: Registry, reference: Reference) -> ImageIndex | None:
    """The index that a registry has under a name; None if it has nothing there. Raises `ImageError`
    (`registry-plain-image`) for a single image: what platform it is for would be lost."""
    try:
        root, data = registry.manifest(reference)
    except ImageNotFound:
        return None
    _, document = parse_document(data, media_type=root.media_type)
    if isinstance(document, Manifest):
        raise ImageError(
            "registry-plain-image",
            "the registry has an image for a single platform under this name, not an index",
            place=str(reference),
            hint="Remove it from the registry, or use another tag.",
        )
    return document


def merge(ours: Sequence[Descriptor], theirs: ImageIndex | None) -> list[Descriptor]:
    """`ours`, and of `theirs` what is for no platform of these; with all that `theirs` attests of
    what stays. A variant that means the same is the same platform: `arm64` and `arm64/v8`."""
    own = [one.platform for one in ours if one.platform and one.platform.os != "unknown"]
    listed = theirs.manifests if theirs else ()
    images = [
        one
        for one in listed
        if REFERENCE_DIGEST not in one.annotations
        and not any(one.platform and one.platform.rank(mine) == (0, 0) for mine in own)
    ]
    digests = {one.digest for one in (*ours, *images)}
    about = [one for one in listed if one.annotations.get(REFERENCE_DIGEST) in digests]
    kept = {one.digest: one for one in (*ours, *images, *about)}
    return sorted(kept.values(), key=lambda one: (str(one.platform), one.digest))


def put_index(store: Store, manifests: Sequence[Descriptor]) -> Descriptor:
    """An index of `manifests` in the store."""
    listed = [one.to_json() for one in manifests]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
    return store.put(canonical_json(index), INDEX)


def put_tag(registry: Registry, root: Descriptor, data: bytes, reference: Reference) -> bool:
    """Let `reference` stand for the manifest or index `data`, all parts of which its repository
    has. Returns whether it stood for something else. Raises `ImageError`, `NetworkError`."""
    if registry.digest(reference, actions=_ACTIONS) == root.digest:
        return False
    session = registry.session(reference, actions=_ACTIONS)

    def put() -> None:
        url = session.url(f"manifests/{reference.tag}")
        with session.request("PUT", url, headers={"Content-Type": root.media_type}, body=data):
            pass

    registry.patiently(put)
    return True


def copy(
    store: Store, registry: Registry, source: Reference, target: Reference
) -> tuple[Digest, bool]:
    """Have `target` stand for what `source` does, for all platforms. Within a repository only the
    name is set. Returns the digest, and whether anything was new. Raises `ImageError`
    (`image-not-found`, …), `NetworkError`."""
    root, data = registry.manifest(source)
    if registry.digest(target, actions=_ACTIONS) == root.digest:
        return root.digest, False
    if source.origin == target.origin:
        return root.digest, put_tag(registry, root, data, target)
    _fetch(store, registry, source, root, data)
    push_root(store, root, registry=registry, target=str(target))
    return root.digest, True


def _fetch(
    store: Store, registry: Registry, reference: Reference, root: Descriptor, data: bytes
) -> None:
    """Have the store hold everything that `root` lists."""
    _, document = parse_document(data, media_type=root.media_type)
    if isinstance(document, ImageIndex):
        for child in document.manifests:
            found, inner = registry.manifest(reference, child)
            _fetch(store, registry, reference, found, inner)
    else:
        for blob in document.blobs:
            if not store.has(blob.digest, blob.size):
                registry.download(reference, blob, store)
    # Stored last: if it is there, so is what it lists.
    store.put(data, root.media_type)
