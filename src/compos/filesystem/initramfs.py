"""Reading an initramfs: the members of its archives, as the kernel sees them.

Pure. It may come from anybody: every number is checked, and memory is bounded whatever it says.

Source: Linux's Documentation/driver-api/early-userspace/buffer-format.rst: cpio archives of the
"newc" form, each compressed by itself or not, with zeros between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from compos.decompressors import Damaged, Decompressor, gzip, xz, zstd

__all__ = ["InitramfsError", "Member", "read_initramfs"]

MAX_BYTES = 8 << 30
"""Of an unpacked initramfs: more does not fit into the machines that it is for."""

MAX_NAME = 4096
CHUNK = 1 << 20
_DIGITS = frozenset(b"0123456789abcdefABCDEF")

_COMPRESSIONS: tuple[tuple[bytes, Callable[[], Decompressor]], ...] = (
    (b"\x1f\x8b", gzip),
    (b"\x28\xb5\x2f\xfd", zstd),
    (b"\xfd7zXZ\0", xz),
)


class InitramfsError(ValueError):
    """The bytes are not what the kernel would unpack."""


class Member(NamedTuple):
    """One member: its name as it stands, bytes that are not UTF-8 as surrogate escapes; the whole
    `st_mode`; its size in bytes, and its contents, which are passed over with the next member.

    Members with the same `inode` and more than one link are one file, within one archive, which is
    numbered; the last of them has the contents.
    """

    name: str
    mode: int
    uid: int
    gid: int
    links: int
    inode: tuple[int, int, int, int]
    device: tuple[int, int]
    size: int
    body: Iterator[bytes]


def read_initramfs(chunks: Iterator[bytes]) -> Iterator[Member]:
    """The members of the archives in `chunks`, without the trailers. Raises `InitramfsError`."""
    try:
        yield from _members(_Bytes(_unpacked(_Bytes(chunks))))
    except Damaged as error:
        raise InitramfsError(str(error)) from error


class _Bytes:
    """Chunks, read as many bytes at a time as somebody asks for."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = bytearray()

    def peek(self, count: int) -> bytes:
        """Up to `count` bytes, which stay."""
        while len(self._rest) < count:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._rest += chunk
        return bytes(self._rest[:count])

    def take(self, count: int) -> bytes:
        """Up to `count` bytes."""
        data = self.peek(count)
        del self._rest[: len(data)]
        return data

    def parts(self, count: int) -> Iterator[bytes]:
        """The next `count` bytes, in parts. Raises `InitramfsError` if there are fewer."""
        while count > 0:
            part = self.take(min(count, CHUNK))
            if not part:
                raise InitramfsError("it ends within a file")
            count -= len(part)
            yield part

    def give_back(self, data: bytes) -> None:
        """Have `data` read next."""
        self._rest[:0] = data


def _unpacked(stream: _Bytes) -> Iterator[bytes]:
    """The archives in one, as the kernel sees them."""
    total = 0
    while head := stream.peek(6):
        if head[0] == 0:
            stream.take(1 if any(head) else len(head))
            continue
        opener = next((make for magic, make in _COMPRESSIONS if head.startswith(magic)), None)
        parts = _one_stream(stream, opener()) if opener else _plain(stream)
        for part in parts:
            total += len(part)
            if total > MAX_BYTES:
                raise InitramfsError(f"it has more than {MAX_BYTES} bytes")
            yield part


def _plain(stream: _Bytes) -> Iterator[bytes]:
    """An archive that is not compressed, up to its trailer."""
    if not stream.peek(6).startswith(b"07070"):
        raise InitramfsError("it has what is neither compressed nor a cpio archive")
    while header := stream.take(110):
        size, name_size = _sizes(header)
        name = stream.take(name_size + -(110 + name_size) % 4)
        yield header + name
        yield from stream.parts(size + -size % 4)
        if name.startswith(b"TRAILER!!!\0"):
            return


def _one_stream(stream: _Bytes, opened: Decompressor) -> Iterator[bytes]:
    data = stream.take(CHUNK)
    while not opened.eof:
        part = opened.decompress(data, CHUNK)
        if part:
            yield part
        data = b""
        if not opened.eof and opened.needs_input:
            data = stream.take(CHUNK)
            if not data:
                raise InitramfsError("it ends within a compressed archive")
    stream.give_back(opened.unused_data)


def _field(header: bytes, number: int) -> int:
    """A header's field: eight hexadecimal digits behind the magic number."""
    digits = header[6 + 8 * number : 14 + 8 * number]
    # int() takes signs and underscores, too.
    if len(digits) != 8 or set(digits) - _DIGITS:
        raise InitramfsError("a header has a number that is none")
    return int(digits, 16)


def _sizes(header: bytes) -> tuple[int, int]:
    """The sizes of a member's file and name, of its header."""
    if len(header) < 110 or header[:6] not in (b"070701", b"070702"):
        raise InitramfsError("there is no header where one must be")
    size, name_size = _field(header, 6), _field(header, 11)
    if not 0 < name_size <= MAX_NAME:
        raise InitramfsError("a header has an impossible size")
    return size, name_size


def _members(stream: _Bytes) -> Iterator[Member]:
    archive = 0
    while header := stream.peek(110):
        if header[0] == 0:
            stream.take(4)
            continue
        stream.take(110)
        size, name_size = _sizes(header)
        name = stream.take(name_size + -(110 + name_size) % 4)[: name_size - 1]
        body = stream.parts(size)
        if name == b"TRAILER!!!":
            archive += 1
        else:
            inode, mode, uid, gid, links, _, _, *devices = (
                _field(header, number) for number in range(11)
            )
            yield Member(
                name.decode("utf-8", "surrogateescape"),
                mode,
                uid,
                gid,
                links,
                (archive, devices[0], devices[1], inode),
                (devices[2], devices[3]),
                size,
                body,
            )
        for _ in body:
            pass
        stream.take(-size % 4)
