"""The Debian packages that bricks are made of by default: the newest of the mirror's indexes.

May touch: the Debian mirror, the store (`debian`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from compos.package.choice import NOTHING, Choice
from compos.package.debian.archive import fetch_packages
from compos.package.debian.mirror import Mirror
from compos.package.debian.package import Package
from compos.package.debian.solver import resolve
from compos.package.indexes import Indexes
from compos.package.recipe import Recipe

__all__ = ["Newest"]


class Newest:
    """What the mirror's indexes have now; `mirror` is asked for when the first package is
    needed. For several threads."""

    def __init__(self, mirror: Callable[[], Mirror], directory: Path) -> None:
        self._mirror = mirror
        self._directory = directory
        self.indexes = Indexes(mirror, directory)

    def choose(self, recipe: Recipe, architecture: str) -> Choice:
        """The recipe's packages with all that they depend on."""
        debian = recipe.debian
        if debian is None:
            return NOTHING
        index = self.indexes.index(debian, architecture)
        packages = resolve(index, debian.names(architecture), without=debian.without)
        return Choice(packages, index.dates, index.lists, index.left_out)

    def fetch(self, packages: Sequence[Package]) -> list[Path]:
        """From the mirror, unless the store has them."""
        return fetch_packages(self._mirror(), packages, self._directory)
