"""What an output format compresses, made once for its contents and kept in the store.

May touch: the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import BinaryIO, NamedTuple

from compos.disk.spool import Spool
from compos.image.derived_kinds import DerivedKind
from compos.image.store import Store
from compos.output.job import identity
from compos.tree import absent, record
from compos.tree.contents import Contents
from compos.tree.node import Piece, Slice

__all__ = ["CachedContainer", "cached_container", "cached_file"]

SPOOL = DerivedKind.SPOOL


class CachedContainer(NamedTuple):
    """A container as pieces; its SHA-256 in hexadecimal, if it was asked for."""

    pieces: tuple[Piece, ...]
    digest: str


def cached_file(
    store: Store,
    kind: DerivedKind,
    compressor: str,
    content: object,
    write: Callable[[Contents, BinaryIO], int],
    reads: Iterable[Piece],
) -> Slice:
    """What `write` puts into an empty file, of which it returns the size.

    `compressor` is its identity, `content` everything else that goes in, and `reads` what is read
    of the store for that.
    """
    # All of it is read again when any of it has changed.
    absent.note(store.root, reads)
    key = identity(_purpose(kind, compressor), content).hex
    path = store.derived(kind, key)
    if path is None:
        with (
            store.derive(kind, key) as temporary,
            temporary.open("w+b") as out,
            Contents(store.root) as contents,
        ):
            size = write(contents, out)
    else:
        size = path.stat().st_size
    return Slice(kind.stored_name(key), 0, size)


def cached_container(
    store: Store,
    kind: DerivedKind,
    compressor: str,
    content: Iterable[Piece],
    write: Callable[[Contents, Spool], None],
    *,
    digest: bool = False,
) -> CachedContainer:
    """What `write` lays out: what it makes is kept as in `cached_file`, and how that lies between
    what it takes from the store."""
    absent.note(store.root, content)
    key = identity(f"{_purpose(kind, compressor)} {digest}", content).hex
    name = f"{key}.pieces"
    known = record.load_groups(store.derived(SPOOL, name), SPOOL, store)
    if known is not None:
        groups, notes = known
        if len(groups) == len(notes) == 1:
            return CachedContainer(tuple(groups[0][1]), notes[0])
    with (
        store.derive(kind, key) as temporary,
        temporary.open("w+b") as out,
        Contents(store.root) as contents,
    ):
        spool = Spool(out, kind.stored_name(key))
        write(contents, spool)
        pieces = spool.finish()
    with store.derive(SPOOL, name) as path, Contents(store.root) as contents:
        made = CachedContainer(pieces, contents.digest(pieces) if digest else "")
        record.save_groups(path, SPOOL, [("", made.pieces)], [made.digest])
    return made


def _purpose(kind: DerivedKind, compressor: str) -> str:
    return f"{kind.label} v{kind.version} {compressor}"
