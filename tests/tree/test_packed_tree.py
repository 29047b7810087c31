"""Packed trees against dictionaries."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compos.tree.entries import Entries
from compos.tree.node import FILE, Hole, Node, Tree, directory, file
from compos.tree.overlay import IMPLIED
from compos.tree.packed_tree import PackedRange
from tests.tree.packed_trees import packed_of

NODES = st.one_of(
    st.binary(max_size=2).map(lambda data: file(data, 0o644, 0)),
    st.just(Node(FILE, 0o4755, 1, 2, -3, 7, (b"ab", Hole(5)), xattrs=(("user.a", b"x"),))),
    st.just(Node(FILE, 0o600, inode="1", xattrs=(("user.a", b"x"), ("user.b", b"")))),
    st.just(directory(0o700, 5)),
    st.just(Node("c", 0o600, device=(4095, 7))),
)
NAMES = st.lists(st.sampled_from(("a", "b", "a.b", "é", "\udcff")), min_size=1, max_size=3)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """In which nothing lies below what is no folder."""
    tree = draw(st.dictionaries(NAMES.map("/".join), NODES, max_size=8))
    for path in [*tree]:
        if any(other.startswith(f"{path}/") for other in tree):
            tree[path] = directory(0o755, 0)
    return tree


@pytest.mark.slow
@given(trees(), st.lists(st.tuples(NAMES.map("/".join), NODES | st.none()), max_size=5))
def test_a_changed_tree_is_as_a_dictionary(
    tree: Tree, changes: list[tuple[str, Node | None]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        packed = packed_of(tree, Path(folder))
    plain = dict(tree)
    for path, node in changes:
        assert packed.get(path) == plain.get(path)
        assert (path in packed) == (path in plain)
        if node is None:
            assert packed.pop(path, None) == plain.pop(path, None)
        else:
            packed[path] = plain[path] = node
    assert [*packed.items()] == sorted(plain.items())
    assert [*packed] == sorted(plain)
    assert len(packed) == len(plain)
    expected = [
        (f"x/{path}", node._replace(inode=node.inode and f"y:{node.inode}"))
        for path, node in sorted(plain.items())
    ]
    entries = Entries(packed.parts("x/", "y:"))
    assert [*entries] == [entries[at] for at in range(len(entries))] == expected
    assert [*entries.paths()] == [path for path, _ in expected]
    assert entries.size() == sum(node.size for node in plain.values())
    for path in ("x/a/b", "x/b", "", "w", "y", "x/a.b/é", *(path for path, _ in expected)):
        assert entries.bisect(path) == sum(one < path for one, _ in expected)
        assert entries.get(path) == dict(expected).get(path)
    gone = {path for path, _ in expected[::2]} | {"x/none"}
    assert [*entries.without(gone)] == [pair for pair in expected if pair[0] not in gone]
    assert [*entries[1:-1]] == expected[1:-1]


@given(trees())
def test_a_complete_tree_has_all_folders(tree: Tree) -> None:
    with tempfile.TemporaryDirectory() as folder:
        packed = packed_of(tree, Path(folder))
    assert packed.complete(IMPLIED)
    expected = dict(tree)
    for path in tree:
        for end in range(len(path)):
            if path[end] == "/":
                expected.setdefault(path[:end], IMPLIED)
    assert dict(packed.items()) == expected


@pytest.mark.parametrize(
    ("change", "possible"),
    [
        ({"a/b": file(b"", 0o644, 0)}, False),
        ({"a/b": None}, True),
        ({"a/b/c/d": file(b"", 0o644, 0)}, False),
        ({"x/y": file(b"", 0o644, 0)}, True),
    ],
)
def test_nothing_may_lie_below_a_file(
    change: dict[str, Node | None], possible: bool, tmp_path: Path
) -> None:
    packed = packed_of({"a/b": directory(0o700, 0), "a/b/c": file(b"", 0o644, 0)}, tmp_path)
    for path, node in change.items():
        if node is None:
            del packed[path]
        else:
            packed[path] = node
    assert packed.complete(IMPLIED) == possible
    with pytest.raises(KeyError):
        del packed["none"]


def test_equal_texts_are_of_equal_records(tmp_path: Path) -> None:
    trees: list[Tree] = [{"a": file(b"x", 0o644, 0)}, {"a": file(b"y", 0o644, 0)}]
    texts = [[*Entries(packed_of(tree, tmp_path).parts()).texts()] for tree in (*trees, trees[0])]
    assert texts[0] == texts[2] != texts[1]
    (part,) = packed_of(trees[0], tmp_path).parts()
    moved = [*packed_of(trees[0], tmp_path).parts("x/")]
    assert isinstance(part, PackedRange)
    assert [*moved[0].texts()] != texts[0]
