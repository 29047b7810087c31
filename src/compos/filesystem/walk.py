"""What readers of read-only file systems do alike: the walk through an image's folders, and what a
name may be. Pure.

Images may come from anybody: folders without an end, and names that lead elsewhere, are errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["MAX_TARGET", "FilesystemError", "Quota", "entry_name", "require_target", "walked"]

Inode = TypeVar("Inode")

MAX_BYTES = 64 << 30
"""Of all files of an image together."""

MAX_TARGET = 65536
"""Bytes of a symbolic link's target."""

MAX_FOLDERS = 1_000_000
MAX_DEPTH = 2048


class FilesystemError(ValueError):
    """The image is damaged, or of a kind that is not read."""


class Quota:
    """How many bytes all files of an image may still have together."""

    def __init__(self) -> None:
        self.left = MAX_BYTES

    def take(self, size: int) -> None:
        """Count a file of `size` bytes. Raises `FilesystemError` if that is too much."""
        self.left -= size
        if self.left < 0:
            raise FilesystemError(f"its files have more than {MAX_BYTES} bytes")


def walked(
    root: int,
    inode_at: Callable[[int], Inode],
    listed: Callable[[Inode], Iterable[tuple[str, int]] | None],
) -> Iterator[tuple[str, Inode]]:
    """The paths of an image with their inodes, a folder before what is in it; the root's path is
    empty, all others begin with a slash. `inode_at` reads the inode of a number, as `root` is one,
    and `listed` the names in a folder with their numbers, None for anything else. Raises
    `FilesystemError`."""
    waiting = [("", root, 0)]
    seen: set[int] = set()
    while waiting:
        path, number, depth = waiting.pop()
        inode = inode_at(number)
        yield path, inode
        names = listed(inode)
        if names is None:
            continue
        if number in seen or depth > MAX_DEPTH or len(seen) > MAX_FOLDERS:
            raise FilesystemError("its folders have no end")
        seen.add(number)
        found = [(f"{path}/{name}", inner, depth + 1) for name, inner in names]
        waiting += reversed(found)


def require_target(size: int) -> None:
    """Raise `FilesystemError` for a symbolic link whose target has so many bytes."""
    if size > MAX_TARGET:
        raise FilesystemError("a symbolic link's target is too long")


def entry_name(name: bytes) -> str:
    """A name in a folder; bytes that are not UTF-8 as surrogate escapes. Raises
    `FilesystemError`."""
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
        raise FilesystemError("a folder has a name that is none")
    return name.decode("utf-8", "surrogateescape")
