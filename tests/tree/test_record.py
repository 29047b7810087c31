"""Records: what is written comes back; whatever else lies there is no record, and no exception."""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
from compos.tree import columns, record
from compos.tree.flatten import image_tree
from compos.tree.node import FILE, Hole, Node, Piece, Slice, directory, file, symlink
from tests.images import Member, make_image

TEXT = st.text(st.characters(codec=None), max_size=20)
NUMBERS = {"B": 8, "H": 16, "I": 32}


@st.composite
def tables(draw: st.DrawFn) -> list[tuple[str, list[Any]]]:
    kinds = draw(st.lists(st.sampled_from("sbBHIq"), max_size=6))
    values: dict[str, st.SearchStrategy[Any]] = {
        "s": TEXT,
        "b": st.binary(max_size=20),
        "q": st.integers(-(1 << 63), (1 << 63) - 1),
        **{kind: st.integers(0, (1 << bits) - 1) for kind, bits in NUMBERS.items()},
    }
    return [(kind, draw(st.lists(values[kind], max_size=10))) for kind in kinds]


@pytest.mark.slow
@settings(deadline=None)
@given(tables())
def test_columns_come_back(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, list[Any]]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "columns"
    columns.save(path, "x 1", table)
    kinds = "".join(kind for kind, _ in table)
    expected = [values for _, values in table]
    assert [*map(list, columns.load(path, "x 1", kinds) or [])] == expected
    if kinds:
        assert [*map(list, columns.load(path, "x 1", "", kinds) or [])] == expected
        columns.save(path, "x 1", [*table, *table])
        assert [*map(list, columns.load(path, "x 1", kinds, kinds) or [])] == expected * 2
        columns.save(path, "x 1", [*table, *table][:-1])
        if len(kinds) > 1:
            assert columns.load(path, "x 1", kinds, kinds) is None
        columns.save(path, "x 1", table)
    assert columns.load(path, "x 2", "".join(kind for kind, _ in table)) is None
    assert columns.load(path, "x 1", "".join(kind for kind, _ in table) + "s") is None


@pytest.mark.slow
@settings(deadline=None)
@given(tables(), st.data())
def test_damaged_columns_are_none(
    tmp_path_factory: pytest.TempPathFactory,
    table: list[tuple[str, list[Any]]],
    data: st.DataObject,
) -> None:
    """Cut at any byte, or with another byte anywhere; and so, too, when the checksum was made for
    it."""
    path = tmp_path_factory.getbasetemp() / "columns"
    columns.save(path, "x 1", table)
    kinds = "".join(kind for kind, _ in table)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert columns.load(path, "x 1", kinds) is None
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(
        whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    )
    assert columns.load(path, "x 1", kinds) is None
    forge(
        path, lambda body: body[: at % (len(body) or 1)] + data.draw(st.binary(max_size=30)), whole
    )
    columns.load(path, "x 1", kinds)


def forge(path: Path, change: Callable[[bytes], bytes], whole: bytes | None = None) -> None:
    """Another body, with the checksum that belongs to it."""
    whole = path.read_bytes() if whole is None else whole
    start = whole.index(b"\n") + 1
    body = change(whole[start + 32 :])
    path.write_bytes(whole[:start] + hashlib.sha256(body).digest() + body)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """With a blob of 1000 bytes, a derived result of 500, and a record of 1000."""
    made = Store(tmp_path / "store")
    made.put(bytes(1000), "text/plain")
    with made.derive(DerivedKind.LAYER, "x.tar") as path:
        path.write_bytes(bytes(500))
    with made.derive(DerivedKind.RESULT, "x") as path:
        path.write_bytes(bytes(1000))
    return made


BLOB = f"blobs/sha256/{hashlib.sha256(bytes(1000)).hexdigest()}"
RESULT = "derived/layer/x.tar"
HEAD = f"compos-record 3 {DerivedKind.TREE.title}\n".encode()
NODES: list[tuple[str, Node]] = [
    ("", directory(0o700, 5)),
    ("bin", directory(0o755, -7)),
    (
        "bin/a",
        Node(
            FILE,
            0o4755,
            1,
            (1 << 32) - 1,
            10**18,
            1000,
            (Slice(BLOB, 0, 1000),),
            xattrs=(("user.a", b"\0"),),
        ),
    ),
    (
        "bin/b",
        Node(
            FILE,
            0o644,
            size=560,
            content=(Slice(RESULT, 100, 400), Hole(150), b"0123456789"),
            inode="1:bin/b",
        ),
    ),
    ("bin/empty", Node(FILE, 0o644)),
    ("bin/\udcff\n", file(b"x", 0o644, 0)),
    ("dev", Node("c", 0o600, device=(4095, (1 << 20) - 1))),
    ("link", symlink("../../anywhere/\udcff", 1)),
    ("pipe", Node("p", 0o600)),
]


