"""Reading cpio: members of an uncompressed archive in the "newc" format as nodes whose contents
stay where they are.

Pure. Source: cpio(5), "New ASCII Format". RPM's payloads are such archives. What a member says is
not judged here but by `tree.gate`.
"""

from __future__ import annotations

import mmap
import stat
from collections.abc import Iterator
from typing import IO

from compos.arithmetic import align_up
from compos.filesystem.inodes import KINDS
from compos.tree.node import BLOCK, CHARACTER, FILE, SYMLINK, Node, Slice

__all__ = ["CpioError", "read_cpio"]

MAGICS = (b"070701", b"070702")
STRIPPED = b"07070X"
"""RPM's own, where a file has more than 4 GiB: names and sizes are in the header alone."""

HEADER = 110
TRAILER = "TRAILER!!!"
MAX_NAME = 4096
"""Bytes of a name with its NUL (linux/limits.h: PATH_MAX)."""

MAX_MEMBERS = 1_000_000


class CpioError(ValueError):
    """The archive is damaged or not cpio; the message says where."""


def read_cpio(stream: IO[bytes], source: str) -> Iterator[tuple[str, Node]]:
    """The members of the archive in `stream`, contents as slices of the stored file `source`.

    Of several links to a file all have the contents that the last one carries. Raises `CpioError`.
    """
    stream.seek(0, 2)
    if not stream.tell():
        raise CpioError("the archive is empty")
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        links: dict[tuple[int, int, int], list[tuple[str, Node]]] = {}
        for name, inode, number, node in _members(data, source):
            if node.kind != FILE or number < 2:
                yield name, node
                continue
            waiting = links.setdefault(inode, [])
            waiting.append((name, node))
            if len(waiting) == number:
                yield from _linked(links.pop(inode))
        for waiting in links.values():
            yield from _linked(waiting)


def _linked(members: list[tuple[str, Node]]) -> Iterator[tuple[str, Node]]:
    last = max((node for _, node in members), key=lambda node: node.size)
    for name, node in members:
        yield name, node._replace(size=last.size, content=last.content)


def _members(data: mmap.mmap, source: str) -> Iterator[tuple[str, tuple[int, int, int], int, Node]]:
    """Name, inode with its device, number of links, and node of each member."""
    position = 0
    for _ in range(MAX_MEMBERS):
        header = data[position : position + HEADER]
        if header[:6] == STRIPPED:
            raise CpioError("a file in it has more than 4 GiB")
        try:
            if len(header) < HEADER or header[:6] not in MAGICS:
                raise ValueError(header)
            fields = [int(header[at : at + 8].decode("ascii"), 16) for at in range(6, HEADER, 8)]
        except ValueError:
            raise CpioError(f"there is no header at byte {position}") from None
        inode, mode, uid, gid, number, mtime, size, *device, length, _ = fields
        start = position + HEADER
        begin = align_up(start + length, 4)
        end = begin + size
        if not 1 < length <= MAX_NAME or end > len(data):
            raise CpioError(f"the archive ends inside the member at byte {position}")
        name = data[start : start + length].rstrip(b"\0").decode("utf-8", "surrogateescape")
        if name == TRAILER:
            return
        kind = KINDS.get(stat.S_IFMT(mode))
        if kind is None:
            raise CpioError(f"the member at byte {position} is of no known type")
        content = (Slice(source, begin, size),) if kind == FILE and size else ()
        target = data[begin:end].decode("utf-8", "surrogateescape") if kind == SYMLINK else ""
        node = Node(
            kind,
            stat.S_IMODE(mode),
            uid,
            gid,
            mtime * 10**9,
            size if kind == FILE else 0,
            content,
            target,
            (device[2], device[3]) if kind in (CHARACTER, BLOCK) else (0, 0),
        )
        yield name, (inode, device[0], device[1]), number, node
        position = align_up(end, 4)
    raise CpioError(f"the archive has more than {MAX_MEMBERS:,} members")
