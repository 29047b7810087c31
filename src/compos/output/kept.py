"""What an output format compresses, made once for its contents and kept in the store.

May touch: the store (`derived/image`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from compos.output.job import Job, identity
from compos.tree.contents import Contents
from compos.tree.node import Slice

__all__ = ["kept"]


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
