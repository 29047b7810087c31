"""Packages that a YAML names by their folders: `@pkg:FOLDER` stands for the image that `pkg build`
makes there.

May touch: the folders named (reading), and git's work tree around them.

As LinuxKit does (docs/linuxkit.md#2.3), with its defects put right (docs/linuxkit.md#N15): only
images' names are templates, an absolute folder is taken as it is, `tag:` counts, and what cannot be
resolved is an error at its place.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from compos.config.check import TEMPLATE
from compos.config.sources import folder_of
from compos.errors import PackageError
from compos.image.reference import LOCAL_IMAGES
from compos.package.bricks import own_name

if TYPE_CHECKING:
    from compos.image.platform import Platform
    from compos.package.graph.tree import PackageTree
    from compos.package.recipe import Recipe

__all__ = ["LocalPackages"]


class LocalPackages:
    """Resolves names that depend on where the YAML stands, and remembers the packages found by
    their images' names. `folders` have packages whose images the YAML may name, too."""

    def __init__(
        self, *, allow_local_files: bool = False, folders: Sequence[str | os.PathLike[str]] = ()
    ) -> None:
        self._allowed = allow_local_files
        self._folders = tuple(map(Path, folders))
        self._recipes: dict[str, Recipe] = {}
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether any package can be meant."""
        return bool(self._recipes or self._folders)

    @property
    def recipes(self) -> Mapping[str, Recipe]:
        """Every package that was named so far, by its image's canonical name."""
        return self._recipes

    def find(self, name: str) -> Recipe | None:
        """The package whose image is called `name` (canonical): named by its folder, beside one
        that is, or in the folders; None for all other images. For several threads. Raises
        `PackageError`."""
        own = self._recipes.get(name)
        if own is not None or not self:
            return own
        with self._lock:
            return self.tree.named(name)

    def needs(
        self, recipe: Recipe, platform: Platform, *, bricks: bool
    ) -> list[tuple[str, Platform]]:
        """What a package is built from: canonical names of images, and for which platforms; with
        `bricks`, ours are packages. For several threads. Raises `PackageError` (`package-cycle`,
        …)."""
        # Not at the top: few packages are built from others.
        from compos.package.graph.model import Key, graph_of
        from compos.package.graph.needs import Needs

        key = Key(own_name(recipe), platform)
        with self._lock:
            # The whole graph, for packages that are built from each other.
            graph = graph_of([(key, recipe)], Needs(self.tree, bricks=bricks))
        return [(need.key.name, need.key.platform) for need in graph.packages[key].needs]

    def add(self, name: str, recipe: Recipe) -> None:
        """Make known that a package's image is called `name` in the YAML."""
        self._recipes[name] = recipe

    @cached_property
    def tree(self) -> PackageTree:
        """The packages that were named so far, those beside them, and those in the folders. Raises
        `PackageError`."""
        # Not at the top: most systems name no package by its folder.
        from compos.package.graph.tree import PackageTree, package_folders

        tree = PackageTree()
        for recipe in self._recipes.values():
            tree.add_recipe(recipe)
            tree.add_siblings(recipe.folder)
        for folder in self._folders:
            tree.add(package_folders(folder))
        return tree

    def rename(self, text: str, source: str) -> str:
        """The image that `text`, said in the YAML `source`, means. Raises `PackageError`."""
        if text.startswith(TEMPLATE):
            from compos.package.recipe import load_recipe

            recipe = load_recipe(_path(text.removeprefix(TEMPLATE), source, allowed=self._allowed))
            name = own_name(recipe)
            self._recipes[name] = recipe
            return name
        for scheme in LOCAL_IMAGES:
            if text.startswith(scheme):
                return f"{scheme}{_path(text.removeprefix(scheme), source, allowed=self._allowed)}"
        return text


def _path(text: str, source: str, *, allowed: bool) -> Path:
    """The folder or file that `text` in `source` means; in what was fetched, if `allowed`, relative
    to the working folder."""
    folder = folder_of(source) or (Path() if allowed else None)
    if folder is None:
        raise PackageError(
            "config-template",
            "YAML from the network may not refer to this machine",
            hint="Use an image from a registry, save the YAML to a file, or use "
            "--allow-local-files.",
        )
    return Path(os.path.normpath(folder.absolute() / os.path.expanduser(text)))  # noqa: PTH111  "~/x" only
