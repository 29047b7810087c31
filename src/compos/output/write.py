"""Writing results: each output appears under its name only when all of them are whole.

May touch: the output folder. Files are written beside their final names (`output.place`) and get
them together at the end. They are not synced to the disk, as cp and tar do not: syncing takes
longer than all the rest, and a build can be repeated. What is there already is left as it is
(`output.unchanged`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from compos import progress
from compos.errors import OutputError
from compos.image.store import Store
from compos.output.place import Place, explanations, require_name, sweep
from compos.output.unchanged import WrittenFiles, contents_key, set_modified
from compos.tree.contents import Contents
from compos.tree.node import Piece
from compos.tree.packed import Pieces, total_size

__all__ = ["Output", "Updated", "update_outputs", "write_outputs", "write_stream"]


LARGE = 16 << 20
"""Bytes. Less is written sooner than another thread starts."""


class Output(NamedTuple):
    """One result: the suffix that its name gets, and its bytes as pieces of stored files."""

    suffix: str
    pieces: Pieces

    @property
    def size(self) -> int:
        """Length in bytes."""
        return total_size(self.pieces)


class Updated(NamedTuple):
    """What a build did to its outputs: the paths that it wrote, and those that were right."""

    written: list[Path]
    unchanged: list[Path]


def update_outputs(
    store: Store, base: Path, outputs: Sequence[Output], *, force: bool = False
) -> Updated:
    """As `write_outputs`, but a file that compos has written from the same pieces, and that nobody
    has touched since, is left alone, unless `force` is set."""
    require_name(base)
    files = WrittenFiles(store)
    stale, unchanged = [], []
    for path, output in _named(base, outputs):
        key = contents_key(output.pieces)
        if not force and files.has(path, key):
            unchanged.append(path)
        else:
            stale.append((path, output, key))
    if stale:
        statuses = _write(store.root, [(path, output) for path, output, _ in stale])
        files.add(zip(statuses, (key for *_, key in stale), strict=True))
    return Updated([path for path, *_ in stale], unchanged)


def write_outputs(store: Path, base: Path, outputs: Sequence[Output]) -> list[Path]:
    """Write `outputs` as `base` + suffix; returns the paths. Raises `OutputError`; then all is as
    it was.

    Whether each can be written is found out before any is. Links are replaced, not followed.
    """
    require_name(base)
    named = _named(base, outputs)
    _write(store, named)
    return [path for path, _ in named]


def _named(base: Path, outputs: Sequence[Output]) -> list[tuple[Path, Output]]:
    return [(base.with_name(base.name + output.suffix), output) for output in outputs]


def _write(store: Path, named: Sequence[tuple[Path, Output]]) -> list[os.stat_result]:
    """Write outputs under their names; returns the files' states as they got them."""
    with ExitStack() as stack:
        places = []
        for path, _ in named:
            with explanations(path):
                places.append(Place(path))
            stack.callback(places[-1].close)
        for folder in {place.path.parent for place in places}:
            sweep(folder)
        _write_all(
            store, [(place, output) for place, (_, output) in zip(places, named, strict=True)]
        )
        _put_all(places)
        return [os.fstat(place.descriptor) for place in places]


def _put_all(places: Sequence[Place]) -> None:
    done = []
    try:
        for place in places:
            done.append(place)
            with explanations(place.path):
                place.put()
    # Interrupted by the user, too.
    except BaseException:
        for place in reversed(done):
            place.take_back()
        raise


def _write_all(store: Path, jobs: Sequence[tuple[Place, Output]]) -> None:
    """Each output into its place; two at a time, the largest first, where two are large: the kernel
    copies."""

    def write(job: tuple[Place, Output]) -> None:
        place, output = job
        with explanations(place.path), Contents(store) as contents:
            _write_one(contents, place.descriptor, output)
            set_modified(place.descriptor)

    if sum(output.size >= LARGE for _, output in jobs) < 2:
        for job in jobs:
            write(job)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        # `map` drops what has not begun when one fails, or somebody interrupts.
        for _ in pool.map(write, sorted(jobs, key=lambda job: -job[1].size)):
            pass


def write_stream(store: Path, descriptor: int, pieces: Iterable[Piece]) -> None:
    """Write `pieces` to an open descriptor (standard output)."""
    with explanations("standard output"), Contents(store) as contents:
        try:
            contents.copy(pieces, descriptor)
        except BrokenPipeError as error:
            raise OutputError(
                "output-closed", "the reader of the output closed it", place="standard output"
            ) from error


def _write_one(contents: Contents, descriptor: int, output: Output) -> None:
    with progress.task(f"write {output.suffix.lstrip('-.')}", output.size) as task:
        task.advance(contents.copy(output.pieces, descriptor, sparse=True))
