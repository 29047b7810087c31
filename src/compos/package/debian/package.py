"""One binary package as the index describes it.

Pure. Source: the fields of a binary package's control file, Debian policy, section 5.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from compos.errors import PackageError
from compos.package.debian.control import fields
from compos.package.debian.relation import (
    NAME,
    Dependency,
    Relation,
    parse_alternatives,
    parse_relations,
)
from compos.package.debian.version import VERSION

__all__ = ["PATTERNS", "Package", "parse_package"]

_SOURCE = re.compile(rf"({NAME})(?:\s+\(({VERSION})\))?", re.ASCII)
PATTERNS = {
    "package": re.compile(NAME),
    "version": re.compile(VERSION),
    "architecture": re.compile(r"[a-z0-9-]{1,64}"),
    # Below the mirror's folder: no part is empty or begins with two dots, nothing is quoted by a
    # backslash.
    "filename": re.compile(r"(?:\./)?(?:(?!\.\.?/)[!-.0-\[\]-~]+/)*(?!\.\.?$)[!-.0-\[\]-~]+"),
    # A member of an ar archive, which holds the data, ends at ten digits (ar(5)).
    "size": re.compile(r"[0-9]{1,11}"),
    "sha256": re.compile(r"[0-9a-f]{64}"),
}
"""What must be there, and how it looks."""

_PRIORITIES = ("required", "important", "standard", "optional", "extra")


@dataclass(frozen=True, slots=True)
class Package:
    """A binary package of one version in one suite.

    `filename` is its path below the mirror's URL, `size` its bytes, `depends` what Depends and
    Pre-Depends ask for, `conflicts` what Conflicts and Breaks exclude. `priority` is 0 (required)
    to 4 (extra).
    """

    name: str
    version: str
    architecture: str
    suite: str
    source: str
    source_version: str
    filename: str
    size: int
    sha256: str
    homepage: str
    priority: int
    depends: tuple[Dependency, ...]
    conflicts: tuple[Relation, ...]
    provides: tuple[Relation, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def parse_package(stanza: str, suite: str) -> Package:
    """The package of one stanza of a Packages file; raises `PackageError` (`debian-index`)."""
    found: dict[str, str] = {}
    try:
        found = fields(stanza)
        for field, pattern in PATTERNS.items():
            if not pattern.fullmatch(found[field]):
                raise ValueError(f"its {field} is invalid")
        name, version = found["package"], found["version"]
        source = _SOURCE.fullmatch(found.get("source") or name)
        if source is None:
            raise ValueError("its source is invalid")
        return Package(
            name=name,
            version=version,
            architecture=found["architecture"],
            suite=suite,
            source=source[1],
            source_version=source[2] or version,
            filename=found["filename"],
            size=int(found["size"]),
            sha256=found["sha256"],
            homepage=found.get("homepage", ""),
            priority=_priority(found.get("priority", "optional")),
            depends=(
                *parse_alternatives(found.get("pre-depends", "")),
                *parse_alternatives(found.get("depends", "")),
            ),
            conflicts=(
                *parse_relations(found.get("conflicts", "")),
                *parse_relations(found.get("breaks", "")),
            ),
            provides=parse_relations(found.get("provides", "")),
        )
    except (KeyError, ValueError) as error:
        reason = f"it has no {error.args[0]}" if isinstance(error, KeyError) else str(error)
        name = found.get("package", "")[:100]
        raise PackageError(
            "debian-index",
            f"the entry of {name or 'a package'} in the package index cannot be read: {reason}",
            place=suite,
            hint="Choose another mirror with --debian-mirror.",
        ) from error


def _priority(name: str) -> int:
    """0 to 4; what other archives call differently comes last."""
    return _PRIORITIES.index(name) if name in _PRIORITIES else len(_PRIORITIES) - 1
