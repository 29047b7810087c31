"""What a filesystem is made of here: nodes, whose contents are pieces of stored files, never held
in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

__all__ = [
    "BLOCK",
    "CHARACTER",
    "DIRECTORY",
    "EPOCH",
    "FIFO",
    "FILE",
    "HARD_LINK",
    "SYMLINK",
    "Hole",
    "Node",
    "Piece",
    "Slice",
    "Tree",
    "ancestors",
    "directory",
    "file",
    "symlink",
]

FILE = "f"
DIRECTORY = "d"
SYMLINK = "l"
CHARACTER = "c"
BLOCK = "b"
FIFO = "p"
HARD_LINK = "h"
"""In archives and layers only: laid over a tree, it becomes the node that it names."""

EPOCH = 1492533000 * 10**9
"""2017-04-18T16:30:00Z in nanoseconds: the time of every node that the build makes, as in
LinuxKit's output."""


class Slice(NamedTuple):
    """`size` bytes at `offset` of a file in the store.

    `source` is the file's path below the store's root (`blobs/sha256/…`, `derived/…`). Such names
    are made of digests, so two equal slices have equal bytes: a slice is a content identity that
    costs nothing to compute.
    """

    source: str
    offset: int
    size: int


class Hole(NamedTuple):
    """`size` zero bytes that a sparse file does not store."""

    size: int


Piece: TypeAlias = Slice | bytes | Hole


class Node(NamedTuple):
    """One inode: everything about a path but the path.

    `mode` is the low twelve bits; `mtime` is in nanoseconds since 1970; `link` is a symbolic link's
    target; `device` is (major, minor). Regular files with the same non-empty `inode` are hard links
    of one another.
    """

    kind: str
    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    content: tuple[Piece, ...] = ()
    link: str = ""
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, bytes], ...] = ()
    inode: str = ""


Tree: TypeAlias = dict[str, Node]
"""A filesystem: path (relative, no leading slash, bytes that are not UTF-8 as surrogate escapes) →
node. The root itself has no entry unless something set its mode; then its path is the empty string.
Sorted by path, parents precede children."""


def file(data: bytes, mode: int, mtime: int, *, uid: int = 0, gid: int = 0) -> Node:
    """A regular file with short inline contents."""
    return Node(FILE, mode, uid, gid, mtime, len(data), (data,) if data else ())


def directory(mode: int, mtime: int, *, uid: int = 0, gid: int = 0) -> Node:
    """A directory."""
    return Node(DIRECTORY, mode, uid, gid, mtime)


def symlink(target: str, mtime: int, *, mode: int = 0o777, uid: int = 0, gid: int = 0) -> Node:
    """A symbolic link to `target`, stored as it is."""
    return Node(SYMLINK, mode, uid, gid, mtime, link=target)


def ancestors(path: str) -> Iterator[str]:
    """The directories above `path`, outermost first: `a/b/c` → `a`, `a/b`."""
    position = path.find("/")
    while position != -1:
        yield path[:position]
        position = path.find("/", position + 1)
