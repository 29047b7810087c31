"""Writing results: each output appears under its name only when all of them are whole.

May touch: the output folder. Files are written beside their final names and renamed together at the end.
They are not synced to the disk, as cp and tar do not: syncing takes longer than all the rest, and a build can be repeated.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from compos import progress
from compos.errors import OutputError
from compos.tree.contents import Contents, piece_size
from compos.tree.node import Piece

__all__ = ["Output", "write_outputs", "write_stream"]


_HERE = -100
_EXCHANGE = 2
"""AT_FDCWD and RENAME_EXCHANGE (linux/fcntl.h)."""


LARGE = 16 << 20
"""Bytes. Less is written sooner than another thread starts."""


class Output(NamedTuple):
    """One result: the suffix that its name gets, and its bytes as pieces of stored files."""

    suffix: str
    pieces: Sequence[Piece]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return sum(map(piece_size, self.pieces))


def write_outputs(store: Path, base: Path, outputs: Sequence[Output]) -> list[Path]:
    """Write `outputs` as `base` + suffix; returns the paths. Raises `OutputError`; then none of them was touched."""
    places = [base.with_name(base.name + output.suffix) for output in outputs]
    jobs = [
        (place.with_name(f".{place.name}.{os.getpid()}.part"), place, output)
        for place, output in zip(places, outputs, strict=True)
    ]
    current = base
    try:
        _write_all(store, jobs)
        for temporary, current, _ in jobs:
            if current.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(current))
            if not _exchanged(temporary, current):
                temporary.replace(current)
    except OSError as error:
        raise _explained(error, current) from error
    finally:
        for temporary, _, _ in jobs:
            temporary.unlink(missing_ok=True)
    return places


def _write_all(store: Path, jobs: Sequence[tuple[Path, Path, Output]]) -> None:
    """Each output into its first path; two at a time, the largest first, where two are large: the kernel copies."""

    def write(job: tuple[Path, Path, Output]) -> None:
        temporary, place, output = job
        try:
            with Contents(store) as contents:
                _write_one(contents, temporary, output)
        except OSError as error:
            raise _explained(error, place) from error

    if sum(output.size >= LARGE for _, _, output in jobs) < 2:
        for job in jobs:
            write(job)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        # `map` drops what has not begun when one fails, or somebody interrupts.
        for _ in pool.map(write, sorted(jobs, key=lambda job: -job[2].size)):
            pass


def write_stream(store: Path, descriptor: int, pieces: Iterable[Piece]) -> None:
    """Write `pieces` to an open descriptor (standard output)."""
    try:
        with Contents(store) as contents:
            contents.copy(pieces, descriptor)
    except BrokenPipeError as error:
        raise OutputError("output-closed", "the reader of the output went away", place="standard output") from error
    except OSError as error:
        raise _explained(error, Path("/dev/stdout")) from error


def _write_one(contents: Contents, temporary: Path, output: Output) -> None:
    with progress.task(f"write {output.suffix.lstrip('-.')}", output.size) as task:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            task.advance(contents.copy(output.pieces, descriptor, sparse=True))
        finally:
            os.close(descriptor)


def _exchanged(temporary: Path, current: Path) -> bool:
    """Let `current` and `temporary` change places (renameat2(2)), where there is an earlier output.

    As atomic as a replacement, which has ext4 write the new file to the disk at once: a second for each gigabyte.
    """
    if not current.exists():
        return False
    import ctypes

    try:
        exchange = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    return bool(exchange(_HERE, os.fsencode(temporary), _HERE, os.fsencode(current), _EXCHANGE) == 0)


def _explained(error: OSError, path: Path) -> OutputError:
    """An operating system error while writing `path`, in our words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(
            "disk-full",
            "no space left for the output",
            place=str(path),
            hint="Free some space or choose --dir elsewhere.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(
            "output-denied", "the output cannot be written here", place=str(path), hint="Choose another --dir."
        )
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return OutputError(
            "output-folder",
            "the output folder does not exist",
            place=str(path.parent),
            hint="Make it, or choose --dir.",
        )
    return OutputError(
        "output-failed", f"cannot write the output: {(error.strerror or str(error)).lower()}", place=str(path)
    )
