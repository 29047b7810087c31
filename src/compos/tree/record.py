"""Records: nodes and pieces of stored files, kept in the store and read back in a few milliseconds.
May touch: the store.

A record is data, column by column (`tree.columns`), and is checked as if a stranger had written it:
each value has its type and range, each path stays inside, each slice lies in a file of the store
that is there, unharmed. What is anything else is no record, and is made anew.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress, islice, repeat
from operator import add, eq, itemgetter, le, lt
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from compos.image.derived import is_stored_name
from compos.image.derived_kinds import DerivedKind
from compos.tree import columns
from compos.tree.columns import TEXT
from compos.tree.node import (
    DIRECTORY,
    FILE,
    Node,
    Piece,
    Slice,
)
from compos.tree.packed import HOLE, INLINE, SLICE, PackedPieces, fit, packed

if TYPE_CHECKING:
    from compos.image.store import Store
    from compos.tree.node_columns import Attributes, NodeColumns, PieceColumns
    from compos.tree.packed_tree import PackedTree

__all__ = [
    "load_groups",
    "load_nodes",
    "load_texts",
    "load_tree",
    "save_groups",
    "save_nodes",
    "save_texts",
    "save_tree",
]

_KINDS = {*b"bcdfhlp"}
"""Those of `Node`, and layers' hard links."""

_IS_FILE = bytes(kind == ord(FILE) for kind in range(256))
_IS_NONE = bytes(kind != ord(FILE) for kind in range(256))
"""Columns of kinds as columns of truth values (`bytes.translate`)."""

MAX_MODE = 0o7777
MAX_PATH = 4096
"""PATH_MAX of linux/limits.h."""

MAX_UNNAMED = 64 << 20
"""Characters of directories that something lies below and that have no entry (`tree.overlay`)."""

MAX_MAJOR, MAX_MINOR = 1 << 12, 1 << 20
"""Linux's MINORBITS (linux/kdev_t.h): a device number is 12 and 20 bits."""

_PIECES = "sqBbqIqq"
_PACKED = "sqBIbqIqq"
_NODES = "sBHIIqqssIIIsbI"


# Texts


def save_texts(path: Path, kind: DerivedKind, texts: Sequence[str]) -> None:
    """Write `texts`, a record of this kind."""
    columns.save(path, kind.title, [(TEXT, texts)])


def load_texts(path: Path | None, kind: DerivedKind) -> list[str] | None:
    """What `save_texts` wrote, or None."""
    loaded = columns.load(path, kind.title, TEXT)
    return None if loaded is None else loaded[0]


# Pieces


def save_groups(
    path: Path,
    kind: DerivedKind,
    groups: Sequence[tuple[str, Iterable[Piece]]],
    notes: Sequence[str] = (),
) -> None:
    """Write `groups` of pieces by their names, and `notes`."""
    table: list[tuple[str, Sequence[Any]]] = [(TEXT, notes), (TEXT, [name for name, _ in groups])]
    for _, pieces in groups:
        group = packed(pieces)
        values = (
            group.sources,
            group.ends(),
            group.kinds,
            group.lengths,
            group.blocks,
            group.holes,
            group.which,
            group.offsets,
            group.sizes,
        )
        table += zip(_PACKED, values, strict=True)
    columns.save(path, kind.title, table)


def load_groups(
    path: Path | None, kind: DerivedKind, store: Store
) -> tuple[list[tuple[str, PackedPieces]], tuple[str, ...]] | None:
    """What `save_groups` wrote; None when a stored file that it slices is gone, harmed or short,
    too."""
    loaded = columns.load(path, kind.title, "ss", _PACKED)
    if loaded is None:
        return None
    notes, names, *rest = loaded
    groups = []
    for start in range(0, len(rest), len(_PACKED)):
        sources, ends, *values = rest[start : start + len(_PACKED)]
        group = PackedPieces(sources, *values)
        if (
            not group.is_sound()
            or group.ends() != list(ends)
            or not all(map(is_stored_name, sources))
            or not store.holds(zip(sources, ends, strict=True))
        ):
            return None
        groups.append(group)
    if len(names) != len(groups):
        return None
    return list(zip(names, groups, strict=True)), tuple(notes)


