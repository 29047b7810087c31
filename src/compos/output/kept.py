"""What an output format compresses, made once for its contents and kept in the store.

May touch: the store (`derived/image`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from compos.disk.spool import Spool
from compos.output.job import Job, identity
from compos.tree import record
from compos.tree.contents import Contents
from compos.tree.node import Piece, Slice

__all__ = ["Spooled", "kept", "spooled"]

RECORD = "spool 1"


class Spooled(NamedTuple):
    """A container as pieces; its SHA-256 in hexadecimal, if it was asked for."""

    pieces: tuple[Piece, ...]
    digest: str


def kept(job: Job, kind: str, content: object, write: Callable[[Contents, BinaryIO], int]) -> Slice:
    """What `write` puts into an empty file, of which it returns the size.

    `kind` names the writer with its version and compressor, `content` everything that goes in.
    """
    key = identity(kind, content).hex
    path = job.store.derived("image", key)
    if path is None:
        with (
            job.store.derive("image", key) as temporary,
            temporary.open("w+b") as out,
            Contents(job.store.root) as contents,
        ):
            size = write(contents, out)
    else:
        size = path.stat().st_size
    return Slice(f"derived/image/{key}", 0, size)


def spooled(
    job: Job,
    kind: str,
    content: object,
    write: Callable[[Contents, Spool], None],
    *,
    digest: bool = False,
) -> Spooled:
    """What `write` lays out: what it makes is kept as in `kept`, and how that lies between what it
    takes from the store."""
    key = identity(f"{kind} {digest}", content).hex
    name = f"{key}.pieces"
    known = record.load_groups(job.store.derived("image", name), RECORD, job.store)
    if known is not None:
        groups, notes = known
        if len(groups) == len(notes) == 1:
            return Spooled(groups[0][1], notes[0])
    with (
        job.store.derive("image", key) as temporary,
        temporary.open("w+b") as out,
        Contents(job.store.root) as contents,
    ):
        spool = Spool(out, f"derived/image/{key}")
        write(contents, spool)
        pieces = spool.finish()
    with Contents(job.store.root) as contents:
        made = Spooled(pieces, contents.digest(pieces) if digest else "")
    with job.store.derive("image", name) as path:
        record.save_groups(path, RECORD, [("", made.pieces)], [made.digest])
    return made
