"""`compos.api.install`: a system onto a disk of this machine, or into a file that stands for one
(docs/install.md).

May touch: the disk or file; the store, the network, as a build does.

The disk gets the bytes that the disk formats write for one of its size. Until the last sector that
is written, the first one, it says that it is unfinished (`disk.occupied`), and it may then be taken
again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from compos import progress
from compos.api.build import Buildable, BuildOptions, described
from compos.api.load import load
from compos.disk.gpt import FIRST_USABLE, partitions_end
from compos.disk.mbr import SECTOR
from compos.disk.occupied import EDGE, Occupancy, occupancy, unfinished_mark
from compos.errors import OutputError
from compos.output.formats import Format, require
from compos.output.installer import Part, disk_parts
from compos.output.job import EFI_STUB, INIT
from compos.output.place import explanations
from compos.progress import Listener, listening
from compos.tree.contents import Contents, cut, piece_size
from compos.tree.node import Hole, Piece

__all__ = ["Plan", "install"]

_DISK = Format("disk", "installer:exact_disk", tools=(INIT, EFI_STUB))
"""No format of `compos build`: its size is the disk's."""
_BLKSSZGET = 0x1268
"""linux/fs.h: bytes of a logical sector."""
_BLKRRPART = 0x125F
"""linux/fs.h: read the partition table again."""
_BLKZEROOUT = 0x127F
"""linux/fs.h: zeros, from an offset, of a length, each of 64 bits."""
BEHIND = 16 << 20
"""Bytes behind the system that are cleared: the machine makes a partition for its data there."""


class Plan(NamedTuple):
    """What is about to happen: the disk, its size in bytes, what it holds (empty for nothing), and
    how many bytes are written."""

    path: Path
    size: int
    holds: str
    written: int


def install(
    path: Path,
    sources: Sequence[str],
    options: BuildOptions = BuildOptions(),
    *,
    erase: bool = False,
    agreed: Callable[[Plan], bool] = lambda _: True,
    listener: Listener | None = None,
) -> bool:
    """Put the system that `sources` describe on the disk `path`; `options.size` makes a file of
    that size where there is none. A disk that holds something is taken with `erase` alone; one in
    use, never. False when `agreed` says no to what is about to happen.

    Raises what a build raises, and `OutputError` (`install-target`, `install-occupied`).
    """
    with listening(listener), _opened(path, options.size) as target:
        held = occupancy(target.descriptor, target.size)
        if held.text and not held.unfinished and not erase:
            raise OutputError(
                "install-occupied",
                f"the disk holds {held.text}",
                place=str(path),
                hint="Choose another disk; to lose what is on this one, use --erase.",
            )
        return _install(target, sources, options, held, agreed)


class _Target(NamedTuple):
    """A disk, open for writing and for nobody else: its size in bytes."""

    path: Path
    descriptor: int
    size: int


def _install(
    target: _Target,
    sources: Sequence[str],
    options: BuildOptions,
    held: Occupancy,
    agreed: Callable[[Plan], bool],
) -> bool:
    description = load(sources, options.load)
    require([_DISK], description.platform.architecture)
    options = options._replace(size=target.size)
    with described(Buildable([_DISK], description, None), options, "disk", "") as (access, outputs):
        pieces = tuple(outputs[0].pieces)
        written = sum(piece_size(piece) for piece in pieces if not isinstance(piece, Hole))
        if not agreed(Plan(target.path, target.size, held.text, written)):
            return False
        with explanations(target.path), Contents(access.store.root) as contents:
            _write(contents, target, pieces)
    return True


@contextmanager
def _opened(path: Path, size: int | None) -> Iterator[_Target]:
    """The target; a file is made if there is none, and removed again if something fails."""
    with explanations(path):
        made = not path.exists()
        if made:
            if size is None:
                raise _unfit(
                    path, "there is no such disk", "For a new disk image, give its --size."
                )
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        else:
            descriptor = _open_disk(path)
    done = False
    try:
        with explanations(path):
            if made:
                os.ftruncate(descriptor, size or 0)
            _require_disk(path, descriptor)
            target = _Target(path, descriptor, os.lseek(descriptor, 0, os.SEEK_END))
        if size is not None and size != target.size:
            raise _unfit(
                path,
                f"the disk has {target.size:,} bytes, not {size:,}",
                "Remove --size: it is for new files.",
            )
        yield target
        done = True
    finally:
        empty = made and (not done or not _has_data(descriptor))
        os.close(descriptor)
        if empty:
            path.unlink(missing_ok=True)