def _split(contents: Iterable[Iterable[Piece]]) -> Iterator[tuple[str, Sequence[Any]]]:
    """The columns of pieces: stored files with the bytes needed of each, then kinds, bytes, holes
    and slices. Raises `OverflowError`."""
    from array import array

    ends: dict[str, int] = {}
    numbers: dict[str, int] = {}
    inline: list[bytes] = []
    kinds, which = array("B"), array("I")
    holes, offsets, sizes = array("q"), array("q"), array("q")
    for pieces in contents:
        for piece in pieces:
            if isinstance(piece, Slice):
                source, offset, size = piece
                kinds.append(SLICE)
                which.append(numbers.setdefault(source, len(numbers)))
                offsets.append(offset)
                sizes.append(size)
                ends[source] = max(ends.get(source, 0), offset + size)
            elif isinstance(piece, bytes):
                kinds.append(INLINE)
                inline.append(piece)
            else:
                kinds.append(HOLE)
                holes.append(piece.size)
    values = [*ends], [*ends.values()], kinds, inline, holes, which, offsets, sizes
    return zip(_PIECES, values, strict=True)


def _joined(loaded: Sequence[Any], store: Store) -> PieceColumns | None:
    """The pieces of columns as `_split` makes them."""
    sources, ends, kinds, inline, holes, which, offsets, sizes = loaded
    if (
        len(sources) != len(ends)
        or not fit(kinds, len(inline), holes, (sources, which, offsets, sizes))
        or not all(map(le, map(add, offsets, sizes), map(ends.__getitem__, which)))
        or not all(map(is_stored_name, sources))
        or not store.holds(zip(sources, ends, strict=True))
    ):
        return None
    from compos.tree.node_columns import PieceColumns

    return PieceColumns(sources, kinds, inline, holes, which, offsets, sizes)


# Nodes


def save_nodes(
    path: Path,
    kind: DerivedKind,
    entries: Iterable[tuple[str, Node]],
    extra: tuple[Sequence[str], Sequence[str]] = ((), ()),
) -> None:
    """Write nodes with their paths, in their order, and two `extra` lists of texts."""
    columns.save(path, kind.title, _split_nodes([*entries], extra))


def _split_nodes(
    entries: Sequence[tuple[str, Node]], extra: tuple[Sequence[str], Sequence[str]]
) -> Iterator[tuple[str, Sequence[Any]]]:
    """The columns of nodes as `Attributes` has them, and those of their pieces; each is made when
    it is asked for. Raises `OverflowError`."""
    nodes = [node for _, node in entries]
    yield from zip((TEXT, TEXT), extra, strict=True)
    values: Iterator[Sequence[Any]] = (
        [*column]
        for column in (
            (path for path, _ in entries),
            (ord(node.kind) for node in nodes),
            (node.mode for node in nodes),
            (node.uid for node in nodes),
            (node.gid for node in nodes),
            (node.mtime for node in nodes),
            (node.size for node in nodes),
            (node.link for node in nodes),
            (node.inode for node in nodes),
            (node.device[0] for node in nodes),
            (node.device[1] for node in nodes),
            (len(node.xattrs) for node in nodes),
            (name for node in nodes for name, _ in node.xattrs),
            (value for node in nodes for _, value in node.xattrs),
            (len(node.content) for node in nodes),
        )
    )
    yield from zip(_NODES, values, strict=True)
    yield from _split(node.content for node in nodes)


def load_nodes(
    path: Path | None, kind: DerivedKind, store: Store
) -> tuple[list[tuple[str, Node]], tuple[tuple[str, ...], tuple[str, ...]]] | None:
    """What `save_nodes` wrote; None when a stored file that it slices is gone, harmed or short,
    too."""
    loaded = _load_nodes(path, kind, store)
    if loaded is None:
        return None
    found = loaded.columns
    return [*zip(found.names, found.nodes(0, len(found)), strict=True)], loaded.extra


class _Loaded(NamedTuple):
    """What `save_nodes` wrote, and the digest of the record."""

    columns: NodeColumns
    extra: tuple[tuple[str, ...], tuple[str, ...]]
    digest: str


