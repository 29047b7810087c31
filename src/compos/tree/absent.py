"""Stored files that are read although they are not there: who brings them, and what builds read of
them.

Pure but for the two tables, by the roots of stores, which last for one build. A build with a remote
cache (`compos.remote`) leaves the layers of images in their registries, as long as it needs nothing
of them but what the cache has. The build that fills the cache keeps a record of what that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from compos.image.derived import is_making
from compos.tree.node import Piece, Slice

__all__ = ["Finder", "finder", "finding", "note", "recorder", "recording", "require"]


class Finder(Protocol):
    """Brings what is read and not there. For several threads."""

    def defers(self, name: str) -> bool:
        """Whether the stored file `name` is its business."""

    def find(self, piece: Slice) -> tuple[str, int]:
        """The stored file that has the bytes of `piece`, and where in it they begin; it may have
        been fetched now. Raises `ComposError`."""


_FINDERS: dict[Path, list[Finder]] = {}
"""A build for several architectures has one for each."""

_READS: dict[Path, list[Slice]] = {}


@contextmanager
def finding(root: Path, by: Finder) -> Iterator[None]:
    """Ask `by` for what the store at `root` lacks, in this block."""
    finders = _FINDERS.setdefault(root, [])
    finders.append(by)
    try:
        yield
    finally:
        finders.remove(by)


@contextmanager
def recording(root: Path) -> Iterator[list[Slice]]:
    """A list that gets what is read of the store at `root` in this block, but for what only goes
    into derived results: whoever has those does not read it."""
    reads = _READS[root] = []
    try:
        yield reads
    finally:
        del _READS[root]


def finder(root: Path, source: str) -> Finder | None:
    """Who brings the file `source`, which the store at `root` lacks."""
    return next((one for one in _FINDERS.get(root, ()) if one.defers(source)), None)


def recorder(root: Path) -> list[Slice] | None:
    """Where reads of the store at `root` are recorded; None when they are not."""
    return None if is_making() else _READS.get(root)


def note(root: Path, pieces: Iterable[Piece]) -> None:
    """Record `pieces` as read, although they only go into a derived result."""
    reads = _READS.get(root)
    if reads is not None:
        reads += [piece for piece in pieces if isinstance(piece, Slice)]


def require(root: Path, source: str) -> None:
    """Have the stored file `source` whole, if anybody brings it. Raises `ComposError`."""
    by = finder(root, source)
    if by is not None and not (root / source).exists():
        by.find(Slice(source, 0, WHOLE))


WHOLE = 1 << 62
"""A size in bytes that no part of a file has."""
