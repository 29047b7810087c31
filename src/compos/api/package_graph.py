"""The packages that a system needs, or that somebody wants built: found, judged and built in the
order in which they are built from each other.

May touch: the packages' folders (reading), the store, and what the builder and the sources of
images touch.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from compos.config.images import image_locations, image_marks, layout_volumes
from compos.errors import CombinedError, ComposError
from compos.image.platform import Platform
from compos.image.reference import is_local
from compos.package.bricks import own_name
from compos.package.graph.build import BuiltImages, Options, build_graph
from compos.package.graph.drawing import Drawing, verdicts
from compos.package.graph.model import Graph, Key, Need, Package, graph_of
from compos.package.graph.needs import Needs
from compos.package.graph.tree import PackageTree, package_folders
from compos.package.naming import Naming
from compos.package.recipe import load_recipe
from compos.package.state import state_of, stored_digest

if TYPE_CHECKING:
    from compos.api.access import Access
    from compos.api.load import Description
    from compos.package.once import Once
    from compos.package.recipe import Recipe

__all__ = [
    "build_all",
    "build_first",
    "draw_packages",
    "draw_system",
    "named_packages",
    "packages_below",
    "system_needs",
]


def named_packages(
    access: Access, description: Description, copied: Container[str] = ()
) -> list[Need]:
    """The packages whose images a system names, but at the places that are `copied` from elsewhere.
    `description.packages` knows them all from now on, by the names that the system has for them,
    and `access` takes what is built of them. Raises `PackageError`."""
    wanted = system_needs(description, copied=copied)
    for need in wanted:
        if need.recipe is not None:
            description.packages.add(need.asked, need.recipe)
    if access.built is None:
        access.built = BuiltImages()
    return wanted


def build_first(
    access: Access,
    description: Description,
    *,
    copied: Container[str] = (),
    pull: bool = False,
) -> set[str]:
    """Build the packages that a system needs, and what those are built from, where the store does
    not have them as they are now; what only stands at places that are `copied` is not needed.
    Returns the names of images that were built here; `access` knows them from now on.

    An image that the store has from elsewhere is taken as it is, and a Dockerfile whose tag is its
    folder's hash is asked of the registry before it is built. With `pull`, the registry is asked
    again for what Dockerfiles are built from. Raises `PackageError`, `ImageError`, `NetworkError`;
    `CombinedError` for several errors.
    """
    wanted = named_packages(access, description, copied)
    graph = _graph(access, description.packages.tree, _wanted(wanted))
    if not graph.packages or access.built is None:
        return set()
    _fetch(access, graph, pull=pull)
    try:
        made = build_graph(graph, access.builder, access.built, Options(foreign=True))
    except ComposError as error:
        _say_where(error, wanted)
        raise
    for need in wanted:
        access.built.add(need.asked, need.key, made[need.key].root)
    return {need.asked for need in wanted if not made[need.key].before.foreign}


def build_all(
    access: Access,
    wanted: Iterable[tuple[Recipe, Sequence[Platform]]],
    tree: PackageTree,
    options: Options,
    *,
    pull: bool = False,
) -> Mapping[Key, Once]:
    """Build the packages `wanted` for their platforms, and what they are built from, each behind
    that. With `pull`, registries are asked for packages whose tags are the hash of their folders,
    and again for what Dockerfiles are built from. Raises as `build_first` does."""
    roots = [
        (Key(own_name(recipe), platform), recipe)
        for recipe, platforms in wanted
        for platform in platforms
    ]
    graph = _graph(access, tree, roots)
    if pull:
        _fetch(access, graph, pull=True)
    built = access.built = BuiltImages()
    return build_graph(graph, access.builder, built, options)


def draw_packages(
    access: Access,
    recipes: Iterable[Recipe],
    tree: PackageTree,
    platforms: Sequence[Platform] | None,
) -> Drawing:
    """The graph of `recipes`, and why each package would be built. Builds and fetches nothing."""
    graph = _graph(access, tree, _roots(recipes, platforms))
    return _drawn(access, graph, "", (), foreign=False)


def draw_system(access: Access, description: Description, name: str) -> Drawing:
    """As `draw_packages`, of the packages that the system called `name` needs."""
    needs = system_needs(description, others=True)
    graph = _graph(access, description.packages.tree, _wanted(needs))
    return _drawn(access, graph, name, tuple(needs), foreign=True)


def system_needs(
    description: Description, *, others: bool = False, copied: Container[str] = ()
) -> list[Need]:
    """What a system needs: the images that packages make, each once, and with `others` all images,
    but those at the places that are `copied`. Bricks that ship with compos are no packages here,
    unless they are named by their folders."""
    config, platform, packages = description
    marks = image_marks(config)
    volumes = {image: volume.platforms for volume, image in layout_volumes(config)}
    needs_of = Needs(packages.tree, bricks=False)
    found: dict[tuple[str, Platform], Need] = {}
    for where, name in (
        *image_locations(config),
        *((f"volume {volume.name}", image) for volume, image in layout_volumes(config)),
    ):
        if is_local(name) or where in copied:
            continue
        for one in volumes.get(name) or (str(platform),):
            need = needs_of.image(name, Platform.parse(one), where, str(marks.get(name, "")))
            if need.recipe is not None or others:
                found.setdefault((need.asked, need.key.platform), need)
    return list(found.values())


def _wanted(needs: Iterable[Need]) -> list[tuple[Key, Recipe]]:
    return [(need.key, need.recipe) for need in needs if need.recipe is not None]


def _roots(
    recipes: Iterable[Recipe], platforms: Sequence[Platform] | None
) -> list[tuple[Key, Recipe]]:
    return [
        (Key(own_name(recipe), platform), recipe)
        for recipe in recipes
        for platform in platforms or (Platform.host(),)
        if platform.architecture in recipe.arches
    ]


def _graph(access: Access, tree: PackageTree, roots: list[tuple[Key, Recipe]]) -> Graph:
    for _, recipe in roots:
        tree.add_recipe(recipe)
    return graph_of(roots, Needs(tree, bricks=not access.has_bricks))


def _fetch(access: Access, graph: Graph, *, pull: bool) -> None:
    """Fetch what registries have: packages by the hash of their folder, and, with `pull`, what
    Dockerfiles are built from."""
    published = [
        key
        for key, package in graph.packages.items()
        if _is_named_by_contents(package) and access.store.resolve(key.name) is None
    ]
    others = dict.fromkeys(
        need.key
        for package in graph.packages.values()
        for need in package.needs
        if need.recipe is None
    )
    for key in published:
        # Not published, or nobody can be asked: it is built.
        with suppress(ComposError):
            access.images().image(*key)
    if pull and others:
        access.images(pull=True).images(list(others))


def _is_named_by_contents(package: Package) -> bool:
    """Whether a Dockerfile's image has a tag that no other contents have."""
    recipe = package.recipe
    return bool(recipe.dockerfile) and recipe.names_content and "-dirty-" not in recipe.tag