def test_nodes_come_back(store: Store, tmp_path: Path) -> None:
    record.save_nodes(tmp_path / "r", DerivedKind.TREE, NODES, (("gone", "a/b"), ("opaque",)))
    assert record.load_nodes(tmp_path / "r", DerivedKind.TREE, store) == (
        NODES,
        (("gone", "a/b"), ("opaque",)),
    )
    tree = record.load_tree(tmp_path / "r", DerivedKind.TREE, store)
    assert tree is not None
    assert [*tree.items()] == NODES
    assert record.load_nodes(tmp_path / "r", DerivedKind.LAYER_INDEX, store) is None
    assert record.load_groups(tmp_path / "r", DerivedKind.TREE, store) is None
    assert record.load_nodes(tmp_path / "none", DerivedKind.TREE, store) is None
    record.save_nodes(tmp_path / "r", DerivedKind.TREE, [])
    assert record.load_nodes(tmp_path / "r", DerivedKind.TREE, store) == ([], ((), ()))


@pytest.mark.parametrize("harm", ["gone", "short", "other bytes", "a link"])
@pytest.mark.parametrize("source", [BLOB, RESULT])
def test_stored_files_must_be_there_unharmed(
    store: Store, tmp_path: Path, source: str, harm: str
) -> None:
    record.save_nodes(tmp_path / "r", DerivedKind.TREE, NODES)
    path = store.root / source
    data = path.read_bytes()
    path.unlink()
    if harm == "a link":
        (tmp_path / "elsewhere").write_bytes(data)
        path.symlink_to(tmp_path / "elsewhere")
    elif harm != "gone":
        path.write_bytes(data[:400] if harm == "short" else b"x" * len(data))
    assert record.load_nodes(tmp_path / "r", DerivedKind.TREE, Store(store.root)) is None


GOOD = dict(NODES)["bin/a"]
LONG = 1 << 40


