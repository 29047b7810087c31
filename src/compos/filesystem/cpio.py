"""A tree as a cpio archive in the "newc" format, which the kernel unpacks as its initial root filesystem.

Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst, `c_magic` "070701".
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator

from compos.errors import OutputError
from compos.tree.node import BLOCK, CHARACTER, DIRECTORY, FIFO, FILE, SYMLINK, Node, Piece

__all__ = ["cpio_pieces"]

MAGIC = b"070701"
TRAILER = "TRAILER!!!"
_TYPES = {
    FILE: stat.S_IFREG,
    DIRECTORY: stat.S_IFDIR,
    SYMLINK: stat.S_IFLNK,
    CHARACTER: stat.S_IFCHR,
    BLOCK: stat.S_IFBLK,
    FIFO: stat.S_IFIFO,
}
_LIMIT = 0xFFFFFFFF
"""Every header field is eight hexadecimal digits."""


def cpio_pieces(entries: Iterable[tuple[str, Node]]) -> Iterator[Piece]:
    """The archive of `entries` (parents before children), as pieces. Hard links stay hard links.

    Extended attributes cannot be expressed and are left out; a file of 4 GiB or more raises `OutputError`
    (`cpio-file-too-large`).
    """
    entries = list(entries)
    remaining: dict[str, int] = {}
    for _, node in entries:
        if node.inode:
            remaining[node.inode] = remaining.get(node.inode, 0) + 1
    total = dict(remaining)
    numbers: dict[str, int] = {}
    for number, (path, node) in enumerate(entries, start=1):
        if not path:
            continue
        links = 2 if node.kind == DIRECTORY else 1
        with_data = True
        if node.inode:
            number = numbers.setdefault(node.inode, number)
            links = total[node.inode]
            remaining[node.inode] -= 1
            # Of several links the last carries the data, as cpio(1) writes it; the kernel takes it from any one.
            with_data = remaining[node.inode] == 0
        yield from _member(path, node, number, links, with_data)
    yield _header(TRAILER, (0, 0, 0, 0, 1, 0, 0, 0, 0))


def _member(path: str, node: Node, number: int, links: int, with_data: bool) -> Iterator[Piece]:
    target = node.link.encode("utf-8", "surrogateescape") if node.kind == SYMLINK else b""
    size = len(target) or (node.size if with_data else 0)
    if size > _LIMIT:
        raise OutputError(
            "cpio-file-too-large",
            f"{path} has {node.size:,} bytes; a file in an initrd can have at most {_LIMIT:,}",
            hint="Keep this file on a disk or in a volume instead of the initrd.",
        )
    mtime = min(max(node.mtime // 10**9, 0), _LIMIT)
    fields = (_TYPES[node.kind] | node.mode, node.uid, node.gid, number, links, mtime, size, *node.device)
    yield _header(path, fields)
    if target:
        yield target + bytes(-size % 4)
    elif size:
        yield from node.content
        if size % 4:
            yield bytes(-size % 4)


def _header(path: str, fields: tuple[int, ...]) -> bytes:
    """The 110-byte header and the name, padded to four bytes."""
    mode, uid, gid, number, links, mtime, size, major, minor = fields
    name = path.encode("utf-8", "surrogateescape") + b"\0"
    # magic ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    header = b"%s%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x" % (
        MAGIC, number, mode, uid & _LIMIT, gid & _LIMIT, links, mtime, size, 0, 0, major, minor, len(name), 0,
    )  # fmt: skip
    return header + name + bytes(-(len(header) + len(name)) % 4)
