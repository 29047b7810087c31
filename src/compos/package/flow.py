"""What is done for a package's platform: built, pulled, or nothing (docs/linuxkit.md#cli-2.5). One
way for all packages, whatever builds them.

May touch: the store, registries, and what the builder touches.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from compos.errors import ComposError, ImageError, NetworkError, Unauthorized
from compos.image.attestation import attested
from compos.image.door import stored_image
from compos.image.model import ImageIndex, parse_document
from compos.image.names import RECIPE
from compos.image.platform import Platform
from compos.image.reference import Reference, is_reserved
from compos.image.store import Store
from compos.package.bricks import own_name
from compos.package.once import build_once, current_entry
from compos.progress import notice

if TYPE_CHECKING:
    from compos.image.model import Image
    from compos.image.registries.registry import Registry
    from compos.image.source import Images
    from compos.package.build import Builder
    from compos.package.recipe import Recipe

__all__ = ["Done", "Packages", "Wish"]


class Done(Enum):
    """What was done for a platform, in the past tense."""

    BUILT = "built"
    STORED = "already in the store"
    PULLED = "pulled"
    PUBLISHED = "already at its registry"
    NOTHING = "not in the store"
    DUE = "to be built"


class Wish(NamedTuple):
    """`force` builds in any case, `never` in none. `pull` fetches from the registry what the store
    lacks. `dry` builds and pulls nothing, but finds out what would be."""

    force: bool = False
    pull: bool = False
    never: bool = False
    dry: bool = False


class Packages:
    """Has the store hold packages. `registry` is asked which images are published, `images` for
    pulling them."""

    def __init__(
        self,
        builder: Builder,
        images: Callable[[], Images],
        registry: Callable[[], Registry],
        wish: Wish,
    ) -> None:
        self._builder = builder
        self._images = images
        self._registry = registry
        self._wish = wish
        self._silent: set[str] = set()
        """Registries that cannot be reached, and are not asked again."""

    def make(
        self, recipe: Recipe, platform: Platform, published: Reference
    ) -> tuple[Done, Image | None]:
        """Do what is needed; the image if it was built or pulled now. `published` is its name at
        its registry. Raises `PackageError`, `ImageError`, `NetworkError`."""
        name, wish = own_name(recipe), self._wish
        if not wish.force and is_stored(self._builder.store, recipe, platform, name):
            return Done.STORED, None
        if wish.never:
            return Done.NOTHING, None
        if not wish.force:
            if wish.pull and not wish.dry and (image := self._pulled(recipe, platform, name)):
                return Done.PULLED, image
            if (wish.dry or not wish.pull) and self._is_published(recipe, platform, published):
                return Done.PUBLISHED, None
        if wish.dry:
            return Done.DUE, None
        root = build_once(self._builder, recipe, platform, name, force=wish.force).root
        return Done.BUILT, stored_image(self._builder.store, name, root, platform)

    def _pulled(self, recipe: Recipe, platform: Platform, name: str) -> Image | None:
        if is_reserved(Reference.parse(name)):
            return None
        try:
            return self._images().image(name, platform)
        except ComposError as error:
            notice(f"{recipe.name} {platform} cannot be pulled, and is built: {error.message}")
            return None

    def _is_published(self, recipe: Recipe, platform: Platform, reference: Reference) -> bool:
        """Whether the registry has the image under a name that says what is in it. One that does
        not answer has nothing."""
        if not recipe.names_content or is_reserved(reference) or "-dirty-" in recipe.tag:
            return False
        host = reference.origin[0]
        if host in self._silent:
            return False
        try:
            root, data = self._registry().manifest(reference)
            _, document = parse_document(data, media_type=root.media_type)
        except (NetworkError, Unauthorized) as error:
            self._silent.add(host)
            notice(f"{host} is not asked for packages: {error.message}")
            return False
        except ComposError:
            return False
        listed = document.manifests if isinstance(document, ImageIndex) else ()
        return any(one.platform and one.platform.offers(platform) for one in listed)


def is_stored(store: Store, recipe: Recipe, platform: Platform, name: str) -> bool:
    """Whether the store has the image as it would be built now, with what is attested of it; one
    that came from elsewhere only under a name that says what is in it."""
    entry = store.resolve(name)
    if entry is None:
        return False
    if f"{RECIPE}.{platform.architecture}" in entry.annotations:
        entry = current_entry(store, recipe, platform, name)
    elif not recipe.names_content:
        return False
    try:
        return entry is not None and attested(store, stored_image(store, name, entry, platform))
    except ImageError:
        return False
