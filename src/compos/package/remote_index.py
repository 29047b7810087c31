"""An index at a registry, made of the images that are tagged there for single architectures
(docs/linuxkit.md#cli-2.11): machines that build for one architecture each push `NAME-ARCHITECTURE`,
and one of them joins them.

May touch: the network, through `registry`, and the store.
"""

from __future__ import annotations

from compos.errors import ImageError, ImageNotFound, PackageError
from compos.image.model import Descriptor, ImageConfig, Manifest, parse_document
from compos.image.platform import Platform
from compos.image.reference import Reference
from compos.image.registries.registry import Registry
from compos.image.registries.tags import index_at, merge, put_index, put_tag
from compos.image.store import Store
from compos.package.publish import Published
from compos.package.release import architecture_tag
from compos.progress import notice

__all__ = ["join"]

ARCHITECTURES = ("amd64", "arm64", "s390x", "riscv64", "ppc64le")


def join(store: Store, registry: Registry, reference: Reference) -> Published:
    """Have `reference` stand for all of its architectures' images, beside what its index has for
    others. Raises `PackageError` (`package-manifest`) if there is none, `ImageError`
    (`registry-plain-image`), `NetworkError`."""
    theirs = index_at(registry, reference)
    found = []
    for architecture in ARCHITECTURES:
        tag = architecture_tag(reference, architecture)
        try:
            found.append(_image(store, registry, tag, Platform("linux", architecture)))
        except ImageNotFound:
            notice(f"the registry has no {tag}, which is left out")
    if not found:
        raise PackageError(
            "package-manifest",
            "the registry has no image for any architecture",
            place=f"{reference}-{'|'.join(ARCHITECTURES)}",
            hint="Push the package first.",
        )
    there = {one.digest for one in theirs.manifests} if theirs else set()
    if theirs and there.issuperset(one.digest for one in found):
        digest = registry.digest(reference, actions="pull,push")
        return Published(reference, digest or found[0].digest, pushed=False, signed=False)
    root = put_index(store, merge(found, theirs))
    pushed = put_tag(registry, root, store.read(root.digest), reference)
    return Published(reference, root.digest, pushed, signed=False)


def _image(store: Store, registry: Registry, tag: Reference, platform: Platform) -> Descriptor:
    """The image `tag` as an entry of an index. Raises `ImageError` for one that is for another
    platform: machines would run it by its index."""
    root, data = registry.manifest(tag)
    _, document = parse_document(data, media_type=root.media_type)
    if isinstance(document, Manifest):
        config = document.config
        if not store.has(config.digest, config.size):
            registry.download(tag, config, store)
        found = ImageConfig.from_bytes(store.read(config.digest)).platform
        if found.offers(platform):
            return root._replace(platform=platform)
        reason = f"is for {found}"
    else:
        reason = "is an index"
    raise ImageError(
        "image-platform",
        f"the image that is tagged for {platform} {reason}",
        place=str(tag),
        hint="Push the package for that platform again.",
    )
