"""Which bricks of the store Debian has newer packages for, and which of these are security updates.

May touch: the store (reading), the Debian mirror. What a brick was made of is what its SBOM says;
what it would be made of now is found by resolving its recipe again, as a kernel's packages have
another name with each version.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote

from compos.errors import ImageError, PackageError
from compos.image.attestation import spdx_documents
from compos.image.door import stored_image
from compos.image.model import Image
from compos.image.names import ORIGIN, RECIPE, REGISTRY
from compos.image.platform import Platform
from compos.image.reference import Reference
from compos.image.store import REF_NAME, Store
from compos.package.bricks import find_brick
from compos.package.debian.index import PackageIndex
from compos.package.debian.mirror import INCOMPLETE_VARIABLE, SECURITY
from compos.package.debian.package import Package
from compos.package.debian.solver import resolve
from compos.package.debian.version import VERSION, version_key
from compos.package.indexes import Indexes
from compos.package.recipe import Recipe, named
from compos.package.recipe_key import recipe_key

__all__ = [
    "Brick",
    "Newer",
    "Outdated",
    "bricks_of",
    "newer_packages",
    "outdated",
    "packages_in",
    "require_security",
]

_PURL = re.compile(r"pkg:deb/debian/([^@?]+)@([^?]+)\?(?:.*&)?upstream=([^&]+)")
"""As `sbom` writes them."""


class Brick(NamedTuple):
    """A brick in the store; `changed` says that it was built from another recipe than `recipe` is
    today."""

    name: str
    recipe: Recipe
    platform: Platform
    image: Image
    changed: bool


class Newer(NamedTuple):
    """A package of a brick, the version in it, and what would be in it now; `suite` is where that
    comes from.

    `now` is empty when nothing would take its place. `security` says that the security updates have
    a version newer than the one in the brick, wherever the newest comes from.
    """

    package: str
    version: str
    replacement: str
    now: str
    suite: str
    security: bool


class Outdated(NamedTuple):
    """What is newer than in a brick; `unknown` says that the brick does not tell what it was made
    of."""

    brick: Brick
    packages: tuple[Newer, ...]
    unknown: bool

    @property
    def newer(self) -> bool:
        """Whether building the brick now would make another one."""
        return self.unknown or self.brick.changed or bool(self.packages)

    @property
    def security(self) -> bool:
        """Whether any of it is a security update, or may be."""
        return self.unknown or any(package.security for package in self.packages)


def bricks_of(store: Store, recipes: Iterable[Recipe] | None = None) -> Iterator[Brick]:
    """The bricks in the store that were built here or came from a registry of bricks, for each of
    their architectures: those of `recipes`, else the ones that compos ships. Raises `ImageError`
    (`store-missing`, ...)."""
    wanted = None if recipes is None else {named(recipe): recipe for recipe in recipes}
    for entry in store.entries():
        name = entry.annotations.get(REF_NAME, "")
        built = {
            key.removeprefix(f"{RECIPE}."): value
            for key, value in entry.annotations.items()
            if key.startswith(f"{RECIPE}.")
        }
        if not built and not entry.annotations.get(ORIGIN, "").startswith(REGISTRY):
            continue
        recipe = find_brick(Reference.parse(name)) if wanted is None else wanted.get(name)
        if recipe is None:
            continue
        for architecture, key in sorted(built.items()):
            platform = Platform("linux", architecture)
            image = stored_image(store, name, entry, platform)
            yield Brick(
                name, recipe, platform, image, changed=key != recipe_key(recipe, architecture)
            )
        for architecture in sorted({*recipe.arches} - {*built}):
            platform = Platform("linux", architecture)
            # Of what a registry has, the store has the platforms that were asked for.
            with suppress(ImageError):
                image = stored_image(store, name, entry, platform)
                yield Brick(name, recipe, platform, image, changed=False)


def outdated(store: Store, indexes: Indexes, brick: Brick) -> Outdated:
    """What Debian has newer than in `brick`. Raises `PackageError` (`debian-incomplete`: nobody
    knows), `ImageError` (`sbom-invalid`)."""
    debian = brick.recipe.debian
    if debian is None:
        return Outdated(brick, (), unknown=False)
    architecture = brick.platform.architecture
    index = indexes.index(debian, architecture)
    require_security(index)
    now = {
        package.name: package
        for package in resolve(index, debian.names(architecture), without=debian.without)
    }
    documents = list(spdx_documents(store, brick.image))
    newer = newer_packages(index, now, dict(_built(documents)))
    return Outdated(brick, newer, unknown=not documents)


def newer_packages(
    index: PackageIndex, now: Mapping[str, Package], built: Mapping[str, tuple[str, str]]
) -> tuple[Newer, ...]:
    """What is newer than the packages `built` (version and source package by name), where `now`
    would be taken from `index`."""
    found = (
        _newer(index, now, built, name, version, source)
        for name, (version, source) in sorted(built.items())
    )
    return tuple(one for one in found if one is not None)


def require_security(index: PackageIndex) -> None:
    """Raise `PackageError` for an index without the security updates that the recipe has, unless
    the user knows that (`COMPOS_DEBIAN_INCOMPLETE=1`): a brick that lacks one would be said to be
    up to date."""
    left_out = [suite for suite in index.left_out if suite.endswith(SECURITY)]
    if left_out and not os.environ.get(INCOMPLETE_VARIABLE):
        raise PackageError(
            "debian-incomplete",
            f"whether bricks for {index.architecture} lack security updates is unknown: the "
            f"mirror's list of {left_out[0]} is not the one that Debian signed",
            hint=f"Try again later, choose another mirror with --debian-mirror, or set "
            f"{INCOMPLETE_VARIABLE}=1 to compare with the other suites.",
        )


def packages_in(store: Store, brick: Brick) -> list[tuple[str, str]]:
    """Name and version of each Debian package in `brick`, by its SBOM. Raises `ImageError`
    (`sbom-invalid`)."""
    built = dict(_built(spdx_documents(store, brick.image)))
    return [(name, version) for name, (version, _) in sorted(built.items())]


def _built(documents: Iterable[Mapping[str, object]]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Name, version and source package of each Debian package that an SBOM lists."""
    for document in documents:
        for package in _mappings(document.get("packages")):
            for reference in _mappings(package.get("externalRefs")):
                if found := _PURL.match(str(reference.get("referenceLocator", ""))):
                    name, version, upstream = map(unquote, found.groups())
                    if re.fullmatch(VERSION, version):
                        yield name, (version, upstream.partition("@")[0])


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _newer(
    index: PackageIndex,
    now: Mapping[str, Package],
    built: Mapping[str, object],
    name: str,
    version: str,
    source: str,
) -> Newer | None:
    """What is newer than `name` of `version`; None when nothing is."""
    package = now.get(name) or _successor(now, built, name, source)
    if package is None:
        return Newer(name, version, "", "", "", security=False)
    if package.name == name and version_key(package.version) <= version_key(version):
        return None
    security = any(
        one.suite.endswith(SECURITY) and version_key(one.version) > version_key(version)
        for one in index.candidates(package.name)
    )
    return Newer(name, version, package.name, package.version, package.suite, security)


def _successor(
    now: Mapping[str, Package], built: Mapping[str, object], name: str, source: str
) -> Package | None:
    """The package that has taken the place of `name`, which has its version in its name: the same
    but for the digits."""
    alike = [
        package
        for package in now.values()
        if package.name not in built
        and package.source == source
        and _digitless(package.name) == _digitless(name)
    ]
    return max(alike, key=lambda package: version_key(package.version), default=None)


def _digitless(name: str) -> str:
    return re.sub(r"[0-9]+", "0", name)
