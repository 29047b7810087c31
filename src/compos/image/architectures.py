"""The names of an image's platforms, as LinuxKit keeps them in its cache: beside NAME, which stands
for an index, NAME-ARCH for the manifest of each architecture.

May touch: the store's names. They are LinuxKit's to read; compos finds platforms in the index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from compos.image.model import Descriptor, ImageIndex, parse_document
from compos.image.names import BRICK
from compos.image.platform import Platform
from compos.image.reference import Reference
from compos.image.store import REF_NAME, Store

__all__ = ["name_architectures", "names_with_architectures"]


def name_architectures(store: Store, name: str, *, only_known: bool = False) -> None:
    """Name the manifests that the store has of the index `name` (canonical). With `only_known`,
    names that are there already are moved, and none is added."""
    origin = store.resolve(name)
    for other, manifest in _architectures(store, name):
        known = store.resolve(other)
        if known is None and only_known:
            continue
        if origin and store.has(manifest.digest) and (not known or known.digest != manifest.digest):
            store.tag(other, manifest, annotations=_about(origin, manifest.platform))


def _about(origin: Descriptor, platform: Platform | None) -> dict[str, str]:
    """What the store keeps beside the name of an index, as far as it is true for a platform."""
    return {
        key: value
        for key, value in origin.annotations.items()
        if not key.startswith(BRICK) or (platform and key.endswith(f".{platform.architecture}"))
    }


def names_with_architectures(store: Store, names: Iterable[str]) -> list[str]:
    """`names`, each followed by those of its architectures that still are its manifests."""
    return list(dict.fromkeys(one for name in names for one in (name, *_own(store, name))))


def _own(store: Store, name: str) -> Iterator[str]:
    there = {(entry.annotations.get(REF_NAME), entry.digest) for entry in store.entries()}
    for other, manifest in _architectures(store, name):
        if (other, manifest.digest) in there:
            yield other


def _architectures(store: Store, name: str) -> Iterator[tuple[str, Descriptor]]:
    root = store.resolve(name)
    reference = Reference.find(name)
    if root is None or reference is None or reference.digest or not reference.tag:
        return
    if not store.has(root.digest):
        return
    _, document = parse_document(store.read(root.digest), media_type=root.media_type)
    for manifest in document.images() if isinstance(document, ImageIndex) else ():
        platform = manifest.platform
        if platform and platform.architecture and platform.os == "linux":
            other = Reference.find(f"{name}-{platform.architecture}")
            if other is not None and manifest.digest.is_verifiable:
                yield str(other), manifest
