"""Debian's packages for recipes: the suite that each names, with its updates and security updates.

May touch: the Debian mirror, the store (`debian`: indexes and lists, verified).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from compos.errors import PackageError
from compos.package.debian.index import PackageIndex, load_index
from compos.package.debian.mirror import (
    INCOMPLETE_VARIABLE,
    NO_SECURITY,
    SECURITY,
    Mirror,
    accepts_incomplete,
)
from compos.package.recipe_fields import Debian
from compos.progress import notice

__all__ = ["Indexes"]


class Indexes:
    """Each index is loaded once; `mirror` is asked for when the first one is. For several
    threads."""

    def __init__(self, mirror: Callable[[], Mirror], directory: Path) -> None:
        self._mirror = mirror
        self._directory = directory
        self._lock = threading.Lock()
        self._loaded: dict[tuple[tuple[str, ...], tuple[str, ...], str], PackageIndex] = {}

    def index(self, debian: Debian, architecture: str) -> PackageIndex:
        """The packages that a recipe can take from Debian.

        A mirror without the suite's security updates is an error unless the user said to do
        without: a brick with known holes would look as if it were up to date. Updates whose list is
        not the signed one are an error, too, unless `accepts_incomplete`. Raises `PackageError`
        (`debian-no-security`, and those of `load_index`).
        """
        key = (debian.suites, debian.components, architecture)
        with self._lock:
            if key not in self._loaded:
                mirror = self._mirror()
                suites = debian.suites
                if mirror.security == "" and suites[-1].endswith(SECURITY):
                    notice(f"bricks are built without the security updates of {suites[-1]}")
                    suites = suites[:-1]
                self._loaded[key] = load_index(
                    mirror,
                    self._directory,
                    architecture=architecture,
                    suites=suites,
                    components=debian.components,
                    missing=_missing,
                    unmatched=partial(_unmatched, architecture),
                )
            return self._loaded[key]


def _missing(suite: str, error: PackageError) -> None:
    """What to do about a suite of updates that the mirror does not have."""
    if not suite.endswith(SECURITY):
        notice(f"{suite} is not used: {error.message}")
        return
    raise PackageError(
        "debian-no-security",
        f"there are no security updates, {suite}: {error.message}",
        place=error.place,
        hint="Set the archive that has them with --debian-security-mirror, or set it to "
        f"{NO_SECURITY} to build without them.",
    ) from error


def _unmatched(architecture: str, suite: str, error: PackageError) -> None:
    """What to do about a suite of updates whose list on the mirror is not the signed one."""
    if accepts_incomplete(architecture):
        notice(
            f"WARNING: bricks for {architecture} are built without {suite}: the mirror's package "
            f"list is not the one that Debian signed ({error.message}). "
            f"{INCOMPLETE_VARIABLE}=0 refuses this."
        )
        return
    raise PackageError(
        error.id,
        f"{suite} cannot be used for {architecture}: {error.message}",
        place=error.place,
        hint=f"{error.hint} {INCOMPLETE_VARIABLE}=1 builds without {suite}.",
    ) from error