def _has_data(descriptor: int) -> bool:
    with suppress(OSError):
        return os.lseek(descriptor, 0, os.SEEK_DATA) >= 0
    return False


def _open_disk(path: Path) -> int:
    """O_EXCL of a block device: what is mounted, or part of something, cannot be opened so."""
    flags = os.O_RDWR | os.O_CLOEXEC
    if stat.S_ISBLK(path.stat().st_mode):
        flags |= os.O_EXCL
    try:
        return os.open(path, flags)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise _unfit(
            path,
            "the disk is in use: it, or a part of it, is mounted or belongs to something",
            "Unmount what is on it, or choose another disk.",
        ) from error


def _require_disk(path: Path, descriptor: int) -> None:
    """A whole disk, or a file that is nobody's disk at the moment."""
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode):
        if str(path.resolve()) in _backing_files():
            raise _unfit(path, "the file is the disk of a loop device", "Detach that first.")
        return
    if not stat.S_ISBLK(status.st_mode):
        raise _unfit(path, "this is neither a disk nor a file", "Name a disk, such as /dev/sdb.")
    device = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    if Path(f"/sys/dev/block/{device}/partition").exists():
        raise _unfit(path, "this is a partition", "Name the whole disk.")
    (sector,) = struct.unpack("i", fcntl.ioctl(descriptor, _BLKSSZGET, bytes(4)))
    if sector != SECTOR:
        raise _unfit(
            path,
            f"the disk has sectors of {sector:,} bytes, and systems are laid out for {SECTOR}",
            "Choose another disk.",
        )


def _backing_files() -> set[str]:
    found = set()
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):
            found.add(path.read_text().rstrip("\n"))
    return found


def _unfit(path: Path, message: str, hint: str) -> OutputError:
    return OutputError("install-target", message, place=str(path), hint=hint)


def _write(contents: Contents, target: _Target, pieces: Sequence[Piece]) -> None:
    """The mark; everything but the table's head; that; the first sector."""
    descriptor, size = target.descriptor, target.size
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        # All of it is a hole now.
        os.ftruncate(descriptor, 0)
        os.ftruncate(descriptor, size)
    parts, _ = disk_parts(pieces)
    front, rest = cut(parts[0].pieces, FIRST_USABLE * SECTOR)
    head = b"".join(contents.chunks(front))
    parts[0] = Part(len(head), rest)
    _put(descriptor, unfinished_mark(size), 0)
    os.fsync(descriptor)
    _put(descriptor, bytes(EDGE - SECTOR), SECTOR)
    _put(descriptor, bytes(EDGE), size - EDGE)
    with progress.task("write disk", size) as task:
        at, behind = len(head), partitions_end(head) * SECTOR + BEHIND
        for part in parts:
            _clear(descriptor, at, min(part.offset, max(at, behind)))
            os.lseek(descriptor, part.offset, os.SEEK_SET)
            contents.copy(part.pieces, descriptor)
            at = part.offset + sum(map(piece_size, part.pieces))
            task.advance(at - part.offset)
    os.fsync(descriptor)
    _put(descriptor, head[SECTOR:], SECTOR)
    os.fsync(descriptor)
    _put(descriptor, head[:SECTOR], 0)
    os.fsync(descriptor)
    # Who has the disk open may keep the kernel from it.
    with suppress(OSError):
        fcntl.ioctl(descriptor, _BLKRRPART)


def _clear(descriptor: int, start: int, end: int) -> None:
    """Zeros from `start` to before `end`, which a disk that can need not store."""
    if start < end and stat.S_ISBLK(os.fstat(descriptor).st_mode):
        fcntl.ioctl(descriptor, _BLKZEROOUT, struct.pack("=QQ", start, end - start))


def _put(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count
