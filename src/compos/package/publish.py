"""Packages published at a registry: pushed as one index with what is attested of each image,
signed, and released under further tags. Layers are compressed on the way (`package.travel`).

May touch: the store, the network through `registry`. Nothing that the registry
has is sent again, so that what was interrupted goes on where it stopped, and the same recipes and
Debian indexes publish the same digests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from compos.errors import PackageError
from compos.image.digest import Digest
from compos.image.door import stored_image
from compos.image.model import Descriptor, ImageIndex, parse_document
from compos.image.platform import Platform
from compos.image.reference import HUB, HUB_HOSTS, Reference, is_reserved
from compos.image.registries.mirrors import registry_of_bricks
from compos.image.registries.push import push_root
from compos.image.registries.registry import Registry
from compos.image.registries.tags import index_at, merge, put_index, put_tag
from compos.image.store import Store
from compos.package.bricks import own_name
from compos.package.recipe import LINUXKIT_ORG, Recipe
from compos.package.release import architecture_tag
from compos.package.travel import Travelling
from compos.progress import notice
from compos.trust.keys import SigningKey

__all__ = ["Published", "publish", "published_as", "release"]


MAX_MERGES = 5
"""How often an index is pushed if others push theirs under the same name at the same time."""


class Published(NamedTuple):
    """What a registry has now under the name `reference`, and which of it is new there."""

    reference: Reference
    digest: Digest
    pushed: bool
    signed: bool


def published_as(recipe: Recipe, registry: str | None = None) -> Reference:
    """The name that a package is pushed under: its own, or NAME:TAG below `registry`
    (`HOST[:PORT]/PATH`). Raises `ImageError` (`bricks-registry`), `PackageError`
    (`package-name`)."""
    if registry:
        return Reference.parse(f"{registry_of_bricks(registry)}/{recipe.image}:{recipe.tag}")
    reference = Reference.parse(recipe.name)
    # Names of the public registry that hardly mean it: ours, and the one that packages have whose
    # build.yml names no organisation.
    public = reference.domain in (HUB, *HUB_HOSTS)
    if is_reserved(reference) or (public and recipe.org == LINUXKIT_ORG):
        raise PackageError(
            "package-name",
            f"{recipe.name} names no registry to push to",
            place=recipe.place,
            hint="Use --registry HOST[:PORT]/PATH, or set org to it.",
        )
    return reference


def publish(
    store: Store,
    recipe: Recipe,
    registry: Registry,
    reference: Reference,
    platforms: Sequence[Platform],
    *,
    key: SigningKey | None = None,
    architecture_tags: bool = True,
) -> Published:
    """Have the registry hold the store's images of `recipe` for `platforms` as `reference`, beside
    what it has for others, signed with `key` if there is one. Each platform's image has a tag of
    its own, too, unless `architecture_tags` is False. Raises `PackageError`, `ImageError`,
    `NetworkError`."""
    travelling = Travelling(store)
    ours = _entries(store, recipe, platforms, travelling)
    for one in ours:
        part = reference._replace(tag="", digest=one.digest)
        if not registry.exists(part, actions="pull,push"):
            push_root(store, one, registry=registry, target=str(part), make=travelling.make)
    # Another machine may push its platform at the same time. So the index comes last, and is looked
    # at once more: registries cannot be asked to replace one only if it is what was read.
    pushed = False
    for _ in range(MAX_MERGES):
        manifests = merge(ours, index_at(registry, reference))
        root = put_index(store, manifests)
        if not put_tag(registry, root, store.read(root.digest), reference):
            break
        pushed = True
    if architecture_tags:
        _tag_architectures(registry, reference, manifests, store)
    signed = _sign(store, registry, reference, root.digest, key)
    return Published(reference, root.digest, pushed, signed)


def release(
    store: Store,
    registry: Registry,
    reference: Reference,
    tag: str,
    *,
    key: SigningKey | None = None,
    architecture_tags: bool = True,
) -> Published:
    """Have `tag` stand for what the registry has as `reference`, for all platforms. A release that
    exists stays. Raises `PackageError` (`package-release`) if there is nothing to release."""
    target = reference._replace(tag=tag)
    index = index_at(registry, reference)
    if index is None:
        raise PackageError(
            "package-release",
            "the registry does not have the package that is to be released",
            place=str(reference),
            hint="Push it, without --nobuild.",
        )
    root, data = registry.manifest(reference)
    there = registry.digest(target, actions="pull,push")
    if there not in (None, root.digest):
        notice(f"{target} already exists with other contents, and stays as it is")
        return Published(target, there or root.digest, False, False)
    pushed = put_tag(registry, root, data, target)
    if architecture_tags:
        _tag_architectures(registry, target, index.manifests)
    return Published(target, root.digest, pushed, _sign(store, registry, target, root.digest, key))


def _sign(
    store: Store, registry: Registry, reference: Reference, digest: Digest, key: SigningKey | None
) -> bool:
    """Sign with `key`, if there is one; whether there was anything to do."""
    if key is None:
        return False
    from compos.trust.attachments import push_signature

    return push_signature(registry, store, reference, digest, key)


def _entries(
    store: Store, recipe: Recipe, platforms: Sequence[Platform], travelling: Travelling
) -> list[Descriptor]:
    """Entries of an index with the images for `platforms` as they travel, and nothing else that
    the store's may list."""
    name = own_name(recipe)
    root = store.named(name)
    listed = {one.digest: one for one in _listed(store, name, root).manifests}
    chosen: list[Descriptor] = []
    for platform in platforms:
        image = stored_image(store, name, root, platform)
        chosen += travelling.entries(recipe.name, listed[Digest(image.digest)], image)
    return chosen


def _tag_architectures(
    registry: Registry,
    reference: Reference,
    manifests: Sequence[Descriptor],
    store: Store | None = None,
) -> None:
    """Tag the images of an index that the registry has; their manifests are the store's if it has
    them."""
    for one in manifests:
        if one.platform is None or one.platform.os == "unknown":
            continue
        if store is not None and store.has(one.digest):
            root, data = one, store.read(one.digest)
        else:
            root, data = registry.manifest(reference, one)
        put_tag(registry, root, data, architecture_tag(reference, one.platform.architecture))


def _listed(store: Store, name: str, root: Descriptor) -> ImageIndex:
    _, document = parse_document(store.read(root.digest), media_type=root.media_type)
    if not isinstance(document, ImageIndex):
        raise PackageError(
            "package-changed",
            "something else has taken the package's name while it was being published",
            place=name,
            hint="Publish it again.",
        )
    return document
