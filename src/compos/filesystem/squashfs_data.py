"""The data of a squashfs: file contents cut into blocks, compressed by two threads, written in order, equal bytes once.

May touch: the store's files (reading, through `Contents`), the image that the caller opened (writing).

Source: "Squashfs Binary Format" of squashfs-tools-ng (doc/format.adoc), sections 2.1 and 4, cited as [SQ].
"""

from __future__ import annotations

import hashlib
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Literal, NamedTuple, TypeAlias

from compos.tree.contents import Contents, piece_size
from compos.tree.node import Hole, Piece, Slice

__all__ = ["Compression", "Compressor", "DataWriter", "Fragment", "Layout", "compressor"]

Compression: TypeAlias = Literal["zstd", "xz", "gzip"]
Compressor: TypeAlias = Callable[[bytes], bytes]

ZSTD_LEVEL = 15
XZ_PRESET = 6
GZIP_LEVEL = 9
"""What mksquashfs takes by default. These zstd strategies give the same bytes however often a context was used before."""

STORED = 1 << 24
"""[SQ] 4: set in a block's size when its bytes are not compressed."""
NO_FRAGMENT = 0xFFFFFFFF
"""[SQ] 5.3: the file has no end in a fragment block."""
_SIZE = struct.Struct("<I")

WORKERS = 2
WINDOW = 8
"""Blocks that are read and not yet written: enough to keep the workers busy while a small file is being opened."""


def compressor(compression: Compression, block_size: int) -> Compressor:
    """A function that compresses one block, for use in one thread."""
    if compression == "gzip":
        import zlib

        return lambda data: zlib.compress(data, GZIP_LEVEL)
    if compression == "xz":
        import lzma

        # The kernel's decoder has room for a dictionary of a block (at least 8 KiB), and knows no other check. Without
        # branch filters: a kernel may be built without their decoders.
        filters = [{"id": lzma.FILTER_LZMA2, "preset": XZ_PRESET, "dict_size": max(block_size, 8192)}]
        return lambda data: lzma.compress(data, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)
    import sys

    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    context = zstd.ZstdCompressor(level=ZSTD_LEVEL)
    return lambda data: context.compress(data, zstd.ZstdCompressor.FLUSH_FRAME)


@dataclass(slots=True)
class Layout:
    """Where a file's bytes are. Complete when the `DataWriter` is closed.

    `sizes` are the blocks' sizes in the image as the inode has them (little-endian, 4 bytes each, 0 for a hole), `start`
    the place of the first one that is there; `sparse` are the bytes in holes.
    """

    sizes: bytearray = field(default_factory=bytearray)
    start: int = 0
    fragment: int = NO_FRAGMENT
    offset: int = 0
    sparse: int = 0


class Fragment(NamedTuple):
    """A block of files' ends: its place and its size as the fragment table has them."""

    start: int
    size: int


class _Pending(NamedTuple):
    """A block under compression, whose size goes to `at` in the layout's sizes; without a layout it is a fragment block.
    Without a block, the layout's blocks end here."""

    block: Future[tuple[bytes, int]] | None
    layout: Layout | None
    at: int


