"""One binary package as the index describes it.

Pure. Source: the fields of a binary package's control file, Debian policy, section 5.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from compos.errors import PackageError
from compos.package.debian.control import fields
from compos.package.debian.relation import Dependency, Relation, parse_alternatives, parse_relations

__all__ = ["Package", "parse_package"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SOURCE = re.compile(r"(\S+)(?:\s+\((\S+)\))?")
_PRIORITIES = ("required", "important", "standard", "optional", "extra")


@dataclass(frozen=True, slots=True)
class Package:
    """A binary package of one version in one suite.

    `filename` is its path below the mirror's URL, `size` its bytes, `depends` what Depends and Pre-Depends ask for,
    `conflicts` what Conflicts and Breaks exclude. `priority` is 0 (required) to 4 (extra).
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
    found = fields(stanza)
    try:
        name, version = found["package"], found["version"]
        source = _SOURCE.fullmatch(found.get("source") or name)
        if source is None or not _SHA256.fullmatch(found["sha256"]):
            raise ValueError
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
            priority=_PRIORITIES.index(found.get("priority", "optional")),
            depends=(
                *parse_alternatives(found.get("pre-depends", "")),
                *parse_alternatives(found.get("depends", "")),
            ),
            conflicts=(*parse_relations(found.get("conflicts", "")), *parse_relations(found.get("breaks", ""))),
            provides=parse_relations(found.get("provides", "")),
        )
    except (KeyError, ValueError) as error:
        raise PackageError(
            "debian-index",
            f"the package index describes {found.get('package', 'a package')} in a way that cannot be read",
            place=suite,
            hint="Name another mirror with --debian-mirror.",
        ) from error
