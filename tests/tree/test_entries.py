"""Entries against a list of pairs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compos.tree.entries import Entries
from compos.tree.node import Tree, file

TREES = st.dictionaries(st.text("ab/", max_size=4), st.binary(max_size=2)).map(
    lambda said: {path: file(data, 0o644, 0) for path, data in said.items()}
)


@given(TREES, st.integers(-5, 5), st.integers(-5, 5))
def test_entries_are_sorted_pairs(tree: Tree, start: int, stop: int) -> None:
    plain = sorted(tree.items())
    made = Entries.of(tree)
    assert [*made] == [*made] == plain
    assert [*made[start:stop]] == plain[start:stop]
    assert [made[at] for at in range(-len(plain), len(plain))] == plain * 2
    assert bool(made) == bool(plain)


@given(TREES, st.lists(st.text("ab/", max_size=4)))
def test_parts_of_entries(tree: Tree, paths: list[str]) -> None:
    plain = sorted(tree.items())
    made = Entries.of(tree)
    inside = [one for one in plain if one[0].startswith("a/")]
    assert [*made[slice(*made.span("a/"))]] == inside
    assert [*made.outside("a/")] == [one for one in plain if one not in inside]
    assert [*made.without({*paths})] == [one for one in plain if one[0] not in paths]
    assert [*made.from_size(2)] == [at for at, (_, node) in enumerate(plain) if node.size >= 2]
