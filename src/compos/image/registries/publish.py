"""Pushing from the store with care for what the registry has: skip, merge indexes, tag single
architectures.

May touch: the store, and the network through `push`. The rules are those of LinuxKit's `cache push`
(docs/linuxkit.md#cli-3.6).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from compos.errors import ImageError
from compos.image.model import Descriptor, ImageIndex, parse_document
from compos.image.reference import Reference
from compos.image.registries.push import push_root
from compos.image.registries.registry import Registry
from compos.image.registries.tags import merge, put_index
from compos.image.store import Store
from compos.progress import notice

__all__ = ["publish"]


def publish(
    store: Store,
    name: str,
    registry: Registry,
    *,
    target: str,
    override: bool = False,
    arch_tags: bool = False,
) -> None:
    """Upload the image `name` (canonical) as `target`.

    Without `override`, a target that exists stays. An index is merged with the one that the
    registry has: other platforms stay. `arch_tags` adds a tag `TARGET-ARCH` for each platform.
    Raises `ImageError`, `ComposError`.
    """
    reference = Reference.parse(target)
    root = store.named(name)
    if not override and registry.exists(reference):
        notice(f"{target} already exists; use --override to replace it")
        return
    there = registry.digest(reference) if override else None
    if there == root.digest:
        notice(f"{target} is up to date")
        return
    _, document = parse_document(store.read(root.digest), media_type=root.media_type)
    if isinstance(document, ImageIndex) and there is not None:
        root = _merge(store, root, document, reference, registry)
    push_root(store, root, registry=registry, target=target)
    if arch_tags and isinstance(document, ImageIndex):
        for manifest, tag in _architectures(document, reference):
            push_root(store, manifest, registry=registry, target=tag)


def _merge(
    store: Store, ours_root: Descriptor, ours: ImageIndex, reference: Reference, registry: Registry
) -> Descriptor:
    """An index with our manifests and those of the registry for other platforms."""
    root, data = registry.manifest(reference)
    _, theirs = parse_document(data, media_type=root.media_type)
    if not isinstance(theirs, ImageIndex):
        return ours_root
    merged = merge(ours.manifests, theirs)
    # What it has stays there: it need not come here.
    return ours_root if len(merged) == len(ours.manifests) else put_index(store, merged)


def _architectures(index: ImageIndex, reference: Reference) -> Iterator[tuple[Descriptor, str]]:
    for manifest in index.manifests:
        if (
            manifest.platform
            and manifest.platform.os != "unknown"
            and manifest.platform.architecture
        ):
            architecture = manifest.platform.architecture
            tag = f"{reference.domain}/{reference.path}:{reference.version}-{architecture}"
            with suppress(ImageError):
                yield (
                    Descriptor(manifest.media_type, manifest.digest, manifest.size),
                    str(Reference.parse(tag)),
                )