HOSTILE: dict[str, list[tuple[str, Node]]] = {
    "a file outside of the store": [
        ("a", GOOD._replace(content=(Slice("../../etc/shadow", 0, 1000),)))
    ],
    "an absolute one": [("a", GOOD._replace(content=(Slice("/etc/shadow", 0, 1000),)))],
    "one by way of the store": [
        ("a", GOOD._replace(content=(Slice("blobs/sha256/../../../x", 0, 1000),)))
    ],
    "the store's own": [("a", GOOD._replace(content=(Slice("index.json", 0, 1000),)))],
    "a hidden one": [("a", GOOD._replace(content=(Slice("derived/layer/.x", 0, 1000),)))],
    "a record": [("a", GOOD._replace(content=(Slice("derived/result/x", 0, 1000),)))],
    "a name with a line break": [("a", GOOD._replace(content=(Slice(f"{BLOB}\n", 0, 1000),)))],
    "behind the end": [("a", GOOD._replace(content=(Slice(BLOB, 1, 1000),)))],
    "before the beginning": [("a", GOOD._replace(content=(Slice(BLOB, -1, 1000),)))],
    "a size below zero": [("a", GOOD._replace(size=-1, content=(Slice(BLOB, 2, -1),)))],
    "another size": [("a", GOOD._replace(size=999))],
    "a size without content": [("a", GOOD._replace(content=()))],
    "content of a folder": [("a", GOOD._replace(kind="d"))],
    "a hole below zero": [
        ("a", GOOD._replace(size=1000, content=(Slice(BLOB, 0, 1000), Hole(1), Hole(-1))))
    ],
    "an unknown kind": [("a", GOOD._replace(kind="x"))],
    "a mode of 13 bits": [("a", GOOD._replace(mode=0o10000))],
    "a device of 13 bits": [("a", Node("c", 0o600, device=(4096, 1)))],
    "a minor device of 21 bits": [("a", Node("c", 0o600, device=(1, 1 << 20)))],
    "a path upwards": [("../a", GOOD)],
    "upwards in the middle": [("b/../../a", GOOD)],
    "upwards at the end": [("b/..", GOOD)],
    "an absolute path": [("/a", GOOD)],
    "an empty part": [("a//b", GOOD)],
    "a NUL": [("a\0b", GOOD)],
    "a NUL that hides": [("a\0", GOOD), ("../b", GOOD)],
    "a long path": [("a" * 5000, GOOD)],
    "a long link": [("a", symlink("a" * 5000, 0))],
    "twice": [("a", GOOD), ("a", GOOD)],
    "out of order": [("b", GOOD), ("a", GOOD)],
    "a root that is a file": [("", GOOD), ("a", GOOD)],
    "below a file": [("a", GOOD), ("a/b", GOOD)],
    "far below a file": [("a", GOOD), ("a/b/c/d", GOOD)],
    "below a link": [("a", symlink("/", 0)), ("a/b", GOOD)],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_record_is_none(store: Store, tmp_path: Path, what: str) -> None:
    (tmp_path / "x").write_bytes(bytes(1000))
    record.save_nodes(tmp_path / "r", DerivedKind.TREE, HOSTILE[what])
    assert record.load_tree(tmp_path / "r", DerivedKind.TREE, store) is None


@pytest.mark.parametrize("seed", range(300))
def test_a_forged_record_is_a_tree_or_none(store: Store, tmp_path: Path, seed: int) -> None:
    """Any bytes under a checksum that fits: what comes out is well typed."""
    choice = random.Random(seed)
    record.save_nodes(tmp_path / "r", DerivedKind.TREE, NODES, (("gone",), ()))

    def change(body: bytes) -> bytes:
        changed = bytearray(body)
        for _ in range(choice.randint(1, 3)):
            at = choice.randrange(len(changed))
            new = choice.choice(
                [
                    b"",
                    bytes([choice.randrange(256)]),
                    struct.pack("<Q", choice.choice([0, 1, LONG])),
                ]
            )
            changed[at : at + len(new)] = new
        return bytes(changed)

    forge(tmp_path / "r", change)
    loaded = record.load_tree(tmp_path / "r", DerivedKind.TREE, store)
    for path, node in (loaded or {}).items():
        assert ".." not in path.split("/")
        assert node.kind in "bcdfhlp"
        assert all(isinstance(one, Slice | Hole | bytes) for one in node.content)
        assert (
            node.size == sum(len(p) if isinstance(p, bytes) else p.size for p in node.content)
            or not node.content
        )
        assert 0 <= node.uid < 1 << 32


GROUPS: list[tuple[str, tuple[Piece, ...]]] = [
    ("-kernel", (b"head", Slice(BLOB, 0, 9), Hole(3))),
    ("-x", ()),
]


def test_groups_and_texts_come_back(store: Store, tmp_path: Path) -> None:
    record.save_groups(tmp_path / "r", DerivedKind.RESULT, GROUPS, ["a note\0"])
    loaded = record.load_groups(tmp_path / "r", DerivedKind.RESULT, store)
    assert loaded is not None
    assert [(name, tuple(pieces)) for name, pieces in loaded[0]] == GROUPS
    assert loaded[1] == ("a note\0",)
    assert record.load_texts(tmp_path / "r", DerivedKind.RESULT) is None
    (store.root / BLOB).unlink()
    assert record.load_groups(tmp_path / "r", DerivedKind.RESULT, store) is None
    record.save_texts(tmp_path / "r", DerivedKind.CONTENTS, ["a", "", "\ud800"])
    assert record.load_texts(tmp_path / "r", DerivedKind.CONTENTS) == ["a", "", "\ud800"]


def test_what_no_record_can_hold_is_not_kept(store: Store, tmp_path: Path) -> None:
    record.save_nodes(tmp_path / "r", DerivedKind.TREE, [("a", Node(FILE, 0o644, mtime=1 << 70))])
    assert record.load_tree(tmp_path / "r", DerivedKind.TREE, store) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"compos-record 2 cpython-311 " + bytes(40),
        HEAD + hashlib.sha256(b"").digest(),
        HEAD + hashlib.sha256(b"s" + b"\xff" * 16).digest() + b"s" + b"\xff" * 16,
        random.Random(1).randbytes(1000),
    ],
)
def test_whatever_lies_there_is_made_anew(store: Store, content: bytes) -> None:
    """By hand into the place of an image's tree and index, sealed as its own."""
    image = make_image(store, "xy:1", [[Member("etc/a", content="one")]])
    expected = image_tree(store, image)
    for kind in (DerivedKind.TREE, DerivedKind.LAYER_INDEX):
        for path in (store.root / "derived" / kind.folder).iterdir():
            with store.derive(kind, path.name) as made:
                made.write_bytes(content)
    assert image_tree(store, image) == expected
    assert all(
        (store.root / "derived/tree" / path.name).read_bytes() != content
        for path in (store.root / "derived/tree").iterdir()
    )


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_record_is_made_anew(store: Store, what: str) -> None:
    """With the checksum, the name and the seal of an image's tree, which names files outside of the
    store, or the like."""
    image = make_image(store, "xy:1", [[Member("etc/a", content="one")]])
    expected = image_tree(store, image)
    (path,) = (store.root / "derived/tree").iterdir()
    with store.derive(DerivedKind.TREE, path.name) as made:
        record.save_nodes(made, DerivedKind.TREE, HOSTILE[what])
    hostile = path.read_bytes()
    assert image_tree(Store(store.root), image) == expected
    assert path.read_bytes() != hostile
    assert image_tree(Store(store.root), image) == expected
