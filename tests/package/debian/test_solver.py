"""Resolution: a table of small universes, every answer checked by policy, and what cannot be
answered."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compos.errors import PackageError
from compos.package.debian.package import Package, parse_package
from compos.package.debian.solver import resolve
from compos.package.debian.version import version_key
from tests.package.debian.archive_of import stanza


class Universe:
    """An index in memory; each package is `name [version] [field=value]...` with fields separated
    by `;`."""

    architecture = "amd64"

    def __init__(self, *lines: str) -> None:
        self.packages = [self._package(line) for line in lines]

    def _package(self, line: str) -> Package:
        head, *pairs = (part.strip() for part in line.split(";"))
        fields = {
            name.strip(): value.strip() for name, value in (pair.split(":", 1) for pair in pairs)
        }
        return parse_package(stanza(*head.split(), **fields), "trixie")

    def candidates(self, name: str) -> tuple[Package, ...]:
        found = [package for package in self.packages if package.name == name]
        return tuple(sorted(found, key=lambda package: version_key(package.version), reverse=True))

    def providers(self, name: str) -> tuple[Package, ...]:
        found = [
            package
            for package in self.packages
            if any(given.name == name for given in package.provides)
        ]
        return tuple(sorted(found, key=lambda package: (package.priority, package.name)))

    def similar(self, name: str) -> list[str]:
        return [package.name for package in self.packages if package.name[0] == name[0]]


CASES: dict[str, tuple[Sequence[str], str, str]] = {
    "chain": (["a; depends: b", "b; pre_depends: c", "c", "d"], "a", "a b c"),
    "cycle": (["a; depends: b", "b; depends: a"], "a", "a b"),
    "recommends": (["a; recommends: b", "b"], "a", "a"),
    "first alternative": (["a; depends: b | c", "b", "c"], "a", "a b"),
    "available alternative": (["a; depends: b | c", "c"], "a", "a c"),
    "chosen alternative": (["a; depends: b | c", "b", "c"], "a c", "a c"),
    "alternative chosen later": (["a; depends: b | c, d", "b", "c", "d; depends: c"], "a", "a c d"),
    "version excludes first": (["a; depends: b (>= 2) | c", "b 1", "c"], "a", "a c"),
    "highest version": (["a 1", "a 1~rc", "a 1.1"], "a", "a=1.1"),
    "version bound": (["a; depends: b (<< 2)", "b 1", "b 2"], "a", "a b=1"),
    "lower version after conflict": (
        ["a; depends: b; conflicts: b (>= 2)", "b 1", "b 2"],
        "a",
        "a b=1",
    ),
    "lower version for another": (
        ["a; depends: b, c", "b 1", "b 2", "c; depends: b (= 1)"],
        "a",
        "a b=1 c",
    ),
    "virtual": (["a; depends: v", "b; provides: v"], "a", "a b"),
    "virtual by priority": (
        ["a; depends: v", "b; provides: v", "c; provides: v; priority: important"],
        "a",
        "a c",
    ),
    "virtual already there": (["a; depends: v", "b; provides: v", "c; provides: v"], "a c", "a c"),
    "virtual asked for": (["b; provides: v"], "v", "b"),
    "real before virtual": (["a; depends: b", "b", "aa; provides: b"], "a", "a b"),
    "versioned provides": (
        ["a; depends: v (>= 2)", "b; provides: v (= 1)", "c; provides: v (= 2)"],
        "a",
        "a c",
    ),
    "unversioned provides": (["a; depends: v (>= 2) | d", "b; provides: v", "d"], "a", "a d"),
    "qualifier any": (["a; depends: b:any", "b"], "a", "a b"),
    "qualifier own": (["a; depends: b:amd64", "b"], "a", "a b"),
    "qualifier foreign": (["a; depends: b:i386 | c", "b", "c"], "a", "a c"),
    "conflict avoided": (["a; depends: b | c, d", "b; conflicts: d", "c", "d"], "a", "a c d"),
    "breaks avoided": (["a; depends: b | c, d", "b 1", "c", "d; breaks: b (<< 2)"], "a", "a c d"),
    "breaks older only": (
        ["a; depends: b | c, d", "b 2", "c", "d; breaks: b (<< 2)"],
        "a",
        "a b d",
    ),
    "virtual conflict": (
        ["a; depends: b | c, d", "b; conflicts: v", "c", "d; provides: v"],
        "a",
        "a c d",
    ),
    "own virtual name": (["a; provides: v; conflicts: v"], "a", "a"),
    "backtrack": (
        [
            "a; depends: b | c, d | e",
            "b; depends: f",
            "c",
            "d; conflicts: f",
            "e; conflicts: f",
            "f",
        ],
        "a",
        "a c d",
    ),
    "backtrack over missing": (["a; depends: b | c", "b; depends: x", "c"], "a", "a c"),
    "several roots": (["a; depends: c", "b; depends: c", "c"], "b a a", "a b c"),
}


def names(packages: Sequence[Package]) -> set[str]:
    return {package.name for package in packages}


@pytest.mark.parametrize(("lines", "wanted", "expected"), CASES.values(), ids=CASES)
def test_table(lines: Sequence[str], wanted: str, expected: str) -> None:
    for universe in (Universe(*lines), Universe(*reversed(lines))):
        found = resolve(universe, wanted.split())
        assert [package.name for package in found] == [
            name.partition("=")[0] for name in expected.split()
        ]
        versions = {package.name: package.version for package in found}
        pinned = dict(name.split("=") for name in expected.split() if "=" in name)
        assert {name: versions[name] for name in pinned} == pinned


@pytest.mark.parametrize(
    ("without", "expected"),
    [
        ("", "a b c d"),
        ("b", "a c d"),
        ("b d", "a c"),
        ("c", "a b d"),
        ("c b d", "a"),
        ("a", "a b c d"),
        ("unknown", "a b c d"),
    ],
)
def test_without(without: str, expected: str) -> None:
    universe = Universe("a; depends: b, c", "b; depends: d", "c; depends: d | x", "d")
    assert (
        " ".join(package.name for package in resolve(universe, ["a"], without=without.split()))
        == expected
    )


def test_without_meets_alternatives_and_virtual_names() -> None:
    universe = Universe(
        "a; depends: b | c, v", "b", "c; provides: v", "d; provides: v; priority: required"
    )
    assert names(resolve(universe, ["a"], without=["c"])) == {"a"}


def failure(universe: Universe, *wanted: str) -> PackageError:
    with pytest.raises(PackageError) as caught:
        resolve(universe, wanted)
    return caught.value


def test_missing() -> None:
    error = failure(Universe("nginx", "redis"), "ngnix")
    assert (error.id, error.hint) == ("debian-package-missing", "Did you mean 'nginx'?")
    assert failure(Universe("nginx"), "zzz").hint == "Check the name and the suite."


@pytest.mark.parametrize(
    ("lines", "wanted", "place", "word"),
    [
        (["a; depends: b", "b; depends: x (>= 2)", "x 1"], "a", "a → b → x (>= 2)", "no package"),
        (["a; conflicts: b", "b"], "a b", "b", "conflicts with"),
        (["a; depends: b, c", "b; breaks: c", "c"], "a", "a → c", "conflicts with"),
        (["a; depends: x | y"], "a", "a → x | y", "no package"),
    ],
)
def test_unsatisfiable(lines: Sequence[str], wanted: str, place: str, word: str) -> None:
    error = failure(Universe(*lines), *wanted.split())
    assert (error.id, error.place) == ("debian-unsatisfiable", place)
    assert word in error.message
    assert error.hint


NAMES = "abcdef"
RELATIONS = st.builds(
    lambda name, bound: f"{name} {bound}".strip(),
    st.sampled_from([*NAMES, "v"]),
    st.sampled_from(["", "", "", "(>= 2)", "(<< 2)"]),
)
DEPENDS = st.lists(st.lists(RELATIONS, min_size=1, max_size=2).map(" | ".join), max_size=2).map(
    ", ".join
)
LINES = st.builds(
    lambda name, version, depends, conflicts, provides: (
        f"{name} {version}; depends: {depends}; conflicts: {conflicts}; provides: {provides}"
    ),
    st.sampled_from(NAMES),
    st.sampled_from("12"),
    DEPENDS,
    st.just("") | RELATIONS,
    st.sampled_from(["", "", "v", "v (= 2)"]),
)
UNIVERSES = st.lists(LINES, min_size=1, max_size=7, unique_by=lambda line: line[:3])


def holds(package: Package, relation: object) -> bool:
    """Policy 7.1 and 7.5, said differently from the solver."""
    wanted, _, bound = str(relation).partition(" ")
    offers = [(package.name, package.version)] + [
        (given.name, given.version) for given in package.provides
    ]
    for name, version in offers:
        if name != wanted:
            continue
        if not bound or (version and (int(version) >= 2) == bound.startswith("(>=")):
            return True
    return False


def valid(chosen: Sequence[Package], wanted: str) -> bool:
    if len(names(chosen)) != len(chosen) or not any(holds(package, wanted) for package in chosen):
        return False
    for package in chosen:
        for dependency in package.depends:
            if not any(
                holds(other, relation) for other in chosen for relation in dependency.alternatives
            ):
                return False
        if any(
            holds(other, relation)
            for other in chosen
            if other is not package
            for relation in package.conflicts
        ):
            return False
    return True


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(UNIVERSES)
def test_against_all_subsets(lines: list[str]) -> None:
    universe = Universe(*lines)
    wanted = universe.packages[0].name
    subsets = [
        [package for bit, package in enumerate(universe.packages) if number >> bit & 1]
        for number in range(1 << len(universe.packages))
    ]
    solvable = any(valid(subset, wanted) for subset in subsets)
    try:
        found = resolve(universe, [wanted])
    except PackageError:
        assert not solvable
    else:
        assert solvable
        assert valid(found, wanted)
        assert found == resolve(universe, [wanted])
