"""What every writer asks of a node before it prints one, and the error that says what a format
cannot hold. Pure.

`tree.gate` has judged what came from outside. The writers ask once more, because a number that is
wider than its field, a name that ends early or contents of another length would move everything
behind them: others' bytes would be read as headers.
"""

from __future__ import annotations

from collections.abc import Iterable

from compos.errors import OutputError
from compos.tree.contents import piece_size
from compos.tree.gate import (
    MAX_ID,
    MAX_LINK,
    MAX_MAJOR,
    MAX_MINOR,
    MAX_MODE,
    MAX_NAME,
    MAX_SIZE,
    MAX_XATTR_NAME,
    MAX_XATTR_VALUE,
    shown,
)
from compos.tree.node import FILE, SYMLINK, Hole, Node, Slice

__all__ = [
    "MAX_HOLES",
    "cannot_hold",
    "encoded",
    "node_holes",
    "require_few_holes",
    "require_holes",
    "require_node",
]

MAX_HOLES = 1 << 40
"""Bytes of holes in all files of a tree, for formats that write them out as zeros or list their
blocks: what a writer does for a hole takes time and memory, and a layer of 200 bytes can have one
of 2^63. Our own limit; real sparse files are far below."""

_SURELY_SHORT = MAX_NAME // 4
"""Characters that have at most `MAX_NAME` bytes in any case: one has four at most."""

_IMAGE_HINT = (
    "Remove the file from its image, or choose a format that can hold it; "
    "docs/formats.md lists the limits."
)


def encoded(text: str) -> bytes:
    """A name's or target's bytes."""
    return text.encode("utf-8", "surrogateescape")


def cannot_hold(
    id: str, form: str, path: str, problem: str, *, hint: str = _IMAGE_HINT
) -> OutputError:
    """The error about the entry `path`, which the format `form` cannot hold."""
    return OutputError(id, f"{form} cannot hold {shown(path or '/')}: {problem}", hint=hint)


def require_node(path: str, node: Node) -> None:
    """Raise `OutputError` (`entry-limit`) unless Linux could have `node` there; how long `path` is
    is the format's matter."""
    _, mode, uid, gid, _, size, content, link, (major, minor), xattrs, _ = node
    if not (
        0 <= mode <= MAX_MODE
        and 0 <= uid <= MAX_ID
        and 0 <= gid <= MAX_ID
        and 0 <= size <= MAX_SIZE
        and 0 <= major <= MAX_MAJOR
        and 0 <= minor <= MAX_MINOR
    ):
        problem = _number_problem(node)
    else:
        problem = _name_problem(path)
    if not problem and (content or size):
        problem = _content_problem(node)
    elif not problem and node.kind == SYMLINK:
        problem = _link_problem(link)
    if not problem and xattrs:
        problem = _xattr_problem(node)
    if problem:
        raise cannot_hold("entry-limit", "Linux", path, problem)


def _number_problem(node: Node) -> str:
    major, minor = node.device
    fields = (
        ("mode", node.mode, MAX_MODE),
        ("user id", node.uid, MAX_ID),
        ("group id", node.gid, MAX_ID),
        ("device's major number", major, MAX_MAJOR),
        ("device's minor number", minor, MAX_MINOR),
        ("size", node.size, MAX_SIZE),
    )
    for what, number, limit in fields:
        if not 0 <= number <= limit:
            return f"its {what} {number:,} is not between 0 and {limit:,}"
    return ""


def _name_problem(path: str) -> str:
    name = path[path.rfind("/") + 1 :]
    if path and (name in ("", ".", "..") or "\0" in name):
        return "its name is not a valid file name"
    if len(name) > _SURELY_SHORT and len(encoded(name)) > MAX_NAME:
        return f"its name has more than {MAX_NAME} bytes"
    return ""


def _content_problem(node: Node) -> str:
    pieces = node.content
    # Nearly every file is one slice.
    if len(pieces) == 1 and isinstance(pieces[0], Slice) and node.kind == FILE:
        length = pieces[0].size
    else:
        length = sum(map(piece_size, pieces)) if node.kind == FILE else 0
    return (
        ""
        if length == node.size
        else f"its contents have {length:,} bytes, but its size is {node.size:,}"
    )


def _link_problem(link: str) -> str:
    if "\0" in link or not 1 <= len(encoded(link)) <= MAX_LINK:
        return f"its target contains a NUL or does not have 1 to {MAX_LINK:,} bytes"
    return ""


def _xattr_problem(node: Node) -> str:
    for name, value in node.xattrs:
        if "\0" in name or len(encoded(name)) > MAX_XATTR_NAME or len(value) > MAX_XATTR_VALUE:
            return (
                f"its extended attribute {shown(name)} contains a NUL, or its name or value is "
                "longer than Linux allows"
            )
    return ""


def require_holes(form: str, nodes: Iterable[Node], limit: int = MAX_HOLES) -> None:
    """Raise `OutputError` (`too-many-holes`) when the holes of `nodes` have more than `limit`
    bytes."""
    require_few_holes(form, sum(map(node_holes, nodes)), limit)


def require_few_holes(form: str, total: int, limit: int = MAX_HOLES) -> None:
    """The same for holes of `total` bytes."""
    if total > limit:
        raise OutputError(
            "too-many-holes",
            f"the sparse files have {total:,} bytes of holes, which {form} would write as zeros; "
            f"the maximum is {limit:,}",
            hint="Use EROFS or ext4 for the root, which do not store holes: --root erofs.",
        )


def node_holes(node: Node) -> int:
    """Bytes of holes in a file."""
    content = node.content if node.kind == FILE else ()
    return sum([piece.size for piece in content if isinstance(piece, Hole)])
