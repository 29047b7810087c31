"""Reading squashfs 4.0: every file of an image, with its attributes.

Pure, but for the image that it is handed. It may come from anybody: every number is checked, and
memory is bounded whatever it says. Extended attributes are not read.

Source: Linux, fs/squashfs/squashfs_fs.h (structures and constants) and
Documentation/filesystems/squashfs.rst.
"""

from __future__ import annotations

import lzma
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, TypeVar

from compos.arithmetic import ceil_div
from compos.decompressors import Damaged, zstd
from compos.filesystem.initramfs import Member
from compos.filesystem.inodes import split_device
from compos.filesystem.walk import (
    FilesystemError,
    Quota,
    entry_name,
    require_target,
    walked,
)

__all__ = ["MAGIC", "read_squashfs"]

Item = TypeVar("Item")

MAGIC = b"hsqs"
MAX_TABLE = 1 << 16
"""Ids; and blocks of metadata that are kept."""

_META = 8192
_SUPERBLOCK = struct.Struct("<4sIIIIHHHHHHQQQQQQQQ")
_NONE = 0xFFFFFFFF
_DIRECTORY, _FILE, _SYMLINK, _BLOCK, _CHARACTER, _FIFO, _SOCKET = range(1, 8)
_EXTENDED = 7
"""Added to a type for an inode with more fields."""

_MODES = {
    _DIRECTORY: stat.S_IFDIR,
    _FILE: stat.S_IFREG,
    _SYMLINK: stat.S_IFLNK,
    _BLOCK: stat.S_IFBLK,
    _CHARACTER: stat.S_IFCHR,
    _FIFO: stat.S_IFIFO,
    _SOCKET: stat.S_IFSOCK,
}


def read_squashfs(read: Callable[[int, int], bytes]) -> Iterator[Member]:
    """The files of the image of which `read` gives the bytes at an offset, folders first. Raises
    `FilesystemError`."""
    for member in _guarded(lambda: _Image(read).members()):
        yield member._replace(body=_guarded(partial(iter, member.body)))


def _guarded(items: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """The items, with one kind of error."""
    try:
        yield from items()
    except (Damaged, zlib.error, lzma.LZMAError, struct.error, EOFError) as error:
        raise FilesystemError(f"the squashfs is damaged: {error}") from error


def _zlib(data: bytes, most: int) -> bytes:
    return zlib.decompressobj().decompress(data, most)


def _xz(data: bytes, most: int) -> bytes:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, 256 << 20).decompress(data, most)


def _zstd(data: bytes, most: int) -> bytes:
    return zstd().decompress(data, most)


_COMPRESSIONS: dict[int, Callable[[bytes, int], bytes]] = {1: _zlib, 4: _xz, 6: _zstd}


class _Inode(NamedTuple):
    """An inode; `start`, `offset` and `size` say where a folder's list is, or a file's blocks and
    its end in a fragment; `blocks` are the sizes of a file's blocks."""

    kind: int
    mode: int
    uid: int
    gid: int
    number: int
    start: int = 0
    offset: int = 0
    size: int = 0
    fragment: int = _NONE
    blocks: tuple[int, ...] = ()
    target: bytes = b""
    device: tuple[int, int] = (0, 0)