class DataWriter:
    """Writes contents to `out` from its present position on. Use as a context manager; leaving it writes all that is left.

    Reading and writing are done by the thread that calls `add`.
    """

    def __init__(self, contents: Contents, out: BinaryIO, compression: Compression, block_size: int) -> None:
        self.layouts: dict[tuple[Piece, ...], Layout] = {}
        self.fragments: list[Fragment] = []
        self.position = out.tell()
        self._contents = contents
        self._out = out
        self._block_size = block_size
        self._zeros = bytes(block_size)
        self._executor = ThreadPoolExecutor(WORKERS, "squashfs")
        self._own = threading.local()
        self._make = lambda: compressor(compression, block_size)
        self._pending: deque[_Pending] = deque()
        self._runs: dict[bytes, int] = {}
        self._run = hashlib.sha256()
        self._run_start: int | None = None
        self._tails: dict[bytes, tuple[int, int]] = {}
        self._tail: list[bytes] = []
        self._tail_size = 0
        self._tail_blocks = 0

    def __enter__(self) -> DataWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush_tails()
                while self._pending:
                    self._settle()
        finally:
            self._executor.shutdown(cancel_futures=True)

    def add(self, content: tuple[Piece, ...]) -> None:
        """Read `content` and have it written, unless it was: equal pieces are equal bytes."""
        if content in self.layouts:
            return
        layout = self.layouts[content] = Layout()
        tail = b""
        blocks = 0
        for part in _blocks(content, self._block_size):
            if isinstance(part, int):
                layout.sizes.extend(bytearray(_SIZE.size * part))
                layout.sparse += self._block_size * part
                continue
            data = b"".join(self._contents.chunks(part))
            if self._zeros.startswith(data):
                layout.sizes.extend(bytes(_SIZE.size))
                layout.sparse += len(data)
            elif len(data) < self._block_size:
                tail = data
            else:
                self._compress(data, layout, len(layout.sizes))
                layout.sizes.extend(bytes(_SIZE.size))
                blocks += 1
        if blocks:
            self._pending.append(_Pending(None, layout, 0))
        if tail:
            layout.fragment, layout.offset = self._place(tail)

    def _place(self, tail: bytes) -> tuple[int, int]:
        """The fragment block and the offset in it where `tail` goes, or is already."""
        digest = hashlib.sha256(tail).digest()
        place = self._tails.get(digest)
        if place is None:
            if self._tail_size + len(tail) > self._block_size:
                self._flush_tails()
            place = self._tails[digest] = (self._tail_blocks, self._tail_size)
            self._tail.append(tail)
            self._tail_size += len(tail)
        return place

    def _flush_tails(self) -> None:
        if self._tail:
            self._compress(b"".join(self._tail), None, 0)
            self._tail.clear()
            self._tail_size = 0
            self._tail_blocks += 1

    def _compress(self, data: bytes, layout: Layout | None, at: int) -> None:
        while len(self._pending) >= WINDOW:
            self._settle()
        self._pending.append(_Pending(self._executor.submit(self._compressed, data), layout, at))

    def _compressed(self, data: bytes) -> tuple[bytes, int]:
        """In a worker: what to write for `data`, and its size with the mark of stored bytes."""
        compress: Compressor | None = getattr(self._own, "compress", None)
        if compress is None:
            compress = self._own.compress = self._make()
        packed = compress(data)
        return (packed, len(packed)) if len(packed) < len(data) else (data, len(data) | STORED)

    def _settle(self) -> None:
        """Write the oldest block, or end a file's run of blocks."""
        block, layout, at = self._pending.popleft()
        if block is None:
            if layout is not None:
                self._end_run(layout)
            return
        data, size = block.result()
        if layout is None:
            self.fragments.append(Fragment(self.position, size))
        else:
            _SIZE.pack_into(layout.sizes, at, size)
            self._run.update(data)
            if self._run_start is None:
                self._run_start = self.position
        self._out.write(data)
        self.position += len(data)

    def _end_run(self, layout: Layout) -> None:
        """A file's blocks are written; when the same bytes were there already, they are taken back."""
        if self._run_start is not None:
            layout.start = self._runs.setdefault(self._run.digest(), self._run_start)
            if layout.start != self._run_start:
                self.position = self._out.seek(self._run_start)
        self._run = hashlib.sha256()
        self._run_start = None


def _blocks(content: tuple[Piece, ...], block_size: int) -> Iterator[list[Piece] | int]:
    """`content` block by block; a number stands for so many whole blocks of a hole. The last block may be short."""
    block: list[Piece] = []
    room = block_size
    for piece in content:
        at, end = 0, piece_size(piece)
        while at < end:
            if isinstance(piece, Hole) and not block and end - at >= block_size:
                count = (end - at) // block_size
                yield count
                at += count * block_size
                continue
            size = min(room, end - at)
            block.append(_part(piece, at, size))
            at += size
            room -= size
            if not room:
                yield block
                block, room = [], block_size
    if block:
        yield block


def _part(piece: Piece, at: int, size: int) -> Piece:
    if isinstance(piece, bytes):
        return piece[at : at + size]
    if isinstance(piece, Hole):
        return Hole(size)
    return Slice(piece.source, piece.offset + at, size)
