"""Exactly the Debian packages that a lock names, from wherever they can still be had; no index is
needed, as each file's digest is known.

May touch: the store (`debian`), the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from compos.errors import ComposError, DiskFull, NetworkError, PackageError
from compos.package.choice import Choice
from compos.package.debian.archive import Advance, Bring, from_mirror, gather
from compos.package.debian.mirror import Mirror
from compos.package.debian.package import Package
from compos.package.debian.snapshot import SNAPSHOT_VARIABLE, Snapshot
from compos.package.recipe import Recipe

__all__ = ["LockedPackages", "PackageOrigins"]


class PackageOrigins:
    """Where locked packages may be had, besides the store: a team's registry (`registry`), the
    Debian mirror, the snapshot service. Each is asked for what the one before does not have; one
    that cannot be reached is not asked again. For several threads."""

    def __init__(
        self,
        mirror: Callable[[], Mirror],
        snapshot: Callable[[], Snapshot | None] = lambda: None,
        registry: Bring | None = None,
    ) -> None:
        self._mirror = mirror
        self._snapshot = snapshot
        self._registry = registry
        self._unreachable: set[str] = set()

    def bring(self, package: Package, date: str, path: Path, advance: Advance) -> None:
        """As `debian.archive.Bring`, for a package of an index that was signed at `date`. Raises
        `PackageError` (`lock-package-missing`)."""
        reasons = []
        for name, bring in self._origins(date):
            if name in self._unreachable:
                reasons.append(f"{name}: it cannot be reached")
                continue
            try:
                bring(package, path, advance)
            except ComposError as error:
                if isinstance(error, DiskFull):
                    raise
                if isinstance(error, NetworkError):
                    self._unreachable.add(name)
                reasons.append(f"{name}: {error.message}")
            else:
                return
        raise PackageError(
            "lock-package-missing",
            f"the locked Debian package {package} ({package.architecture}) cannot be had: "
            + "; ".join(reasons),
            place=f"{package.filename}, SHA-256 {package.sha256}",
            hint="Name a snapshot service with --debian-snapshot or "
            f"{SNAPSHOT_VARIABLE}, or a registry that has the parts with --mirror-from; or lock "
            "newer packages with `compos lock --update`.",
        )

    def _origins(self, date: str) -> list[tuple[str, Bring]]:
        origins: list[tuple[str, Bring]] = []
        if self._registry is not None:
            origins.append(("registry", self._registry))
        origins.append(("Debian mirror", self._from_mirror))
        if (snapshot := self._snapshot()) is not None:
            origins.append(
                (
                    "snapshot service",
                    lambda package, path, advance: snapshot.bring(package, date, path, advance),
                )
            )
        return origins

    def _from_mirror(self, package: Package, path: Path, advance: Advance) -> None:
        from_mirror(self._mirror(), package, path, advance)


class LockedPackages(NamedTuple):
    """A source of packages (`choice.PackageSource`) that knows one choice."""

    choice: Choice
    origins: PackageOrigins
    directory: Path

    def choose(self, recipe: Recipe, architecture: str) -> Choice:
        """What is locked, whatever there is now."""
        return self.choice

    def fetch(self, packages: Sequence[Package]) -> list[Path]:
        """From the store, or the first origin that has them. Raises `PackageError`."""
        dates = self.choice.dates

        def bring(package: Package, path: Path, advance: Advance) -> None:
            self.origins.bring(package, dates[package.suite], path, advance)

        return gather(packages, self.directory, bring)
