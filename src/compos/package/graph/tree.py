"""The packages of a source tree, found by their folders and by the names of their images.

May touch: the folders (reading), and git's work tree around packages whose names are asked for. A
package is read only if its build.yml has the last part of the name that is looked for, so that a
build in a tree of hundreds of packages reads a few.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from compos.errors import ComposError, PackageError
from compos.image.reference import Reference
from compos.package.bricks import own_name
from compos.package.recipe import Recipe, load_recipe
from compos.progress import notice

__all__ = ["PackageTree", "package_folders"]

MAX_FOLDERS = 100_000
"""Folders that are searched for packages."""

MAX_RECIPE = 1 << 20
"""Bytes of a build.yml that are searched for a name."""

_RECIPE = "build.yml"


def package_folders(top: Path, build_yml: str = _RECIPE) -> list[Path]:
    """The packages at or below `top`: each folder with a `build_yml`, sorted. What is below a
    package belongs to it; hidden folders and links are passed over. Raises `PackageError`
    (`package-missing`, `package-tree`)."""
    if not top.is_dir():
        raise PackageError(
            "package-missing",
            "the folder does not exist",
            place=str(top),
            hint="Use a package's folder, or one above several packages.",
        )
    found: list[Path] = []
    for count, (folder, folders, _) in enumerate(os.walk(top)):
        if count >= MAX_FOLDERS:
            raise PackageError(
                "package-tree",
                f"there are more than {MAX_FOLDERS} folders to search for packages",
                place=str(top),
                hint="Use a folder that is closer to the packages.",
            )
        if (Path(folder) / build_yml).is_file():
            found.append(Path(folder))
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]
    if not found:
        raise PackageError(
            "package-missing",
            f"neither the folder nor one below it has a {build_yml}",
            place=str(top),
            hint="Use a package's folder, or one above several packages.",
        )
    return sorted(found)


class PackageTree:
    """Packages by folder and by the canonical name of their image. `load` reads a package, which
    `build_yml` describes."""

    def __init__(
        self, load: Callable[[Path], Recipe] = load_recipe, build_yml: str = _RECIPE
    ) -> None:
        self._load = load
        self._build_yml = build_yml
        self._recipes: dict[Path, Recipe | None] = {}
        self._texts: dict[Path, bytes] = {}
        self._named: set[Path] = set()
        self._parents: set[Path] = set()
        self._found: dict[str, Recipe | None] = {}

    def add(self, folders: Iterable[Path]) -> None:
        """Make packages known that the user has named by their folders."""
        for folder in folders:
            path = self._know(folder)
            self._named.add(path)
            # It may have been passed over as a sibling.
            self._texts.pop(path, None)
        self._found.clear()

    def add_siblings(self, folder: Path) -> None:
        """Make known the packages that lie beside the package in `folder`."""
        parent = folder.resolve().parent
        if parent in self._parents:
            return
        self._parents.add(parent)
        try:
            beside = sorted(path for path in parent.iterdir() if (path / self._build_yml).is_file())
        except OSError:
            # A folder that only lets those through who know the way has no siblings to show.
            beside = []
        for one in beside:
            self._know(one)
        self._found.clear()

    def add_recipe(self, recipe: Recipe) -> None:
        """Make a package known that has been read."""
        path = self._know(recipe.folder)
        self._named.add(path)
        self._recipes[path] = recipe
        self._found.clear()

    def at(self, folder: Path) -> Recipe:
        """The package in `folder`. Raises as `load` does."""
        path = self._know(folder)
        recipe = self._recipes.get(path)
        if recipe is None:
            recipe = self._recipes[path] = self._load(folder)
        return recipe

    def named(self, name: str) -> Recipe | None:
        """The package whose image is called `name`; None for an image that is not of this tree.

        A name without a tag means `latest`, one with a digest no package. Raises `PackageError`
        (`package-duplicate`), and what is wrong with a package that the user has named; siblings
        that cannot be read are reported and passed over.
        """
        if name not in self._found:
            self._found[name] = self._search(name)
        return self._found[name]

    def _know(self, folder: Path) -> Path:
        path = folder.resolve()
        self._recipes.setdefault(path, None)
        return path

    def _search(self, name: str) -> Recipe | None:
        reference = Reference.find(name)
        if reference is None or reference.digest:
            return None
        wanted = str(reference if reference.tag else reference._replace(tag="latest"))
        last = reference.path.rpartition("/")[2].encode()
        found: Recipe | None = None
        for folder in sorted(self._recipes):
            if last not in self._text(folder):
                continue
            try:
                recipe = self.at(folder)
                same = own_name(recipe) == wanted
            except ComposError as error:
                if folder in self._named:
                    raise
                self._texts[folder] = b""
                notice(f"{folder / self._build_yml} is passed over: {error.message}")
                continue
            if same and found is not None:
                raise PackageError(
                    "package-duplicate",
                    f"two packages make the image {wanted}",
                    place=f"{found.folder / self._build_yml}, {recipe.folder / self._build_yml}",
                    hint="Change the image or org of one of them.",
                )
            found = recipe if same else found
        return found

    def _text(self, folder: Path) -> bytes:
        if folder not in self._texts:
            try:
                with (folder / self._build_yml).open("rb") as stream:
                    self._texts[folder] = stream.read(MAX_RECIPE)
            except OSError:
                self._texts[folder] = b""
        return self._texts[folder]