def _drawn(
    access: Access, graph: Graph, name: str, needs: tuple[Need, ...], *, foreign: bool
) -> Drawing:
    def reasons(package: Package) -> tuple[str, ...]:
        key = package.key
        state = state_of(access.store, package.recipe, key.platform, key.name, foreign=foreign)
        return state.reasons

    keys = {need.key for package in graph.packages.values() for need in package.needs}
    keys |= {need.key for need in needs}
    digests = {key: stored_digest(access.store, *key) for key in sorted(keys)}
    return Drawing(graph, verdicts(graph, reasons), digests, name, needs)


def _say_where(error: ComposError, wanted: Iterable[Need]) -> None:
    """Errors about a package that the YAML names begin with the place there."""
    for one in error.errors if isinstance(error, CombinedError) else (error,):
        for need in wanted:
            recipe = need.recipe
            if recipe and need.place and (one.place or "").startswith(str(recipe.folder)):
                one.place = f"{need.place}: {one.place}"
                break


def packages_below(
    folders: Iterable[str], others: Iterable[str] = (), naming: Naming | None = None
) -> tuple[PackageTree, list[Recipe]]:
    """The packages at or below `folders`, named by `naming` if that is given, and the
    tree of these and of `others`.
    Raises `PackageError`, `ConfigError`."""

    given = naming or Naming()

    def load(folder: Path) -> Recipe:
        return load_recipe(folder, given)

    tree = PackageTree(load, given.build_yml)
    found = dict.fromkeys(
        path for folder in folders for path in package_folders(Path(folder), given.build_yml)
    )
    tree.add(found)
    for folder in others:
        tree.add(package_folders(Path(folder)))
    return tree, [tree.at(path) for path in found]
