"""What a lock says of the images that a system names: what it said before, or what a build would
take now.

May touch: the store, the network, the Debian mirror, the folders of packages (reading).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from compos.errors import CombinedError, ComposError, ImageError
from compos.image.attestation import attested
from compos.image.digest import Digest
from compos.image.door import stored_image
from compos.image.model import Descriptor, Image, ImageIndex, parse_document
from compos.image.names import CHOICE, RECIPE, is_built_here
from compos.image.platform import Platform
from compos.image.reference import Reference, is_local, is_reserved
from compos.image.source import Images, canonical_name
from compos.image.store import Store
from compos.package.build import Builder
from compos.package.choice import NOTHING, Choice
from compos.package.lock.model import (
    BuiltImage,
    Find,
    Lock,
    Locked,
    Published,
    key_of,
    locked_recipe,
    recipe_digest,
)
from compos.package.once import build_once
from compos.package.recipe import Recipe
from compos.package.recipe_key import recipe_key
from compos.progress import notice, threads
from compos.version import __version__

__all__ = ["Named", "Sources", "lock_images"]

_AT_ONCE = 4


class Named(NamedTuple):
    """An image that a system names, and the platforms that it is wanted for; with `as_published`
    its index is wanted, too, and with no platforms everything in it."""

    name: str
    platforms: tuple[Platform, ...]
    as_published: bool = False


class Sources(NamedTuple):
    """Where images come from. `images` is what a build asks, `newest` the same with every registry
    asked again. `builder` takes the newest Debian packages, `rebuilder` those of a choice.
    `find` has the packages of the system's tree; with `published_bricks`, our bricks may come from
    a registry. `needs` says which images a package with a Dockerfile is built from: canonical names
    and platforms."""

    store: Store
    images: Images
    newest: Images
    builder: Builder
    rebuilder: Callable[[Choice], Builder]
    find: Find
    published_bricks: bool
    needs: Callable[[Recipe, Platform], Iterable[tuple[str, Platform]]]


def lock_images(
    wanted: Iterable[Named],
    folder: Path,
    sources: Sources,
    *,
    old: Lock | None,
    updated: Callable[[str], bool],
    keep: Callable[[str], bool],
    platform: Platform,
) -> dict[str, Locked]:
    """What `wanted` stands for, by `key_of`, in a lock in `folder`.

    What `old` says stays, unless the image is to be `updated`, its recipe has changed, or another
    version of compos wrote it: then its packages stay. Of images that are not wanted, what is
    locked for `platform` is left out, unless they are to be kept. Raises `ComposError`.
    """
    images = list(wanted)
    maker = _Maker(sources, old, folder, updated, platform)
    executor = threads(_AT_ONCE, "lock")
    try:
        futures = [executor.submit(maker.locked, one) for one in images]
        errors = [error for error in [future.exception() for future in futures] if error]
    finally:
        executor.shutdown(cancel_futures=True)
    known = [error for error in errors if isinstance(error, ComposError)]
    if errors:
        raise CombinedError(known) if len(known) > 1 else errors[0]
    found = _rest(old, platform, keep)
    for one, future in zip(images, futures, strict=True):
        key = key_of(one.name, folder)
        found[key] = _joined(found.get(key), future.result())
    for key, locked in maker.bases.items():
        found[key] = _joined(found.get(key), locked)
    return found


def _rest(old: Lock | None, platform: Platform, keep: Callable[[str], bool]) -> dict[str, Locked]:
    """What `old` has of other platforms, and of images that are to be kept."""
    rest = {}
    for key, locked in old.images.items() if old else ():
        if keep(key):
            rest[key] = locked
            continue
        built = {one: image for one, image in locked.built.items() if one != platform}
        published = locked.published
        if published:
            manifests = {one: it for one, it in published.manifests.items() if one != platform}
            published = published._replace(manifests=manifests) if manifests else None
        if built or published:
            rest[key] = Locked(published, built)
    return rest


def _joined(one: Locked | None, other: Locked) -> Locked:
    """Both, for their platforms, as far as that is possible."""
    if one is None:
        return other
    if one.published and other.published:
        same = one.published.root.digest == other.published.root.digest
        manifests = {**(one.published.manifests if same else {}), **other.published.manifests}
        return Locked(other.published._replace(manifests=manifests))
    if one.built and other.built:
        return Locked(built={**one.built, **other.built})
    return other


class _Maker:
    def __init__(
        self,
        sources: Sources,
        old: Lock | None,
        folder: Path,
        updated: Callable[[str], bool],
        platform: Platform,
    ) -> None:
        self._sources = sources
        self._old = old
        self._folder = folder
        self._updated = updated
        self._platform = platform
        self._lock = threading.Lock()
        self.bases: dict[str, Locked] = {}
        """The images that Dockerfiles use."""

    def locked(self, named: Named) -> Locked:
        """What one image stands for."""
        key = key_of(named.name, self._folder)
        known = self._old.images.get(key) if self._old else None
        name = canonical_name(named.name)
        recipe = None if is_local(named.name) else locked_recipe(name, self._sources.find)
        if recipe is not None and (built := self._built(name, recipe, named, known, key)):
            return Locked(built=built)
        if known and (known.built or self._updated(key) or is_local(named.name)):
            # Archives of this machine hold what they hold now.
            known = None
        return self._published(name, named, known)

    # Packages

    def _built(
        self, name: str, recipe: Recipe, named: Named, known: Locked | None, key: str
    ) -> dict[Platform, BuiltImage]:
        """The images for all platforms; empty when they come from a registry."""
        if self._sources.find(name) is None:
            stays = known is not None and not self._updated(key)
            if (known and known.published) if stays else self._is_published(name):
                return {}
        platforms = named.platforms or (self._platform,)
        return {
            one: self._image(name, recipe, one, known.built.get(one) if known else None, key)
            for one in platforms
        }

    def _is_published(self, name: str) -> bool:
        """Whether a registry has the brick; it is then in the store."""
        if is_reserved(Reference.parse(name)) and not self._sources.published_bricks:
            return False
        self._sources.newest.image(name, self._platform)
        entry = self._sources.store.named(name)
        return f"{RECIPE}.{self._platform.architecture}" not in entry.annotations

    def _image(
        self, name: str, recipe: Recipe, platform: Platform, known: BuiltImage | None, key: str
    ) -> BuiltImage:
        digest = recipe_digest(recipe, platform)
        if recipe.dockerfile:
            return self._from_dockerfile(name, recipe, platform, known, key)
        if known and known.recipe == digest and not self._updated(key):
            if self._old and self._old.tool == __version__:
                return known
            builder = self._sources.rebuilder(known.choice)
            return self._made(builder.build(recipe, platform, name), digest, known.choice)
        builder = self._sources.builder
        choice = builder.newest.choose(recipe, platform.architecture)
        if known and self._old and (known.recipe, self._old.tool) == (digest, __version__):
            same = (known.choice.packages, known.choice.left_out)
            if same == (_plain(choice).packages, choice.left_out):
                return known
        image = self._stored(name, recipe, platform, choice)
        return self._made(image or builder.build(recipe, platform, name), digest, choice)

    def _keep(self, image: BuiltImage) -> None:
        """Keep what `image` was built from, and what that was built from."""
        known = self._old.images if self._old else {}
        for base in image.bases:
            with self._lock:
                self.bases[base] = known[base]
            for built in known[base].built.values():
                self._keep(built)

    def _from_dockerfile(
        self, name: str, recipe: Recipe, platform: Platform, known: BuiltImage | None, key: str
    ) -> BuiltImage:
        digest = recipe_digest(recipe, platform)
        if known and self._old and known.recipe == digest and not self._updated(key):
            self._keep(known)
            return known
        bases = set()
        for name_of_base, one in self._sources.needs(recipe, platform):
            base = key_of(name_of_base, self._folder)
            bases.add(base)
            locked = self.locked(Named(name_of_base, (one,)))
            with self._lock:
                self.bases[base] = _joined(self.bases.get(base), locked)
        # Its name in the store says which images it was built from: it is built if others are
        # locked now.
        builder = self._sources.builder
        made = build_once(builder, recipe, platform, name, force=self._updated(key))
        image = stored_image(self._sources.store, name, made.root, platform)
        return self._made(image, digest, NOTHING)._replace(bases=tuple(sorted(bases)))

    def _stored(
        self, name: str, recipe: Recipe, platform: Platform, choice: Choice
    ) -> Image | None:
        """The store's image, if it was built of exactly `choice`."""
        store = self._sources.store
        entry = store.resolve(name)
        key = recipe_key(recipe, platform.architecture)
        wanted = {
            f"{RECIPE}.{platform.architecture}": key,
            f"{CHOICE}.{platform.architecture}": choice.digest,
        }
        if entry is None or any(entry.annotations.get(one) != it for one, it in wanted.items()):
            return None
        try:
            image = stored_image(store, name, entry, platform)
            return image if image.attestations and attested(store, image) else None
        except ImageError:
            return None

    def _made(self, image: Image, recipe: Digest, choice: Choice) -> BuiltImage:
        data = self._sources.store.read(image.digest)
        media_type, _ = parse_document(data)
        manifest = Descriptor(media_type, Digest(image.digest), len(data))
        attestations = tuple(one.plain for one in image.attestations)
        return BuiltImage(manifest, attestations, recipe, _plain(choice))

    # Images of registries and archives

    def _published(self, name: str, named: Named, known: Locked | None) -> Locked:
        published = known.published if known else None
        images = self._sources.newest if self._updated(name) else self._sources.images
        if published is not None:
            missing = [one for one in named.platforms if one not in published.manifests]
            if not missing and (named.platforms or not named.as_published):
                return Locked(published)
            # Of the index that is locked, not of the one that the tag stands for today.
            exact = str(Reference.parse(name)._replace(digest=published.root.digest))
            root, manifests = self._manifests(images, exact, named)
            return Locked(Published(root, {**published.manifests, **manifests}))
        root, manifests = self._manifests(images, name, named)
        return Locked(Published(root, manifests))

    def _manifests(
        self, images: Images, name: str, named: Named
    ) -> tuple[Descriptor, dict[Platform, Digest]]:
        """The root of an image, and its manifests for the wanted platforms, all in the store."""
        store = self._sources.store
        if not named.as_published:
            manifests = {one: Digest(images.image(name, one).digest) for one in named.platforms}
            if any(is_built_here(store, name, one) for one in named.platforms):
                notice(
                    f"WARNING: {name} was built on this machine from a package that the YAML does "
                    "not name by its folder; others have it from --mirror-to only"
                )
            return store.named(name).plain, manifests
        layout = images.layout(name, named.platforms or None, self._platform)
        root = layout.root.plain
        return root, _all_manifests(store, root, named.platforms, self._platform)


def _all_manifests(
    store: Store, root: Descriptor, platforms: Sequence[Platform], default: Platform
) -> dict[Platform, Digest]:
    """What the index `root` has for `platforms`, or all."""
    _, document = parse_document(store.read(root.digest), media_type=root.media_type)
    if not isinstance(document, ImageIndex):
        return dict.fromkeys(platforms or (default,), root.digest)
    return {
        one.platform: one.digest
        for one in document.manifests
        if one.platform
        and one.platform.os != "unknown"
        and (not platforms or any(one.platform.offers(wanted) for wanted in platforms))
    }


def _plain(choice: Choice) -> Choice:
    """Without what was needed to choose: as it will be read."""
    from dataclasses import replace

    packages = tuple(
        replace(one, priority=0, depends=(), conflicts=(), provides=()) for one in choice.packages
    )
    return choice._replace(packages=packages)
