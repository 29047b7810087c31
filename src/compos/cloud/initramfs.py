"""The kernel modules in an initramfs. Pure.

Source: Linux's Documentation/driver-api/early-userspace/buffer-format.rst: cpio archives of the
"newc" form, each compressed by itself or not, with zeros between them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from compos.decompressors import Damaged, Decompressor, gzip, xz, zstd

__all__ = ["modules_of"]

MAX_BYTES = 8 << 30
"""Of an unpacked initramfs: more does not fit into the machines that it is for."""

MAX_NAME = 4096
MAX_BUILTIN = 4 << 20
CHUNK = 1 << 20

_COMPRESSIONS: tuple[tuple[bytes, Callable[[], Decompressor]], ...] = (
    (b"\x1f\x8b", gzip),
    (b"\x28\xb5\x2f\xfd", zstd),
    (b"\xfd7zXZ\0", xz),
)
_MODULE = re.compile(r"(?:^|/)lib/modules/[^/]+/.*?([^/]+)\.ko(?:\.(?:gz|xz|zst))?$")
_BUILTIN = re.compile(r"(?:^|/)lib/modules/[^/]+/modules\.builtin$")


class _NoInitramfs(Exception):
    """The bytes are not what the kernel would unpack."""


def modules_of(chunks: Iterator[bytes]) -> set[str] | None:
    """Names of the modules in an initramfs, built in or loadable, with underscores; None for what
    cannot be read, or has no index of modules."""
    found: set[str] = set()
    known = False
    try:
        for name, data in _members(_Bytes(_unpacked(_Bytes(chunks)))):
            if match := _MODULE.search(name):
                found.add(match[1].replace("-", "_"))
            elif _BUILTIN.search(name):
                known = True
                lines = data.decode("utf-8", "replace").split()
                found.update(line.rpartition("/")[2].removesuffix(".ko") for line in lines)
    except (_NoInitramfs, Damaged):
        return None
    return {name.replace("-", "_") for name in found} if known or found else None


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

    def skip(self, count: int) -> None:
        """Pass over `count` bytes."""
        while count > 0:
            part = self.take(min(count, CHUNK))
            if not part:
                return
            count -= len(part)

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
                raise _NoInitramfs
            yield part


def _plain(stream: _Bytes) -> Iterator[bytes]:
    """An archive that is not compressed, up to its trailer."""
    if not stream.peek(6).startswith(b"07070"):
        raise _NoInitramfs
    while header := stream.take(110):
        size, name_size = _sizes(header)
        rest = -(110 + name_size) % 4
        name = stream.take(name_size + rest)
        yield header + name
        left = size + -size % 4
        while left > 0:
            part = stream.take(min(left, CHUNK))
            if not part:
                return
            left -= len(part)
            yield part
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
                raise _NoInitramfs
    stream.give_back(opened.unused_data)


def _sizes(header: bytes) -> tuple[int, int]:
    """The sizes of a member's file and name, of its header: hexadecimal fields of eight digits."""
    if len(header) < 110 or header[:6] not in (b"070701", b"070702"):
        raise _NoInitramfs
    try:
        size, name_size = int(header[54:62], 16), int(header[94:102], 16)
    except ValueError as error:
        raise _NoInitramfs from error
    if not 0 < name_size <= MAX_NAME:
        raise _NoInitramfs
    return size, name_size


def _members(stream: _Bytes) -> Iterator[tuple[str, bytes]]:
    """Each file's name, with the contents of the indexes of modules."""
    while header := stream.peek(110):
        if header[0] == 0:
            stream.take(4)
            continue
        stream.take(110)
        size, name_size = _sizes(header)
        name = stream.take(name_size + -(110 + name_size) % 4)[: name_size - 1]
        text = name.decode("utf-8", "replace")
        data = b""
        if _BUILTIN.search(text) and size <= MAX_BUILTIN:
            data = stream.take(size)
        else:
            stream.skip(size)
        stream.skip(-size % 4)
        yield text, data
