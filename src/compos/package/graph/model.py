"""Packages and what each is built from, as a graph. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from compos.errors import PackageError
from compos.image.platform import Platform
from compos.package.recipe import Recipe

__all__ = ["Graph", "Key", "Need", "Package", "graph_of"]


class Key(NamedTuple):
    """An image for one platform: its canonical name, and the platform."""

    name: str
    platform: Platform

    def __str__(self) -> str:
        return f"{self.name} {self.platform}"


class Need(NamedTuple):
    """An image that something is built from: `key` is the image, `asked` its canonical name as it
    is written, without a tag if that has none; `how` and `place` are as what it is used and where
    that is said. `recipe` is the package that makes it, None if it comes from elsewhere."""

    key: Key
    asked: str
    how: str
    place: str
    recipe: Recipe | None


class Package(NamedTuple):
    """A package for one platform, and what it is built from, in the order of its Dockerfile."""

    key: Key
    recipe: Recipe
    needs: tuple[Need, ...]

    @property
    def packages(self) -> list[Key]:
        """The packages that it is built from."""
        return list(dict.fromkeys(need.key for need in self.needs if need.recipe is not None))


class Graph(NamedTuple):
    """Packages, each behind those that it is built from, and which of them were asked for."""

    packages: Mapping[Key, Package]
    wanted: tuple[Key, ...]

    @property
    def needs(self) -> dict[Key, list[Key]]:
        """The packages that each is built from."""
        return {key: package.packages for key, package in self.packages.items()}


def graph_of(
    wanted: Iterable[tuple[Key, Recipe]],
    needs_of: Callable[[Recipe, Platform], Sequence[Need]],
) -> Graph:
    """The graph of the packages `wanted` and all that they need; `needs_of` finds what one needs.
    Raises `PackageError` (`package-cycle`), and what `needs_of` raises."""
    packages: dict[Key, Package] = {}
    roots = tuple(dict(wanted).items())
    for key, recipe in roots:
        _visit(key, recipe, needs_of, packages)
    return Graph(packages, tuple(key for key, _ in roots))


def _visit(
    key: Key,
    recipe: Recipe,
    needs_of: Callable[[Recipe, Platform], Sequence[Need]],
    packages: dict[Key, Package],
) -> None:
    """Add a package to `packages`, behind what it needs. Without recursion: a chain of packages may
    be long."""
    if key in packages:
        return

    def opened(key: Key, recipe: Recipe) -> tuple[Package, Iterator[Need]]:
        package = Package(key, recipe, tuple(needs_of(recipe, key.platform)))
        return package, iter(package.needs)

    path = {key: opened(key, recipe)}
    while path:
        key = next(reversed(path))
        package, rest = path[key]
        need = next((one for one in rest if one.recipe and one.key not in packages), None)
        if need is None:
            packages[key] = package
            del path[key]
        elif need.key in path:
            raise _circle([*path][[*path].index(need.key) :], need)
        elif need.recipe is not None:
            path[need.key] = opened(need.key, need.recipe)


def _circle(keys: list[Key], need: Need) -> PackageError:
    names = [key.name for key in (*keys, keys[0])]
    return PackageError(
        "package-cycle",
        f"packages are built from each other: {' → '.join(names)}"
        if len(keys) > 1
        else f"the package {names[0]} is built from itself",
        place=need.place,
        hint="Move what they share into a package of its own, or use a released image by digest.",
    )