def _load_nodes(path: Path | None, kind: DerivedKind, store: Store) -> _Loaded | None:
    read = columns.load_named(path, kind.title, f"ss{_NODES}{_PIECES}")
    if read is None:
        return None
    # Not at the top: a build of what has not changed reads no nodes.
    from compos.tree.node_columns import Attributes, NodeColumns

    loaded, digest = read
    extra = tuple(loaded[0]), tuple(loaded[1])
    found = Attributes(*loaded[2 : 2 + len(_NODES)])
    pieces = _joined(loaded[2 + len(_NODES) :], store)
    if pieces is None or not _possible(found, pieces):
        return None
    if not _inside(found.names) or not all(map(_inside, extra)):
        return None
    return _Loaded(NodeColumns(found, pieces), extra, digest)


def _possible(found: Attributes, pieces: PieceColumns) -> bool:
    """Whether columns of nodes have one length, and values that nodes can have."""
    # A node has any number of attributes.
    each = set(found._fields) - {"keys", "values"}
    lengths = {len(getattr(found, name)) for name in each}
    return (
        lengths == {len(found.names)}
        and {*found.kinds} <= _KINDS
        and max(found.modes, default=0) <= MAX_MODE
        and min(found.sizes, default=0) >= 0
        and max(found.majors, default=0) < MAX_MAJOR
        and max(found.minors, default=0) < MAX_MINOR
        and max(map(len, found.links), default=0) <= MAX_PATH
        and sum(found.counts) == len(found.keys) == len(found.values)
        and sum(found.parts) == len(pieces.kinds)
        and _have_their_size(found, pieces)
    )


def _have_their_size(found: Attributes, pieces: PieceColumns) -> bool:
    """Whether the contents are as long as the files, and nothing else has any."""
    each = iter(map(len, pieces.inline)), iter(pieces.holes), iter(pieces.sizes)
    lengths = map(next, map(each.__getitem__, pieces.kinds))
    totals = map(sum, map(islice, repeat(lengths), found.parts))
    files = bytes(found.kinds).translate(_IS_FILE)
    return all(map(eq, compress(totals, files), compress(found.sizes, files))) and not any(
        compress(found.parts, bytes(found.kinds).translate(_IS_NONE))
    )


_OUTSIDE = ("/../", "\0../", "/..\0", "\0..\0", "/./", "\0./", "/.\0", "\0.\0", "//", "\0/", "/\0")


def _inside(names: Sequence[str]) -> bool:
    """Whether all are clean paths below a root: relative, no empty part, no `.`, no `..`."""
    if max(map(len, names), default=0) > MAX_PATH:
        return False
    # In one text, searched at C's speed.
    text = "\0".join(("", *names, ""))
    return text.count("\0") == len(names) + 1 and not any(part in text for part in _OUTSIDE)


# Trees


def save_tree(path: Path, kind: DerivedKind, tree: Mapping[str, Node]) -> None:
    """Write a whole tree."""
    save_nodes(path, kind, sorted(tree.items(), key=itemgetter(0)))


def load_tree(path: Path | None, kind: DerivedKind, store: Store) -> PackedTree | None:
    """A tree that `save_tree` wrote, or None as in `load_nodes`; nothing in it lies below what is
    no directory."""
    loaded = _load_nodes(path, kind, store)
    if loaded is None:
        return None
    names = loaded.columns.names
    if not all(map(lt, names, islice(names, 1, None))):
        return None
    unnamed = _unnamed(loaded.columns)
    from compos.tree.packed_tree import PackedTree

    return None if unnamed is None else PackedTree(loaded.columns, loaded.digest, unnamed)


def _unnamed(found: NodeColumns) -> set[str] | None:
    """The directories that something lies below and that have no entry; None when something lies
    below what is no directory, or they are too many."""
    names = found.names
    folders = {*compress(names, map(ord(DIRECTORY).__eq__, found.kinds))}
    if names and not names[0] and "" not in folders:
        return None
    folders.add("")
    waiting = {name.rpartition("/")[0] for name in names} - folders
    unnamed: set[str] = set()
    room = MAX_UNNAMED
    while waiting:
        path = waiting.pop()
        at = bisect_left(names, path)
        room -= len(path)
        if room < 0 or (at < len(names) and names[at] == path):
            return None
        unnamed.add(path)
        above = path.rpartition("/")[0]
        if above not in folders and above not in unnamed:
            waiting.add(above)
    return unnamed
