"""Our own bricks: which there are, and building those that a system names and nobody has.

May touch: the folder of bricks (reading), the store, the Debian mirror.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from compos.errors import ImageError, ImageNotFound, PackageError
from compos.image.names import LEFT_OUT, RECIPE
from compos.image.offer import ImageSource, Offer, Wanted
from compos.image.platform import Platform
from compos.image.reference import HUB, NAMESPACE, Reference, is_reserved
from compos.image.store import Store
from compos.package.recipe_key import has_key, recipe_key
from compos.progress import notice
from compos.suggestion import question, similar

if TYPE_CHECKING:
    from compos.package.build import Builder
    from compos.package.recipe import Recipe

__all__ = [
    "ORG",
    "Bricks",
    "bricks_folder",
    "current_bricks",
    "find_brick",
    "is_shipped",
    "own_name",
]

ORG = NAMESPACE

_NAME = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*")
"""A brick's folder: no path."""


@cache
def bricks_folder() -> Path:
    """Where the bricks are: inside the installed package, or beside `src` in a checkout."""
    here = Path(__file__).resolve()
    installed = here.parents[1] / "bricks"
    return installed if installed.is_dir() else here.parents[3] / "bricks"


def find_brick(reference: Reference) -> Recipe | None:
    """The recipe of a brick named `compos/NAME:TAG`, from any registry, if it is one of ours."""
    folder = _brick_folder(reference)
    if folder is None:
        return None
    # Not at the top: a build whose bricks are there reads no recipe.
    from compos.package.recipe import load_recipe

    recipe = load_recipe(folder)
    return recipe if reference.tag in ("", recipe.tag) else None


def _brick_folder(reference: Reference) -> Path | None:
    """Where the brick of this name is, whatever the tag."""
    org, _, name = reference.path.rpartition("/")
    if org.rpartition("/")[2] != ORG or reference.digest or not _NAME.fullmatch(name):
        return None
    folder = bricks_folder() / name
    return folder if (folder / "build.yml").is_file() else None


def is_shipped(text: str) -> bool:
    """Whether an image's name is one of a brick of ours, without a registry."""
    reference = Reference.find(text)
    return reference is not None and is_reserved(reference) and find_brick(reference) is not None


def own_name(recipe: Recipe) -> str:
    """The canonical name of a package that the user named by its folder. Raises `PackageError`
    (`package-name`) for the name of a brick of ours that is another one: it would get into every
    system that names that brick."""
    from compos.package.recipe import named

    name = named(recipe)
    reference = Reference.parse(name)
    shipped = find_brick(reference) if reference.domain == HUB else None
    if shipped is None or shipped.folder.resolve() == recipe.folder.resolve():
        return name
    if shipped.arches == recipe.arches and all(
        shipped.digest(arch) == recipe.digest(arch) for arch in recipe.arches
    ):
        return name
    raise PackageError(
        "package-name",
        f"{recipe.name} is the name of a brick that ships with compos, but this is a different "
        "package",
        place=str(recipe.folder / "build.yml"),
        hint="Change org, image or tag.",
    )


class Bricks:
    """Our bricks as a source of images: from their registry, or built when they are missing.

    `builder` is called when the first brick is missing. `published` is asked first for names with a
    registry; for those without one (`compos/init:v1`) only if the user named a `registry` of bricks
    (`--bricks`): nobody has published ours on the public hub or behind its mirrors, and whoever
    holds that name there must not get into an image. A brick that the registry does not have is
    built; nothing else that is wrong there is passed over. `local` has packages that the user named
    by their folders, by canonical name: they are built, too. With `force`, what the store has is
    built again.
    """

    def __init__(
        self,
        builder: Callable[[], Builder],
        published: ImageSource,
        *,
        registry: str = "",
        local: Mapping[str, Recipe] | None = None,
        force: bool = False,
    ) -> None:
        self._builder = builder
        self._published = published
        self._registry = registry
        self._local = local or {}
        self._force = force

    def offers(self, wanted: Wanted) -> Generator[Offer, None, None]:
        """The brick that `wanted` names, from its registry or built now; nothing when it is not one
        of ours."""
        own = self._local.get(wanted.text)
        if own is not None:
            yield self._built(own, wanted)
            return
        reference = wanted.reference
        recipe = find_brick(reference)
        if recipe is None and not is_reserved(reference):
            return
        if not is_reserved(reference) or self._registry:
            try:
                yield from self._published.offers(wanted)
                return
            except ImageNotFound:
                if recipe is None:
                    raise
            if self._registry and is_reserved(reference):
                notice(f"{self._registry} does not have {wanted.text}; building it")
        if recipe is None:
            raise _unknown(reference)
        yield self._built(recipe, wanted)

    def _built(self, recipe: Recipe, wanted: Wanted) -> Offer:
        """The brick for all the platforms, which the builder has named in the store."""
        # Not at the top: a build whose bricks are there builds none.
        from compos.package.once import build_once

        builder = self._builder()
        *_, made = (
            build_once(builder, recipe, platform, wanted.text, force=self._force)
            for platform in wanted.platforms
        )
        return Offer(wanted.text, made.root)


def _unknown(reference: Reference) -> ImageError:
    from compos.package.recipe import load_recipe

    name = reference.path.partition("/")[2]
    shipped = {
        path.parent.name: load_recipe(path.parent).tag
        for path in bricks_folder().glob("*/build.yml")
    }
    if name in shipped:
        meant = [f"{ORG}/{name}:{shipped[name]}"]
    else:
        meant = [f"{ORG}/{one}:{shipped[one]}" for one in similar(name, shipped)]
    return ImageError(
        "brick-unknown",
        "compos has no brick of this name, and does not ask registries for names that begin with "
        f"{ORG}/",
        place=str(reference),
        hint=question(meant)
        or "Add the registry to the image's name, or set one for bricks: --bricks HOST/PATH.",
    )


def current_bricks(
    store: Store,
    references: Iterable[str],
    platform: Platform,
    local: Mapping[str, Recipe] | None = None,
) -> set[str]:
    """Which of `references` are bricks of ours in the store, as today's recipes make them.

    Bricks that were built here from another recipe than today's (after an upgrade of compos, or an
    edit of a package in `local`) are untagged, and so are those without updates where that is not
    accepted (`accepts_incomplete`); where it is, a notice tells of each.
    """
    current = set()
    for text in references:
        reference = Reference.find(text)
        entry = store.resolve(str(reference)) if reference else None
        built = entry.annotations.get(f"{RECIPE}.{platform.architecture}") if entry else None
        if reference is None or entry is None or not built:
            continue
        if without := entry.annotations.get(f"{LEFT_OUT}.{platform.architecture}"):
            # Not at the top: few bricks lack anything.
            from compos.package.debian.mirror import accepts_incomplete

            if not accepts_incomplete(platform.architecture):
                store.untag(str(reference), only=entry)
                continue
            notice(f"WARNING: {text} was built without {without.replace(' ', ' and ')}")
        own = (local or {}).get(str(reference))
        folder = None if own else _brick_folder(reference)
        if folder and has_key(
            folder, f"{ORG}/{folder.name}:{reference.tag}", platform.architecture, built
        ):
            current.add(text)
            continue
        recipe = own or find_brick(reference)
        if recipe is not None and built != recipe_key(recipe, platform.architecture):
            # Another build may have built it from today's recipe since.
            store.untag(str(reference), only=entry)
    return current
