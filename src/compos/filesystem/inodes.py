"""What Unix file systems say alike of a tree: types and modes, device numbers, the namespaces of
extended attributes, and the walk that makes inodes of paths. Pure.

FAT has none of this; ISO 9660, cpio and tar have no inodes, and take the modes only.
"""

from __future__ import annotations

import stat
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice, pairwise

from compos.filesystem.limits import encoded, require_node
from compos.tree.entries import Entries
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

__all__ = [
    "FILE_TYPES",
    "KINDS",
    "PREFIXES",
    "Inodes",
    "new_device",
    "repeated_contents",
    "split_device",
    "split_name",
    "st_mode",
]

_FORMATS = {
    FILE: stat.S_IFREG,
    DIRECTORY: stat.S_IFDIR,
    SYMLINK: stat.S_IFLNK,
    CHARACTER: stat.S_IFCHR,
    BLOCK: stat.S_IFBLK,
    FIFO: stat.S_IFIFO,
}

KINDS = {file_type: kind for kind, file_type in _FORMATS.items()}
"""What each file type of st_mode is as a node."""

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


def split_device(number: int) -> tuple[int, int]:
    """Major and minor of such a number (new_decode_dev)."""
    return (number & 0xFFF00) >> 8, number & 0xFF | (number >> 12) & 0xFFF00


def split_name(name: str, prefixes: Mapping[str, int]) -> tuple[int, bytes] | None:
    """An extended attribute's name as the number of its namespace and the rest; None when the
    format has no number for it, or nothing is left."""
    space, dot, rest = name.partition(".")
    number = prefixes.get(space + dot)
    return None if number is None or not rest else (number, encoded(rest))


class Inodes:
    """The inodes of a tree by number: the root's is 0, and all hard links of a file have one.

    Each takes 25 bytes here, besides its node among the entries; writers keep what they must know
    besides in arrays of their own.
    """

    def __init__(
        self, entries: Sequence[tuple[str, Node]], first: Sequence[tuple[str, Node]] = ()
    ) -> None:
        """Those of `entries` (sorted, parents first), behind the root and `first`, which stand for
        what `entries` have at their paths. Raises `OutputError` (`entry-limit`)."""
        self._entries = Entries.over(entries)
        top = self._entries.get("") or directory(0o755, EPOCH)
        self._first = (("", top), *first)
        self._at = array("I")
        """Which entry each inode is; those in front come behind all others."""
        self.parents = array("I")
        """The directory that each stands in first; the root's is the root."""
        self.links = array("I")
        self._kinds = bytearray()
        self._names = array("I")
        """The directories' entries, one directory behind the other: which entry has the name, and
        which inode that is."""
        self._children = array("I")
        self._starts = array("I")
        self._walk()

    def _walk(self) -> None:
        folders: dict[str, int] = {}
        shared: dict[str, int] = {}
        # Of each entry the directory and the inode.
        above, numbers = array("I"), array("I")
        for at, (path, node) in self._numbered():
            require_node(path, node)
            parent, _, _ = path.rpartition("/")
            folder = folders[parent] if path else 0
            number = shared.get(node.inode) if node.inode else None
            if number is None:
                number = len(self._at)
                self._at.append(at)
                self.parents.append(folder)
                # A directory has its name, its own `.`, and the `..` of each one in it.
                self.links.append(2 if node.kind == DIRECTORY else 1)
                self._kinds.append(ord(node.kind))
                if node.inode:
                    shared[node.inode] = number
                if node.kind == DIRECTORY:
                    folders[path] = number
                    if path:
                        self.links[folder] += 1
            else:
                self.links[number] += 1
            if path:
                above.append(folder)
                numbers.append(number)
                self._names.append(at)
        self._sort(above, numbers)

    def _sort(self, above: array[int], numbers: array[int]) -> None:
        """Put the directories' entries together, a directory's in their order."""
        counts = array("I", bytes(4 * (len(self) + 1)))
        for folder in above:
            counts[folder + 1] += 1
        self._starts = array("I", accumulate(counts))
        free = self._starts[:]
        names, self._names = self._names, array("I", bytes(4 * len(above)))
        self._children = array("I", bytes(4 * len(above)))
        for folder, at, number in zip(above, names, numbers, strict=True):
            place = free[folder]
            free[folder] += 1
            self._names[place] = at
            self._children[place] = number

    def _numbered(self) -> Iterator[tuple[int, tuple[str, Node]]]:
        """The first ones and the others, by the numbers that `_entry` knows."""
        own = {path for path, _ in self._first}
        yield from enumerate(self._first, len(self._entries))
        for at, pair in enumerate(self._entries):
            if pair[0] not in own:
                yield at, pair

    def _entry(self, at: int) -> tuple[str, Node]:
        return (
            self._entries[at] if at < len(self._entries) else self._first[at - len(self._entries)]
        )

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, number: int) -> tuple[str, Node]:
        """The first path of an inode, which is empty for the root, and its node."""
        return self._entry(self._at[number])

    def __iter__(self) -> Iterator[tuple[str, Node]]:
        """All of them; one after another they are made faster."""
        yield from self._first
        waiting = islice(self._at, len(self._first), None)
        wanted = next(waiting, None)
        for at, pair in enumerate(self._entries):
            if at == wanted:
                yield pair
                wanted = next(waiting, None)

    def kind(self, number: int) -> str:
        """What an inode is."""
        return chr(self._kinds[number])

    def children(self, number: int) -> list[tuple[bytes, int]]:
        """A directory's entries without `.` and `..`: names and inodes, sorted by name."""
        here = slice(*self._starts[number : number + 2])
        return sorted(zip(map(self._name, self._names[here]), self._children[here], strict=True))

    def _name(self, at: int) -> bytes:
        entries = self._entries
        path = entries.path(at) if at < len(entries) else self._first[at - len(entries)][0]
        return encoded(path[path.rfind("/") + 1 :])


def repeated_contents(nodes: Iterable[Node]) -> set[int]:
    """The hashes of contents that several of `nodes` have: nobody need remember the others."""
    hashes = sorted(array("q", (hash(node.content) for node in nodes)))
    return {one for one, other in pairwise(hashes) if one == other}
