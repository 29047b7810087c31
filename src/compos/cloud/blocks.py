"""The blocks of a sparse file that are not all zeros, read once, a few in memory at a time.

May touch: the file, for reading.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import NamedTuple

from compos.progress import Task, task, threads

__all__ = ["Block", "data_blocks", "data_runs", "send_blocks"]


class Block(NamedTuple):
    """One block that is not all zeros; the last one of a file is filled up with zeros."""

    number: int
    data: bytes


def data_blocks(path: Path, size: int, *, limit: int | None = None) -> Iterator[Block]:
    """The blocks of `size` bytes of the file at `path`, up to the byte `limit`, without those that
    are zeros. Holes (lseek(2), SEEK_DATA) are not read. Raises `OSError`."""
    zeros = bytes(size)
    with path.open("rb", buffering=0) as stream:
        end = os.fstat(stream.fileno()).st_size if limit is None else limit
        at = 0
        while (at := _next_data(stream.fileno(), at, end)) < end:
            number = at // size
            data = _read(stream.fileno(), number * size, min(size, end - number * size))
            data = data.ljust(size, b"\0")
            if data != zeros:
                yield Block(number, data)
            at = (number + 1) * size


def data_runs(path: Path, size: int, most: int) -> Iterator[Block]:
    """As `data_blocks`, but blocks that lie one behind the other are one of up to `most` bytes, and
    the file's last one is as long as it is. A run's number is that of its first block."""
    length = path.stat().st_size
    first, parts = -1, list[bytes]()
    for block in data_blocks(path, size):
        if parts and (block.number != first + len(parts) or (len(parts) + 1) * size > most):
            yield Block(first, b"".join(parts))
            parts = []
        if not parts:
            first = block.number
        parts.append(block.data)
    if parts:
        yield Block(first, b"".join(parts)[: length - first * size])


def _next_data(descriptor: int, at: int, end: int) -> int:
    """The offset of the next byte at or behind `at` that is not in a hole, at most `end`."""
    if at >= end:
        return end
    try:
        return os.lseek(descriptor, at, os.SEEK_DATA)
    except OSError as error:
        # Nothing but a hole is left; or the file system knows no holes.
        if error.errno == errno.ENXIO:
            return end
        if error.errno == errno.EINVAL:
            return at
        raise


def _read(descriptor: int, at: int, count: int) -> bytes:
    parts = []
    while count:
        part = os.pread(descriptor, count, at)
        if not part:
            break
        parts.append(part)
        at += len(part)
        count -= len(part)
    return b"".join(parts)


def send_blocks(
    name: str,
    blocks: Iterator[Block],
    send: Callable[[Block], None],
    *,
    total: int,
    at_once: int,
) -> int:
    """Call `send` for each of `blocks`, `at_once` at a time; returns the number of bytes. No more
    than twice as many blocks are in memory.

    `total` is the expected number of bytes, for progress. The first failure stops the others, and
    is raised.
    """
    sent = 0
    stop = threading.Event()

    def one(block: Block, progress: Task) -> int:
        if stop.is_set():
            return 0
        send(block)
        progress.advance(len(block.data))
        return len(block.data)

    with task(name, total) as progress, threads(at_once, "cloud") as pool:
        waiting: set[Future[int]] = set()
        try:
            for block in blocks:
                waiting.add(pool.submit(one, block, progress))
                if len(waiting) >= 2 * at_once:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    sent += sum(future.result() for future in done)
            sent += sum(future.result() for future in waiting)
        except BaseException:
            stop.set()
            raise
    return sent
