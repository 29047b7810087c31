"""Which packages are needed so that some packages work: dependencies followed, conflicts respected.

Pure over an `Index`. Every decision has a fixed order, so the same index gives the same answer.
What has only one answer is decided first; of several alternatives the first that is already chosen
is taken, else the first in Debian's order; when that leads nowhere, the latest decision is changed.
Recommends and Suggests are not followed, and Essential packages are not implied: no maintainer
script runs in a brick.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from compos.errors import PackageError
from compos.package.debian.package import Package
from compos.package.debian.relation import Dependency, Relation
from compos.suggestion import question

__all__ = ["Source", "resolve"]

_DECISIONS = 20_000
"""Alternatives tried before giving up; real sets need a few dozen."""


class Source(Protocol):
    """What the solver asks of an `Index`."""

    architecture: str

    def candidates(self, name: str) -> tuple[Package, ...]:
        """The packages called `name`, the highest version first."""

    def providers(self, name: str) -> tuple[Package, ...]:
        """The packages that provide `name`, the preferred first."""

    def similar(self, name: str) -> list[str]:
        """Names of packages that look like `name`."""


@dataclass(frozen=True, slots=True)
class _Need:
    """A dependency, and the packages that led to it, the first of them asked for by name."""

    dependency: Dependency
    path: tuple[str, ...]


class _Unsatisfiable(Exception):
    def __init__(self, need: _Need, reason: str) -> None:
        super().__init__(reason)
        self.need = need
        self.reason = reason


def resolve(
    index: Source, names: Iterable[str], *, without: Collection[str] = ()
) -> tuple[Package, ...]:
    """The packages `names` with all that they depend on, sorted by name.

    `without` names packages that are taken to be present elsewhere: a dependency that one of them
    fulfils is met, and they are not in the result. Raises `PackageError` (`debian-package-missing`,
    `debian-unsatisfiable`).
    """
    wanted = sorted(set(names))
    for name in wanted:
        if not index.candidates(name) and not index.providers(name):
            raise _missing(index, name)
    needs = [_Need(Dependency((Relation(name),)), ()) for name in wanted]
    chosen = _Search(index, frozenset(without) - set(wanted)).run(needs)
    return tuple(chosen[name] for name in sorted(chosen))


class _State:
    """What is decided at one moment of the search."""

    def __init__(
        self,
        chosen: dict[str, Package],
        provided: dict[str, tuple[Package, ...]],
        open: list[_Need],
    ) -> None:
        self.chosen = chosen
        self.provided = provided
        self.open = open

    def copy(self) -> _State:
        return _State(dict(self.chosen), dict(self.provided), list(self.open))

    def add(self, package: Package, need: _Need) -> None:
        path = (*need.path, package.name)
        self.chosen[package.name] = package
        for relation in package.provides:
            self.provided[relation.name] = (*self.provided.get(relation.name, ()), package)
        self.open += [_Need(dependency, path) for dependency in package.depends]

    def matching(self, relation: Relation) -> Iterator[Package]:
        """Chosen packages that `relation` speaks of, by their name or by what they provide."""
        named = self.chosen.get(relation.name)
        if named is not None and relation.accepts(named.version):
            yield named
        for package in self.provided.get(relation.name, ()):
            if package is not named and _provides(package, relation):
                yield package

    def conflict(self, package: Package) -> Package | None:
        """A chosen package that cannot stand beside `package`."""
        if (same := self.chosen.get(package.name)) is not None:
            return same
        for relation in package.conflicts:
            for other in self.matching(relation):
                if other.name != package.name:
                    return other
        for other in self.chosen.values():
            if any(_names(package, relation) for relation in other.conflicts):
                return other
        return None


class _Search:
    def __init__(self, index: Source, without: frozenset[str]) -> None:
        self._index = index
        self._without = without
        self._options: dict[Dependency, tuple[Package, ...]] = {}

    def run(self, needs: list[_Need]) -> dict[str, Package]:
        """Depth first over the alternatives; raises `PackageError` with the first reason met on the
        way."""
        state = _State({}, {}, needs)
        untried: list[tuple[_State, _Need, list[Package]]] = []
        first: _Unsatisfiable | None = None
        for _ in range(_DECISIONS):
            try:
                decision = self._settle(state)
                if decision is None:
                    return state.chosen
                need, options = decision
                untried.append((state, need, options))
            except _Unsatisfiable as failure:
                first = first or failure
            while untried and not untried[-1][2]:
                untried.pop()
            if not untried:
                break
            before, need, options = untried[-1]
            state = before.copy()
            state.add(options.pop(0), need)
        raise _unsatisfiable(first)

    def _settle(self, state: _State) -> tuple[_Need, list[Package]] | None:
        """Decide all that has one answer; returns the first need that has several, or None when
        nothing is open."""
        while True:
            undecided: list[tuple[_Need, list[Package]]] = []
            progressed = False
            while state.open:
                needs, state.open = state.open, []
                for need in needs:
                    options = self._possible(state, need)
                    if len(options) == 1:
                        state.add(options[0], need)
                        progressed = True
                    elif options:
                        undecided.append((need, options))
            if not undecided:
                return None
            state.open = [need for need, _ in undecided]
            if not progressed:
                # Versions of one package before alternatives between packages: the former are
                # hardly a choice.
                return min(
                    undecided, key=lambda entry: len({option.name for option in entry[1]}) > 1
                )

    def _possible(self, state: _State, need: _Need) -> list[Package]:
        """The packages that may fulfil `need` as things stand; none when it is fulfilled
        already."""
        options = self._candidates(need.dependency)
        if any(option.name in self._without for option in options) or any(
            relation.name in self._without for relation in need.dependency.alternatives
        ):
            return []
        if any(state.chosen.get(option.name) is option for option in options):
            return []
        if not options:
            raise _Unsatisfiable(need, "no package in this suite satisfies it")
        possible = []
        for option in options:
            obstacle = state.conflict(option)
            if obstacle is None:
                possible.append(option)
        if not possible:
            raise _Unsatisfiable(need, f"{options[0]} conflicts with {obstacle}")
        return possible

    def _candidates(self, dependency: Dependency) -> tuple[Package, ...]:
        """All packages that fulfil `dependency`, the preferred first."""
        found = self._options.get(dependency)
        if found is None:
            packages = [
                package
                for relation in dependency.alternatives
                for package in self._fulfilling(relation)
            ]
            found = self._options[dependency] = tuple(dict.fromkeys(packages))
        return found

    def _fulfilling(self, relation: Relation) -> Iterator[Package]:
        if relation.qualifier not in ("", "any", "native", self._index.architecture):
            return
        for package in self._index.candidates(relation.name):
            if relation.accepts(package.version):
                yield package
        for package in self._index.providers(relation.name):
            if _provides(package, relation):
                yield package


def _provides(package: Package, relation: Relation) -> bool:
    """Whether `package` provides what `relation` names; without a version it fulfils no versioned
    relation."""
    return any(
        provided.name == relation.name
        and (
            not relation.operator or (bool(provided.version) and relation.accepts(provided.version))
        )
        for provided in package.provides
    )


def _names(package: Package, relation: Relation) -> bool:
    if relation.name == package.name:
        return relation.accepts(package.version)
    return _provides(package, relation)


def _missing(index: Source, name: str) -> PackageError:
    return PackageError(
        "debian-package-missing",
        f"Debian has no package {name} for {index.architecture}",
        place=name,
        hint=question(index.similar(name)) or "Check the name and the suite.",
    )


def _unsatisfiable(failure: _Unsatisfiable | None) -> PackageError:
    if failure is None:
        message, place = "the dependencies cannot be satisfied together", None
    else:
        chain = " → ".join((*failure.need.path, str(failure.need.dependency)))
        message, place = f"{failure.need.dependency} cannot be installed: {failure.reason}", chain
    return PackageError(
        "debian-unsatisfiable",
        message,
        place=place,
        hint="Remove one of the packages, or list what the system has from elsewhere in "
        "debian.without.",
    )
