"""A treemap's data: a system's files by part and folder, with their sizes. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from compos.report.facts import FileFact, part_of
from compos.tree.node import FILE

__all__ = ["map_of"]

MAX_DEPTH = 24
"""Levels of folders; what lies deeper has a path for a name."""

MAX_NODES = 6000

NEARLY_ALL = 0.85
"""Of a folder's bytes: one tile would fill the map."""


class _Folder:
    """A folder or file while the map is made: bytes, files below it, and its children."""

    __slots__ = ("children", "count", "size")

    def __init__(self) -> None:
        self.size = 0
        self.count = 0
        self.children: dict[str, _Folder] = {}


def map_of(
    files: Mapping[str, FileFact],
    sources: Mapping[str, str],
    shown: Callable[[str], str],
    room: int,
) -> list[Any]:
    """`[name, size, children]` of the whole; a file has no children, and `[null, size, count]`
    stands for files and folders that are too small to be in `room` bytes of JSON. `sources` are
    what parts come from, by their names; `shown` makes a name readable."""
    root = _tree(files)
    root.children = {
        " ".join(filter(None, (part, sources.get(part)))): one
        for part, one in root.children.items()
    }
    count = MAX_NODES
    while True:
        least = _least(root, count)
        made = _plain("", root, least, shown)
        if len(json.dumps(made, separators=(",", ":"))) <= room or count < 2:
            return made
        count = count * 2 // 3


def _tree(files: Mapping[str, FileFact]) -> _Folder:
    root = _Folder()
    for path, fact in files.items():
        if fact.kind != FILE or not fact.size:
            continue
        part = fact.part or part_of(path)
        inside = path.split("/", 3)[3] if path.startswith("containers/") and path.count("/") > 2 \
            else path  # fmt: skip
        names = [part, *inside.split("/", MAX_DEPTH)]
        folder = root
        for name in names:
            folder.size += fact.size
            folder.count += 1
            folder = folder.children.setdefault(name, _Folder())
        folder.size += fact.size
        folder.count += 1
    return root


def _least(root: _Folder, count: int) -> int:
    """The size of the smallest of the `count` largest."""
    sizes: list[int] = []
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        sizes.append(folder.size)
        waiting += folder.children.values()
    sizes.sort(reverse=True)
    return sizes[min(count, len(sizes)) - 1]


def _inside(folder: _Folder) -> dict[str, _Folder]:
    """What is in a folder, by path: a folder that is nearly all of it is opened at once."""
    found = dict(folder.children)
    for _ in range(MAX_DEPTH):
        name = max(found, key=lambda one: found[one].size)
        if not found[name].children or found[name].size < folder.size * NEARLY_ALL:
            break
        opened = found.pop(name)
        found.update((f"{name}/{inner}", child) for inner, child in opened.children.items())
    return found


def _plain(
    name: str, folder: _Folder, least: int, shown: Callable[[str], str], depth: int = 0
) -> list[Any]:
    # A folder with nothing but a folder is one with it; parts stay as they are.
    while depth > 1 and len(folder.children) == 1:
        ((inner, only),) = folder.children.items()
        name, folder = f"{name}/{inner}", only
    if not folder.children:
        return [shown(name), folder.size]
    inside = _inside(folder) if depth else folder.children
    large = {key: child for key, child in inside.items() if child.size >= least}
    children = [
        _plain(key, child, least, shown, depth + 1)
        for key, child in sorted(large.items(), key=lambda one: (-one[1].size, one[0]))
    ]
    rest = [child for key, child in inside.items() if key not in large]
    if rest:
        children.append([None, sum(one.size for one in rest), sum(one.count for one in rest)])
    return [shown(name), folder.size, children]