class _Image:
    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._source = read
        (
            magic, _, _, self._block, self._fragments, compression, _, _, ids, major, _, self._root,
            self._used, id_table, _, self._inodes, self._folders, fragment_table, _,
        ) = _SUPERBLOCK.unpack(self._read(0, _SUPERBLOCK.size))  # fmt: skip
        if magic != MAGIC or major != 4:
            raise FilesystemError("it is no squashfs 4.0")
        if compression not in _COMPRESSIONS:
            raise FilesystemError("its compression is not read")
        if not 4096 <= self._block <= 1 << 20:
            raise FilesystemError(f"it has blocks of {self._block} bytes")
        self._decompress = _COMPRESSIONS[compression]
        self._kept: dict[int, tuple[bytes, int]] = {}
        self._last_fragment = (-1, b"")
        self._ids = struct.unpack(f"<{ids}I", self._table(id_table, ids * 4))
        self._fragment_table = fragment_table
        self._quota = Quota()

    def _read(self, at: int, size: int) -> bytes:
        if at >= 1 << 62:
            raise FilesystemError("a place beyond all files")
        return self._source(at, size)

    def members(self) -> Iterator[Member]:
        """All files, a folder before what is in it."""
        for path, inode in walked(self._root, self._inode, self._listed):
            yield self._member(path, inode)

    def _member(self, path: str, inode: _Inode) -> Member:
        size = inode.size if inode.kind == _FILE else len(inode.target)
        self._quota.take(size)
        body = self._contents(inode) if inode.kind == _FILE else iter([inode.target])
        mode = inode.mode & 0o7777 | _MODES[inode.kind]
        device = inode.device
        return Member(
            path or ".", mode, inode.uid, inode.gid, 1, (0, 0, 0, inode.number), device, size, body
        )

    def _metadata(self, at: int) -> tuple[bytes, int]:
        """The block of metadata at an offset, and where the next one begins."""
        found = self._kept.get(at)
        if found is None:
            (head,) = struct.unpack("<H", self._read(at, 2))
            size = head & 0x7FFF
            data = self._read(at + 2, size)
            if len(data) != size or size > _META:
                raise FilesystemError("a block of metadata is not whole")
            plain = data if head & 0x8000 else self._decompress(data, _META)
            found = plain, at + 2 + size
            if len(self._kept) >= 256:
                self._kept.clear()
            self._kept[at] = found
        return found

    def _stream(self, at: int, offset: int) -> Callable[[int], bytes]:
        """Reads on from a place in metadata."""
        block, following = self._metadata(at)
        if offset > len(block):
            raise FilesystemError("a place beyond a block of metadata")
        rest = block[offset:]

        def take(count: int) -> bytes:
            nonlocal rest, following
            while len(rest) < count:
                block, following = self._metadata(following)
                if not block:
                    raise FilesystemError("an empty block of metadata")
                rest += block
            data, rest = rest[:count], rest[count:]
            return data

        return take

    def _table(self, at: int, size: int) -> bytes:
        """A table whose blocks of metadata are named by an index at `at`."""
        if size > MAX_TABLE * 4:
            raise FilesystemError("a table is too long")
        blocks = ceil_div(size, _META)
        starts = struct.unpack(f"<{blocks}Q", self._read(at, 8 * blocks))
        return b"".join(self._metadata(start)[0] for start in starts)[:size]

    def _inode(self, reference: int) -> _Inode:
        take = self._stream(self._inodes + (reference >> 16), reference & 0xFFFF)
        kind, mode, uid, gid, _, number = struct.unpack("<HHHHII", take(16))
        extended = kind > _EXTENDED
        kind -= _EXTENDED if extended else 0
        if kind not in _MODES or max(uid, gid) >= len(self._ids):
            raise FilesystemError("an inode is of no kind, or of nobody")
        made = _Inode(kind, mode, self._ids[uid], self._ids[gid], number)
        if kind == _DIRECTORY:
            return self._folder(made, take, extended=extended)
        if kind == _FILE:
            return self._file(made, take, extended=extended)
        if kind == _SYMLINK:
            _, size = struct.unpack("<II", take(8))
            require_target(size)
            return made._replace(target=take(size))
        if kind in (_BLOCK, _CHARACTER):
            _, device = struct.unpack("<II", take(8))
            return made._replace(device=split_device(device))
        return made

    def _folder(self, made: _Inode, take: Callable[[int], bytes], *, extended: bool) -> _Inode:
        if extended:
            _, size, start, _, _, offset = struct.unpack("<IIIIHH", take(20))
        else:
            start, _, size, offset = struct.unpack("<IIHH", take(12))
        return made._replace(start=start, offset=offset, size=size)

    def _file(self, made: _Inode, take: Callable[[int], bytes], *, extended: bool) -> _Inode:
        if extended:
            start, size, _, _, fragment, offset, _ = struct.unpack("<QQQIIII", take(40))
        else:
            start, fragment, offset, size = struct.unpack("<IIII", take(16))
        if size > self._quota.left:
            raise FilesystemError("a file is too large")
        count = size // self._block if fragment != _NONE else ceil_div(size, self._block)
        if count * 4 > self._used:
            raise FilesystemError("a file has more blocks than the image has bytes")
        blocks = struct.unpack(f"<{count}I", take(4 * count))
        return made._replace(
            start=start, offset=offset, size=size, fragment=fragment, blocks=blocks
        )

    def _listed(self, inode: _Inode) -> Iterator[tuple[str, int]] | None:
        return self._names(inode) if inode.kind == _DIRECTORY else None

    def _names(self, inode: _Inode) -> Iterator[tuple[str, int]]:
        """Names in a folder, each with its inode's place."""
        # The size counts `.` and `..`, which are not there.
        left = inode.size - 3
        if left <= 0:
            return
        take = self._stream(self._folders + inode.start, inode.offset)
        while left > 0:
            count, start, _ = struct.unpack("<III", take(12))
            left -= 12
            if count >= 256:
                raise FilesystemError("a folder has a list that is too long")
            for _ in range(count + 1):
                offset, _, _, size = struct.unpack("<HhHH", take(8))
                name = take(size + 1)
                left -= 8 + size + 1
                yield entry_name(name), start << 16 | offset

    def _contents(self, inode: _Inode) -> Iterator[bytes]:
        at, left = inode.start, inode.size
        for word in inode.blocks:
            wanted = min(self._block, left)
            size = word & 0xFFFFFF
            if size:
                yield self._data(at, word, wanted)
            else:
                yield bytes(wanted)
            at += size
            left -= wanted
        if left and inode.fragment != _NONE:
            data = self._fragment(inode.fragment)[inode.offset : inode.offset + left]
            if len(data) != left:
                raise FilesystemError("a fragment is too short")
            yield data

    def _data(self, at: int, word: int, wanted: int) -> bytes:
        size = word & 0xFFFFFF
        if size > self._block:
            raise FilesystemError("a block is too long")
        data = self._read(at, size)
        plain = data if word & 0x1000000 else self._decompress(data, self._block)
        if len(plain) != wanted:
            raise FilesystemError("a block has another size than its file needs")
        return plain

    def _fragment(self, number: int) -> bytes:
        if number == self._last_fragment[0]:
            return self._last_fragment[1]
        if number >= self._fragments:
            raise FilesystemError("a fragment is not there")
        (block,) = struct.unpack("<Q", self._read(self._fragment_table + number // 512 * 8, 8))
        at = number % 512 * 16
        entry = self._metadata(block)[0][at : at + 16]
        start, word, _ = struct.unpack("<QII", entry)
        if word & 0xFFFFFF > self._block:
            raise FilesystemError("a fragment is too long")
        data = self._read(start, word & 0xFFFFFF)
        plain = data if word & 0x1000000 else self._decompress(data, self._block)
        self._last_fragment = number, plain
        return plain
