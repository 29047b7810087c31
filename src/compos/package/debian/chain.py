"""Why a Debian package is among others: the shortest way of dependencies to it. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from compos.package.debian.package import Package
from compos.package.debian.relation import Relation

__all__ = ["dependency_chain"]


def dependency_chain(
    packages: Iterable[Package], wanted: Iterable[str], name: str
) -> tuple[Package, ...]:
    """The packages from one of the `wanted` (names) to the one called `name`, each of which depends
    on the next; of several ways the shortest, and of these the first. Empty if there is none."""
    known = {package.name: package for package in packages}
    asked = [one for one in dict.fromkeys(wanted) if one in known]
    before: dict[str, str] = dict.fromkeys(asked, "")
    waiting = deque(asked)
    while waiting:
        current = waiting.popleft()
        if current == name:
            chain = [current]
            while before[chain[-1]]:
                chain.append(before[chain[-1]])
            return tuple(known[one] for one in reversed(chain))
        for dependency in known[current].depends:
            for relation in dependency.alternatives:
                for other in _fulfilling(known, relation):
                    if other not in before:
                        before[other] = current
                        waiting.append(other)
    return ()


def _fulfilling(known: dict[str, Package], relation: Relation) -> list[str]:
    """Names of the packages that are what `relation` names, or provide it."""
    named = known.get(relation.name)
    if named is not None and relation.accepts(named.version):
        return [named.name]
    return sorted(
        package.name
        for package in known.values()
        if any(one.name == relation.name for one in package.provides)
    )
