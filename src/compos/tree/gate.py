"""The gate: what anybody outside may say of a file, in Linux's own bounds. Pure.

Every member of a layer, of a kernel's or an earlier build's tar, of a package, and every entry of
`files` becomes a node here or not at all: what Linux cannot hold would be misread by whoever mounts
or unpacks what is made of it.
"""

from __future__ import annotations

from compos.tree.node import BLOCK, CHARACTER, DIRECTORY, HARD_LINK, SYMLINK, Node

__all__ = ["GateError", "admitted", "clean", "normal", "require_path", "shown"]

MAX_PATH = 4095
"""Bytes of a path: PATH_MAX (linux/limits.h) counts the NUL at its end."""

MAX_NAME = 255
"""Bytes of one name in a path: NAME_MAX (linux/limits.h)."""

MAX_LINK = 4095
"""Bytes of a symbolic link's target: a path, too."""

MAX_ID = 0xFFFF_FFFE
"""User and group ids have 32 bits, and all ones is nobody: INVALID_UID (linux/uidgid.h); chown(2)
takes it as "as it was"."""

MAX_MAJOR, MAX_MINOR = 0xFFF, 0xF_FFFF
"""A device number is 12 and 20 bits: MINORBITS (linux/kdev_t.h)."""

MAX_MODE = 0o7777

MAX_SIZE = (1 << 63) - 1
"""Bytes of a file: loff_t."""

MAX_XATTR_NAME, MAX_XATTR_VALUE, MAX_XATTR_LIST = 255, 65536, 65536
"""Bytes of an extended attribute's name, of its value, and of all names of one file with their
NULs: linux/limits.h."""

FIRST_TIME, LAST_TIME = -(1 << 63), (1 << 63) - 1
"""Nanoseconds since 1970 in 64 bits: the years 1677 to 2262."""

_SURELY_SHORT = MAX_NAME // 4
"""Characters that have at most `MAX_NAME` bytes in any case: one has four at most."""

_SHOWN = 60


class GateError(ValueError):
    """Something that Linux could not hold; the message says which entry and which limit."""


def shown(name: str) -> str:
    """A name as an error shows it: printable, and short."""
    return repr(name if len(name) <= 2 * _SHOWN else f"{name[:_SHOWN]}…{name[-_SHOWN:]}")


def clean(name: str) -> str:
    """`./a//b/../c/` → `a/c`; the root is empty. Raises `GateError` for what is no path on
    Linux."""
    path = normal(name)
    require_path(path)
    return path


def normal(name: str) -> str:
    """`name` below the root, without dots and repeated slashes.

    `..` takes one name back, and at the root nothing, as containerd has it: nothing leaves the
    root.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        kept: list[str] = []
        for part in parts:
            if part != "..":
                kept.append(part)
            elif kept:
                kept.pop()
        parts = kept
    return "/".join(parts)


def require_path(path: str) -> None:
    """Raise `GateError` unless Linux can have `path`."""
    if "\0" in path:
        raise GateError(f"the path {shown(path)} contains a NUL")
    if len(path) <= _SURELY_SHORT:
        return
    if (length := _length(path)) > MAX_PATH:
        raise GateError(
            f"the path {shown(path)} has {length:,} bytes, but Linux allows at most {MAX_PATH:,} "
            "(PATH_MAX)"
        )
    for name in path.split("/"):
        if len(name) > _SURELY_SHORT and (length := _length(name)) > MAX_NAME:
            raise GateError(
                f"the name {shown(name)} has {length:,} bytes, but Linux allows at most "
                f"{MAX_NAME:,} (NAME_MAX)"
            )


def _length(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def admitted(name: str, node: Node) -> tuple[str, Node]:
    """The clean path of `name`, and `node` as it may stand there. Raises `GateError`.

    A hard link's target becomes a clean path as well. Times before and after what 64 bits of
    nanoseconds hold become the first and the last of these, as the kernel does with times that a
    file system cannot hold (timestamp_truncate, fs/inode.c).
    """
    path = clean(name)
    if not path and node.kind != DIRECTORY:
        raise GateError(f"{shown(name)} is the root but not a directory")
    try:
        _require_numbers(node)
        if node.kind == SYMLINK:
            _require_target(node.link)
        elif node.kind == HARD_LINK:
            node = node._replace(link=clean(node.link))
        if node.xattrs:
            _require_xattrs(node.xattrs)
    except GateError as error:
        raise GateError(f"{shown(path)}: {error}") from None
    if not FIRST_TIME <= node.mtime <= LAST_TIME:
        node = node._replace(mtime=FIRST_TIME if node.mtime < 0 else LAST_TIME)
    return path, node


def _require_numbers(node: Node) -> None:
    kind, mode, uid, gid, _, size = node[:6]
    if not (0 <= uid <= MAX_ID and 0 <= gid <= MAX_ID):
        what, number = ("group", gid) if 0 <= uid <= MAX_ID else ("user", uid)
        raise GateError(f"the {what} id {number:,} is not between 0 and {MAX_ID:,}")
    if not 0 <= mode <= MAX_MODE:
        raise GateError(f"the mode {mode:#o} is not between 0 and {MAX_MODE:#o}")
    if not 0 <= size <= MAX_SIZE:
        raise GateError(f"the size {size:,} is not between 0 and 2⁶³-1 bytes")
    if kind in (CHARACTER, BLOCK):
        major, minor = node.device
        if not (0 <= major <= MAX_MAJOR and 0 <= minor <= MAX_MINOR):
            raise GateError(
                f"the device number {major:,}:{minor:,} is not between 0:0 and "
                f"{MAX_MAJOR:,}:{MAX_MINOR:,} (12 and 20 bits)"
            )


def _require_target(link: str) -> None:
    if "\0" in link:
        raise GateError(f"the symbolic link's target {shown(link)} contains a NUL")
    if not 1 <= (length := _length(link)) <= MAX_LINK:
        raise GateError(
            f"the symbolic link's target {shown(link)} has {length:,} bytes, but Linux allows 1 to "
            f"{MAX_LINK:,}"
        )


def _require_xattrs(xattrs: tuple[tuple[str, bytes], ...]) -> None:
    total = 0
    for name, value in xattrs:
        length = _length(name)
        if "\0" in name or not 1 <= length <= MAX_XATTR_NAME:
            raise GateError(
                f"the extended attribute's name {shown(name)} contains a NUL or does not have 1 to "
                f"{MAX_XATTR_NAME} bytes"
            )
        if len(value) > MAX_XATTR_VALUE:
            raise GateError(
                f"the extended attribute {shown(name)} has {len(value):,} bytes, but Linux allows "
                f"at most {MAX_XATTR_VALUE:,}"
            )
        total += length + 1
    if total > MAX_XATTR_LIST:
        raise GateError(
            f"the extended attributes' names have {total:,} bytes, but Linux allows at most "
            f"{MAX_XATTR_LIST:,}"
        )
