"""What Unix file systems say alike of a tree: types and modes, device numbers, the namespaces of
extended attributes, and the walk that makes inodes of paths. Pure.

FAT has none of this; ISO 9660, cpio and tar have no inodes, and take the modes only.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from compos.filesystem.limits import encoded, require_node
from compos.tree.node import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    EPOCH,
    FIFO,
    FILE,
    SYMLINK,
    Node,
    directory,
)

__all__ = ["FILE_TYPES", "PREFIXES", "Inode", "inode_table", "new_device", "split_name", "st_mode"]

_FORMATS = {
    FILE: stat.S_IFREG,
    DIRECTORY: stat.S_IFDIR,
    SYMLINK: stat.S_IFLNK,
    CHARACTER: stat.S_IFCHR,
    BLOCK: stat.S_IFBLK,
    FIFO: stat.S_IFIFO,
}

FILE_TYPES = {FILE: 1, DIRECTORY: 2, CHARACTER: 3, BLOCK: 4, FIFO: 5, SYMLINK: 7}
"""A directory entry's type in ext4 and EROFS (Linux, include/linux/fs_types.h, FT_*)."""

PREFIXES = {"user.": 1, "trusted.": 4, "security.": 6}
"""Numbers of the namespaces of extended attributes in ext4 and EROFS; ACLs have others."""


def st_mode(node: Node) -> int:
    """Type and permissions, as in `struct stat`."""
    return _FORMATS[node.kind] | node.mode


def new_device(major: int, minor: int) -> int:
    """A device number in 32 bits (Linux, include/linux/kdev_t.h, new_encode_dev): 12 bits of
    major, 20 of minor, whose low 8 stand below."""
    return minor & 0xFF | major << 8 | (minor & ~0xFF) << 12


def split_name(name: str, prefixes: Mapping[str, int]) -> tuple[int, bytes] | None:
    """An extended attribute's name as the number of its namespace and the rest; None when the
    format has no number for it, or nothing is left."""
    space, dot, rest = name.partition(".")
    number = prefixes.get(space + dot)
    return None if number is None or not rest else (number, encoded(rest))


@dataclass(slots=True)
class Inode:
    """An inode to be. Writers derive their own from it, with what they must know besides."""

    path: str
    """The first of its paths; the root's is empty."""
    node: Node
    number: int = 0
    links: int = 1
    parent: Self | None = None
    """The directory that it stands in first; the root has none."""
    children: Sequence[tuple[bytes, Self]] = ()
    """A directory's entries without `.` and `..`, sorted by name."""


I = TypeVar("I", bound=Inode)  # noqa: E741  an inode


def inode_table(entries: Sequence[tuple[str, Node]], make: Callable[[str, Node], I]) -> list[I]:
    """An inode for each path of `entries` (sorted, parents first), made by `make`, one for all hard
    links of a file; the root first, whether it is in `entries` or not.

    Parents, children and links are set, numbers are not. Raises `OutputError` (`entry-limit`).
    """
    root = make("", next((node for path, node in entries if not path), directory(0o755, EPOCH)))
    folders = {"": root}
    listings: dict[str, list[tuple[bytes, I]]] = {"": []}
    shared: dict[str, I] = {}
    inodes = [root]
    for path, node in entries:
        require_node(path, node)
        if not path:
            continue
        above, _, name = path.rpartition("/")
        inode = shared.get(node.inode) if node.inode else None
        if inode:
            inode.links += 1
        else:
            inode = make(path, node)
            inode.parent = folders[above]
            inodes.append(inode)
            if node.inode:
                shared[node.inode] = inode
        listings[above].append((encoded(name), inode))
        if node.kind == DIRECTORY:
            folders[path] = inode
            listings[path] = []
    for path, folder in folders.items():
        folder.children = sorted(listings.pop(path), key=lambda child: child[0])
        # Its name, its own `.`, and the `..` of each directory in it.
        folder.links = 2 + sum(child.node.kind == DIRECTORY for _, child in folder.children)
    return inodes
