"""Which Debian packages a brick is made of, and where a builder gets them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from compos.image.json_document import canonical_json

if TYPE_CHECKING:
    from pathlib import Path

    from compos.package.debian.package import Package
    from compos.package.recipe import Recipe

__all__ = ["NOTHING", "Choice", "PackageSource"]


class Choice(NamedTuple):
    """The packages of a brick for one architecture, sorted by name.

    `dates` says of each suite when the index was signed that they were chosen from (ISO 8601, UTC),
    `lists` which lists of packages it named: SHA-256 by path, by suite. `left_out` are suites of
    updates that could not be used.
    """

    packages: tuple[Package, ...]
    dates: Mapping[str, str]
    lists: Mapping[str, Mapping[str, str]]
    left_out: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of all that gets from here into an image and its SBOM."""
        packages = [
            (one.suite, one.name, one.version, one.architecture, one.sha256, one.filename)
            for one in self.packages
        ]
        document = [packages, dict(self.dates), list(self.left_out)]
        return hashlib.sha256(canonical_json(document)).hexdigest()


NOTHING = Choice((), {}, {})
"""For a brick that takes nothing from Debian."""


class PackageSource(Protocol):
    """Where a builder gets its Debian packages."""

    def choose(self, recipe: Recipe, architecture: str) -> Choice:
        """What the brick is made of. Raises `PackageError`, `NetworkError`."""

    def fetch(self, packages: Sequence[Package]) -> list[Path]:
        """The files of `packages`, in their order, each with the SHA-256 that it should have.
        Raises as `choose` does."""
