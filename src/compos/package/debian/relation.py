"""Relations between packages: what stands in Depends, Conflicts, Breaks and Provides.

Pure. Source: Debian policy, section 7.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from compos.errors import PackageError
from compos.package.debian.version import VERSION, satisfies

__all__ = ["NAME", "Dependency", "Relation", "parse_alternatives", "parse_relations"]

NAME = r"[a-z0-9A-Z][a-z0-9A-Z+._-]{0,254}"
"""Pattern of a package's name: Debian policy, section 5.6.7, and what other archives let pass."""

_RELATION = re.compile(
    rf"({NAME})(?::([a-z0-9-]+))?(?:\s*\(\s*(<<|<=|>=|>>|[=<>])\s*({VERSION})\s*\))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Relation:
    """One package named by another: `name:qualifier (operator version)`."""

    name: str
    operator: str = ""
    version: str = ""
    qualifier: str = ""

    def accepts(self, version: str) -> bool:
        """Whether the package of this name may have `version`."""
        return not self.operator or satisfies(version, self.operator, self.version)

    def __str__(self) -> str:
        name = f"{self.name}:{self.qualifier}" if self.qualifier else self.name
        return f"{name} ({self.operator} {self.version})" if self.operator else name


@dataclass(frozen=True, slots=True)
class Dependency:
    """Alternatives of which one has to be there; the first is preferred."""

    alternatives: tuple[Relation, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.alternatives))


@cache
def _relation(text: str) -> Relation:
    match = _RELATION.fullmatch(text)
    if match is None:
        raise PackageError(
            "debian-index",
            f"a relation in the package index cannot be read: {text[:100]!r}",
            hint="Choose another mirror with --debian-mirror.",
        )
    name, qualifier, operator, version = match.groups("")
    return Relation(name, operator, version, qualifier)


def parse_relations(text: str) -> tuple[Relation, ...]:
    """A list without alternatives: Conflicts, Breaks, Provides. Raises `PackageError`
    (`debian-index`)."""
    return tuple(_relation(part) for piece in text.split(",") if (part := piece.strip()))


def parse_alternatives(text: str) -> tuple[Dependency, ...]:
    """A list with alternatives: Depends, Pre-Depends. Raises `PackageError` (`debian-index`)."""
    return tuple(
        Dependency(tuple(_relation(part.strip()) for part in piece.split("|")))
        for piece in text.split(",")
        if piece.strip()
    )
