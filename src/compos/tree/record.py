"""Records: nodes and pieces of stored files, kept in the store and read back in a few milliseconds.
May touch: the store.

A record is data, column by column (`tree.columns`), and is checked as if a stranger had written it:
each value has its type and range, each path stays inside, each slice lies in a file of the store
that is there, unharmed. What is anything else is no record, and is made anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import add, le
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

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
    Tree,
    ancestors,
)
from compos.tree.packed import (
    HOLE,
    INLINE,
    SLICE,
    PackedPieces,
    fit,
    interleaved,
    packed,
    sliced,
)

if TYPE_CHECKING:
    from compos.image.store import Store

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

MAX_MODE = 0o7777
MAX_PATH = 4096
"""PATH_MAX of linux/limits.h."""

MAX_MAJOR, MAX_MINOR = 1 << 12, 1 << 20
"""Linux's MINORBITS (linux/kdev_t.h): a device number is 12 and 20 bits."""

T = TypeVar("T")

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


def _joined(loaded: Sequence[Any], store: Store) -> list[Piece] | None:
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
    slices = sliced(sources, which, offsets, sizes)
    if len(kinds) == len(which):
        return list(slices)
    return list(interleaved(kinds, iter(inline), holes, slices))


def _grouped(pieces: Iterable[Piece], counts: Iterable[int]) -> Iterator[tuple[Piece, ...]]:
    waiting = iter(pieces)
    return (tuple(islice(waiting, count)) if count else () for count in counts)


# Nodes


class _Columns(NamedTuple):
    """Nodes column by column: their names and fields; `keys` and `values` are those of extended
    attributes, `counts` how many of these each node has, and `parts` how many pieces."""

    names: Sequence[str]
    kinds: Sequence[int]
    modes: Sequence[int]
    uids: Sequence[int]
    gids: Sequence[int]
    mtimes: Sequence[int]
    sizes: Sequence[int]
    links: Sequence[str]
    inodes: Sequence[int]
    majors: Sequence[int]
    minors: Sequence[int]
    counts: Sequence[int]
    keys: Sequence[str]
    values: Sequence[bytes]
    parts: Sequence[int]


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
    """The columns of nodes as `_Columns` has them, and those of their pieces; each is made when it
    is asked for. Raises `OverflowError`."""
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
    return loaded and (list(zip(loaded.names, loaded.nodes, strict=True)), loaded.extra)


class _Loaded(NamedTuple):
    """What `save_nodes` wrote, names and nodes apart."""

    names: list[str]
    nodes: list[Node]
    extra: tuple[tuple[str, ...], tuple[str, ...]]


def _load_nodes(path: Path | None, kind: DerivedKind, store: Store) -> _Loaded | None:
    loaded = columns.load(path, kind.title, f"ss{_NODES}{_PIECES}")
    if loaded is None:
        return None
    extra = tuple(loaded[0]), tuple(loaded[1])
    found = _Columns(*loaded[2 : 2 + len(_NODES)])
    pieces = _joined(loaded[2 + len(_NODES) :], store)
    if pieces is None or not _possible(found, len(pieces)):
        return None
    if not _inside(found.names) or not all(map(_inside, extra)):
        return None
    pairs = iter(zip(found.keys, found.values, strict=True))
    fields = (
        map(chr, found.kinds),
        found.modes,
        found.uids,
        found.gids,
        _shared(found.mtimes),
        found.sizes,
        _grouped(pieces, found.parts),
        found.links,
        _shared(zip(found.majors, found.minors, strict=True)),
        [tuple(islice(pairs, count)) if count else () for count in found.counts],
        found.inodes,
    )
    nodes = [*map(Node._make, zip(*fields, strict=True))]
    return _Loaded(list(found.names), nodes, extra) if all(map(_fits, nodes)) else None


def _shared(values: Iterable[T]) -> Iterator[T]:
    """`values`, equal ones as one object: many nodes have the same time, nearly all have no
    device."""
    known: dict[T, T] = {}
    return (known.setdefault(value, value) for value in values)


def _possible(found: _Columns, pieces: int) -> bool:
    """Whether columns of nodes have one length, and values that nodes can have."""
    # A node has any number of attributes.
    each = set(_Columns._fields) - {"keys", "values"}
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
        and sum(found.parts) == pieces
    )


def _fits(node: Node) -> bool:
    """Whether the content is as long as the file, and nothing else has any."""
    content = node.content
    if not content:
        return not node.size or node.kind != FILE
    if node.kind != FILE:
        return False
    if len(content) == 1 and isinstance(content[0], Slice):
        return content[0].size == node.size
    return (
        sum(len(piece) if isinstance(piece, bytes) else piece.size for piece in content)
        == node.size
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


def save_tree(path: Path, kind: DerivedKind, tree: Tree) -> None:
    """Write a whole tree."""
    save_nodes(path, kind, tree.items())


def load_tree(path: Path | None, kind: DerivedKind, store: Store) -> Tree | None:
    """A tree that `save_tree` wrote, or None as in `load_nodes`; nothing in it lies below what is
    no directory."""
    loaded = _load_nodes(path, kind, store)
    if loaded is None:
        return None
    tree = dict(zip(loaded.names, loaded.nodes, strict=True))
    parents = {name.rpartition("/")[0] for name in tree}
    parents.update([above for parent in parents for above in ancestors(parent)])
    if len(tree) != len(loaded.names) or any(
        (node := tree.get(one)) and node.kind != DIRECTORY for one in parents
    ):
        return None
    return tree
