"""`compos.why`: which entry of the YAML brought a file, a kernel module or a package, and how.

May touch: the store, the network for what it lacks; Debian's indexes, for dependencies within our
bricks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from compos.api.composed import Composed, InspectOptions, composed, facts_of_system
from compos.errors import ComposError, ConfigError
from compos.image.attestation import spdx_documents
from compos.package.bricks import find_brick
from compos.package.debian.chain import dependency_chain
from compos.package.files import known_files
from compos.package.select import merge_usr
from compos.progress import Listener, listening, notice
from compos.report.reasons import Debs, Reason, Reasons, Step
from compos.suggestion import did_you_mean

if TYPE_CHECKING:
    from compos.api.access import Access
    from compos.image.model import Image
    from compos.package.debian.package import Package
    from compos.package.recipe import Recipe

__all__ = ["why"]

_SHA256 = re.compile("[0-9a-f]{64}")


def why(
    name: str,
    sources: Sequence[str | os.PathLike[str]],
    options: InspectOptions = InspectOptions(),
    *,
    listener: Listener | None = None,
) -> tuple[Reason, ...]:
    """Why the path, kernel module or package `name` is in the system that `sources` describe; more
    than one reason where it is there several times.

    Raises as `compos.build` does, and `ConfigError` (`why-nothing`) if nothing is called so.
    """
    with listening(listener):
        found = composed(sources, options, sbom=True)
        facts = facts_of_system("", found)
        debs = _StoredDebs(found)
        reasons = Reasons(found.job, found.config, found.inputs.images, facts.packages, debs)
        answers = reasons.of(name)
        if not answers:
            raise ConfigError(
                "why-nothing",
                f"nothing in the system is called {name[:200]!r}",
                place=os.fspath(sources[-1]),
                hint=did_you_mean(
                    name, set(reasons.known()), "Name a path (/etc/passwd), a module or a package."
                ),
            )
        return answers


class _StoredDebs(Debs):
    """Debian packages of our bricks: their files as the store remembers them, their dependencies as
    today's indexes have them."""

    def __init__(self, found: Composed) -> None:
        self._access: Access = found.access
        self._architecture = found.job.request.architecture
        self._owners: dict[str, dict[str, str]] = {}
        self._packages: dict[str, tuple[Package, ...]] = {}

    def owner(self, image: Image, path: str) -> str:
        if image.digest not in self._owners:
            self._owners[image.digest] = dict(self._owned(image))
        owners = self._owners[image.digest]
        return owners.get(merge_usr(path), "")

    def _owned(self, image: Image) -> Iterator[tuple[str, str]]:
        for document in spdx_documents(self._access.store, image):
            packages = document.get("packages")
            for package in packages if isinstance(packages, list) else ():
                name, version, sha256 = _identity(package)
                for path in known_files(self._access.store, sha256) if sha256 else ():
                    yield path, f"{name} {version}".strip()

    def chain(self, reference: str, package: str) -> Sequence[Step]:
        from compos.image.reference import Reference

        found = Reference.find(reference)
        recipe = find_brick(found) if found else None
        if recipe is None or recipe.debian is None:
            return ()
        wanted = recipe.debian.names(self._architecture)
        steps = []
        if package not in wanted:
            way = dependency_chain(self._chosen(recipe), wanted, package)
            steps += [Step(f"needed by {one.name}") for one in reversed(way[:-1])]
            if not way:
                return ()
        return (*steps, Step("named by the recipe", f"{recipe.folder / 'build.yml'}"))

    def _chosen(self, recipe: Recipe) -> tuple[Package, ...]:
        name = recipe.name
        if name not in self._packages:
            try:
                choice = self._access.builder.newest.choose(recipe, self._architecture)
                self._packages[name] = choice.packages
            except ComposError as error:
                notice(f"dependencies within {name} are not shown: {error.message}")
                self._packages[name] = ()
        return self._packages[name]


def _identity(package: Any) -> tuple[str, str, str]:
    """Name, version and SHA-256 of an SPDX package; empty for what it does not say."""
    if not isinstance(package, dict):
        return "", "", ""
    sums = package.get("checksums")
    found = next(
        (
            str(one.get("checksumValue"))
            for one in (sums if isinstance(sums, list) else ())
            if isinstance(one, dict) and one.get("algorithm") == "SHA256"
        ),
        "",
    )
    usable = found if _SHA256.fullmatch(found) else ""
    return str(package.get("name", "")), str(package.get("versionInfo", "")), usable
