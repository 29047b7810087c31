"""Moving contents: pieces of stored files into an open file or through a compressor, without
holding them in memory.

May touch: files below the store's root (reading), the file that the caller opened (writing).
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from compos.errors import ImageError, StoreDamaged
from compos.tree import absent
from compos.tree.node import FILE, Hole, Node, Piece, Slice

__all__ = ["Contents", "cut", "file_of", "piece_size"]

SMALL = 128 << 10
"""Below this a slice is gathered in memory with its neighbours: a system call for each small file
costs more."""

BUFFER = 1 << 20
OPEN_FILES = 32
_ZEROS = bytes(64 << 10)
_NO_RANGE_COPY = {
    *(errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.ESPIPE),
    errno.EPERM,  # a container engine's filter of system calls that does not know this one
}
"""After these errors of copy_file_range(2) a slice is read and written instead."""


def piece_size(piece: Piece) -> int:
    """Length of a piece in bytes."""
    return len(piece) if isinstance(piece, bytes) else piece.size


def file_of(pieces: Iterable[Piece], mode: int, mtime: int) -> Node:
    """A regular file with these contents."""
    content = tuple(pieces)
    return Node(FILE, mode, mtime=mtime, size=sum(map(piece_size, content)), content=content)


def cut(pieces: Iterable[Piece], at: int) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """`pieces` as their first `at` bytes and the rest."""
    front: list[Piece] = []
    back: list[Piece] = []
    for piece in pieces:
        size = piece_size(piece)
        if at >= size:
            front.append(piece)
        elif at <= 0:
            back.append(piece)
        elif isinstance(piece, bytes):
            front.append(piece[:at])
            back.append(piece[at:])
        elif isinstance(piece, Hole):
            front.append(Hole(at))
            back.append(Hole(size - at))
        else:
            front.append(Slice(piece.source, piece.offset, at))
            back.append(Slice(piece.source, piece.offset + at, size - at))
        at = max(at - size, 0)
    return tuple(front), tuple(back)


class Contents:
    """Open files of the store, for the time of one output. Use as a context manager."""

    def __init__(self, root: Path) -> None:
        self.root = root
        """What the sources of slices are below."""
        self._files: dict[str, int] = {}
        self._buffer: memoryview | None = None
        self._reads = absent.recorder(root)

    def __enter__(self) -> Contents:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def chunks(self, pieces: Iterable[Piece]) -> Iterator[bytes]:
        """The bytes of `pieces`, gathered into chunks of about a megabyte. Raises `ImageError`
        (`store-corrupt`)."""
        gathered: list[bytes] = []
        size = 0
        for piece in pieces:
            for part in self._parts(piece):
                gathered.append(part)
                size += len(part)
                if size >= BUFFER:
                    yield b"".join(gathered)
                    gathered.clear()
                    size = 0
        if gathered:
            yield b"".join(gathered)

    def copy(self, pieces: Iterable[Piece], out: int, *, sparse: bool = False) -> int:
        """Write `pieces` to the file descriptor `out`; returns the bytes. Large slices are copied
        by the kernel.

        `sparse` says that `out` is an empty file: holes are then skipped and take no space.
        """
        total = filled = 0
        view = self._view()
        for piece in pieces:
            length = piece_size(piece)
            total += length
            if length <= SMALL:
                if filled + length > BUFFER:
                    _write(out, view[:filled])
                    filled = 0
                self._put(piece, view[filled : filled + length])
                filled += length
                continue
            _write(out, view[:filled])
            filled = 0
            if isinstance(piece, bytes):
                _write(out, piece)
            elif isinstance(piece, Slice):
                self._copy_slice(piece, out)
            elif sparse:
                os.lseek(out, length, os.SEEK_CUR)
            else:
                for part in self._parts(piece):
                    _write(out, part)
        _write(out, view[:filled])
        if sparse:
            # A hole at the end was skipped, too.
            os.ftruncate(out, total)
        return total

    def digest(self, pieces: Iterable[Piece]) -> str:
        """The SHA-256 of `pieces` in hexadecimal."""
        hasher = hashlib.sha256()
        for piece in pieces:
            for part in self.views(piece) if isinstance(piece, Slice) else self._parts(piece):
                hasher.update(part)
        return hasher.hexdigest()

    def views(self, piece: Slice) -> Iterator[memoryview]:
        """The bytes of a slice, a megabyte at a time; each view only until the next, or anything
        else, is asked for."""
        view = self._view()
        for start in range(0, piece.size, BUFFER):
            part = view[: min(BUFFER, piece.size - start)]
            self._put(Slice(piece.source, piece.offset + start, len(part)), part)
            yield part

    def _view(self) -> memoryview:
        if self._buffer is None:
            self._buffer = memoryview(bytearray(BUFFER))
        return self._buffer

    def _put(self, piece: Piece, view: memoryview) -> None:
        """The bytes of `piece` into `view`, which has its length."""
        if isinstance(piece, bytes):
            view[:] = piece
        elif isinstance(piece, Hole):
            view[:] = bytes(piece.size)
        else:
            descriptor, offset = self._find(piece) if view else (-1, 0)
            while view:
                count = os.preadv(descriptor, (view,), offset)
                if not count:
                    raise _short(piece.source)
                view = view[count:]
                offset += count

    def _parts(self, piece: Piece) -> Iterator[bytes]:
        if isinstance(piece, bytes):
            yield piece
        elif isinstance(piece, Hole):
            for start in range(0, piece.size, len(_ZEROS)):
                yield _ZEROS[: piece.size - start]
        else:
            remaining = piece.size
            descriptor, offset = self._find(piece) if remaining else (-1, 0)
            while remaining:
                data = os.pread(descriptor, min(remaining, BUFFER), offset)
                if not data:
                    raise _short(piece.source)
                yield data
                offset += len(data)
                remaining -= len(data)

    def _copy_slice(self, piece: Slice, out: int) -> None:
        if not piece.size:
            return
        source, offset = self._find(piece)
        done = 0
        while done < piece.size and (
            count := _copy_range(source, out, piece.size - done, offset + done)
        ):
            done += count
        # The rest, which the kernel does not copy; at the file's end this finds it too short.
        for part in self._parts(Slice(piece.source, piece.offset + done, piece.size - done)):
            _write(out, part)

    def _find(self, piece: Slice) -> tuple[int, int]:
        """The open file that has the bytes of `piece`, and where they begin in it."""
        if self._reads is not None:
            self._reads.append(piece)
        try:
            return self._open(piece.source), piece.offset
        except FileNotFoundError as error:
            finder = absent.finder(self.root, piece.source)
            if finder is None:
                raise _short(piece.source) from error
        source, offset = finder.find(piece)
        try:
            return self._open(source), offset
        except FileNotFoundError as error:
            raise _short(source) from error

    def _open(self, source: str) -> int:
        """Raises `FileNotFoundError`."""
        descriptor = self._files.get(source)
        if descriptor is None:
            if len(self._files) >= OPEN_FILES:
                os.close(self._files.pop(next(iter(self._files))))
            descriptor = os.open(self.root / source, os.O_RDONLY | os.O_CLOEXEC)
            self._files[source] = descriptor
        return descriptor


def _copy_range(source: int, out: int, length: int, offset: int) -> int:
    """How many bytes the kernel copied (copy_file_range(2)); 0 where it cannot, and at the file's
    end. Some file systems return 0 before the end (Linux 5.3 to 5.18)."""
    # macOS has no such call.
    if not hasattr(os, "copy_file_range"):
        return 0
    try:
        return os.copy_file_range(source, out, length, offset)
    except OSError as error:
        if error.errno not in _NO_RANGE_COPY:
            raise
        return 0


def _short(source: str) -> ImageError:
    return StoreDamaged(
        "store-corrupt",
        "a file in the store is missing or shorter than its index says",
        place=source,
        hint="Build again with --pull; if the error persists, run `compos cache clean`.",
    )


def _write(out: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]
