"""Packages that a YAML names by their folders: `@pkg:FOLDER` stands for the image that `pkg build`
makes there.

May touch: the folders named (reading), and git's work tree around them.

As LinuxKit does (docs/linuxkit.md#2.3), with its defects put right (docs/linuxkit.md#N15): only
images' names are templates, an absolute folder is taken as it is, `tag:` counts, and what cannot be
resolved is an error at its place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from compos.config.check import TEMPLATE
from compos.config.sources import folder_of
from compos.errors import PackageError
from compos.image.reference import LOCAL_IMAGES
from compos.package.bricks import own_name

if TYPE_CHECKING:
    from compos.package.recipe import Recipe

__all__ = ["LocalPackages"]


class LocalPackages:
    """Resolves names that depend on where the YAML stands, and remembers the packages found by
    their images' names."""

    def __init__(self, *, allow_local_files: bool = False) -> None:
        self._allowed = allow_local_files
        self._recipes: dict[str, Recipe] = {}

    @property
    def recipes(self) -> Mapping[str, Recipe]:
        """Every package that was named so far, by its image's canonical name."""
        return self._recipes

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
