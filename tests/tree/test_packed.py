"""Packed pieces against the plain form; and columns that nobody has packed."""

from __future__ import annotations

from array import array
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
from compos.tree import packed as module
from compos.tree import record
from compos.tree.contents import piece_size
from compos.tree.node import Hole, Piece, Slice
from compos.tree.packed import BLOCK, PackedPieces, packed
from compos.zstd import zstd

SIZES = st.integers(0, 1 << 40)
PIECES: st.SearchStrategy[list[Piece]] = st.lists(
    st.binary(max_size=40)
    | st.builds(Hole, SIZES)
    | st.builds(Slice, st.sampled_from(["blobs/sha256/ab", "blobs/sha256/cd"]), SIZES, SIZES),
    max_size=30,
)
LONG: list[Piece] = [
    bytes(BLOCK - 1),
    Hole(1),
    b"x" * BLOCK,
    Slice("blobs/sha256/ab", 5, 10),
    bytes(3 * BLOCK + 1),
    b"end",
    Hole(2),
    b"behind",
]


def joined(pieces: list[Piece]) -> list[Piece]:
    """`pieces` with all inline bytes that follow each other in one."""
    result: list[Piece] = []
    whole = [piece for piece in pieces if not isinstance(piece, bytes) or piece]
    for inline, group in groupby(whole, key=lambda piece: isinstance(piece, bytes)):
        if inline:
            result.append(b"".join(piece for piece in group if isinstance(piece, bytes)))
        else:
            result += group
    return result


@given(PIECES)
def test_packed_pieces_are_the_same(pieces: list[Piece]) -> None:
    made = packed(iter(pieces))
    assert list(made) == list(made) == joined(pieces)
    assert made.size == sum(map(piece_size, pieces))
    assert made.is_sound()
    assert packed(made) is made


@given(pieces=PIECES)
def test_they_are_the_same_in_blocks(pieces: list[Piece]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", 16)
        made = packed(pieces)
        assert max((len(one) for one in made if isinstance(one, bytes)), default=0) <= 16
        assert joined(list(made)) == joined(pieces)
        assert made.is_sound()


def test_long_bytes_are_compressed() -> None:
    made = packed(LONG)
    assert joined(list(made)) == joined(LONG)
    assert len(made.blocks) > 2
    assert made.inline_size < BLOCK // 10


def test_they_come_back_from_a_record(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    blob = store.put(b"x" * 100, "text/plain")
    source = str(store.path(blob.digest).relative_to(store.root))
    groups = [
        ("a", packed([bytes(5 * BLOCK), Slice(source, 0, 100), Hole(7), b"x"])),
        ("b", packed([])),
        ("c", packed([Slice(source, 99, 1)])),
    ]
    record.save_groups(tmp_path / "r", DerivedKind.RESULT, groups, ["note"])
    assert record.load_groups(tmp_path / "r", DerivedKind.RESULT, store) == (groups, ("note",))
    for end, size in ((101, 1), (0, 101)):
        wrong = [("a", packed([Slice(source, end, size)]))]
        record.save_groups(tmp_path / "r", DerivedKind.RESULT, wrong)
        assert record.load_groups(tmp_path / "r", DerivedKind.RESULT, store) is None


def replace(good: PackedPieces, **columns: Any) -> PackedPieces:
    """`good` with other columns."""
    return PackedPieces(**{name: getattr(good, name) for name in good.__slots__} | columns)


GOOD = packed(LONG)
HOSTILE = {
    "a kind that is none": replace(GOOD, kinds=array("B", [3, *GOOD.kinds[1:]])),
    "a piece less": replace(GOOD, kinds=GOOD.kinds[1:]),
    "another source": replace(GOOD, which=array("I", [1])),
    "no offset": replace(GOOD, offsets=array("q")),
    "a place in front": replace(GOOD, offsets=array("q", [-1])),
    "a slice below zero": replace(GOOD, sizes=array("q", [-1])),
    "a hole below zero": replace(GOOD, holes=array("q", [1, -1])),
    "bytes that are shorter": replace(GOOD, lengths=array("I", [*GOOD.lengths[:-1], 1])),
    "bytes that are longer": replace(GOOD, lengths=array("I", [*GOOD.lengths[:-1], 1 << 30])),
    "no blocks": replace(GOOD, blocks=[]),
    "a block more": replace(GOOD, blocks=[*GOOD.blocks, b"x"]),
    "a block that is no frame": replace(GOOD, blocks=[b"x", *GOOD.blocks[1:]]),
    "half a frame": replace(GOOD, blocks=[GOOD.blocks[0][:-1], *GOOD.blocks[1:]]),
    "more than a frame": replace(GOOD, blocks=[GOOD.blocks[0] + b"x", *GOOD.blocks[1:]]),
    "a frame of too much": replace(
        GOOD, blocks=[zstd.compress(bytes(BLOCK << 6), 1), *GOOD.blocks[1:]]
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_columns_that_do_not_fit_are_not_sound(what: str) -> None:
    made: PackedPieces = HOSTILE[what]
    assert GOOD.is_sound()
    assert not made.is_sound()
