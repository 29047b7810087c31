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


@given(TREES)
def test_entries_where_keep_both(tree: Tree) -> None:
    made = Entries.of(tree)
    kept = made.where(lambda path: path.startswith("a"))
    assert [*kept] == [(path, node) for path, node in made if path.startswith("a")]
    assert made.where(lambda _: True) is made
