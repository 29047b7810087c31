"""Which kernel modules and firmware files stay in a system, with what they need, and why; their
indexes made anew.

May touch: the store (reading). Source of what modules need: their own indexes (modules.dep,
modules.softdep) and the `firmware` records of their `.modinfo`.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from compos.compose.depmod import module_name, read_module
from compos.compose.module_trie import binary_indexes
from compos.tree.contents import Contents
from compos.tree.node import DIRECTORY, EPOCH, FILE, SYMLINK, Node, Tree, ancestors, file

__all__ = [
    "AUTO",
    "FIRMWARE",
    "PLACES",
    "ModuleIndex",
    "kept_firmware",
    "kept_modules",
    "read_index",
]

AUTO = "auto"
PLACES = ("lib/modules/", "usr/lib/modules/")
FIRMWARE = ("lib/firmware/", "usr/lib/firmware/")

MAX_INDEX = 64 << 20
"""Bytes of an index file; Debian's largest has 2 MB."""

MAX_LINKS = 8
"""Links that are followed to a firmware file."""

MAX_ALIAS = 512
"""Characters of an alias with its module; a trie of them is as deep. Debian's longest has under
100."""


class ModuleIndex(NamedTuple):
    """What is known of a kernel's modules. `folder` is theirs; `needs` has paths below it, each
    with what it needs.

    `before` are soft dependencies, by name; `aliases`, `soft` and `builtin` are the lines of the
    text files.
    """

    folder: str
    needs: Mapping[str, Sequence[str]]
    before: Mapping[str, Sequence[str]]
    aliases: Sequence[str]
    soft: Sequence[str]
    builtin: Sequence[str]
    builtin_aliases: Sequence[str]

    def paths(self) -> dict[str, str]:
        """The modules' paths by their names."""
        return {module_name(path): path for path in self.needs}

    def closure(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """The paths of the modules `wanted` (names, each with a reason) and of all that they need,
        with their reasons."""
        by_name = self.paths()
        found: dict[str, str] = {}
        waiting = [
            (by_name[name], why) for name, why in reversed(list(wanted.items())) if name in by_name
        ]
        while waiting:
            path, why = waiting.pop()
            if path in found or path not in self.needs:
                continue
            found[path] = why
            name = module_name(path)
            waiting += [(need, f"needed by {name}") for need in self.needs[path]]
            waiting += [
                (by_name[one], f"needed by {name}")
                for one in self.before.get(name, ())
                if one in by_name
            ]
        return found

    def files(self, paths: Iterable[str]) -> dict[str, bytes]:
        """The index files about `paths` alone, by name: the text ones, and the binary ones that
        kmod reads."""
        kept = set(paths)
        names = {module_name(path) for path in kept}
        needs = [
            f"{path}:{''.join(f' {need}' for need in self.needs[path])}"
            for path in self.needs
            if path in kept
        ]
        aliases = [line for line in self.aliases if line.rpartition(" ")[2] in names]
        soft = [line for line in self.soft if line.split()[1].replace("-", "_") in names]
        texts = {
            "modules.dep": _text(needs),
            "modules.alias": _text(aliases),
            "modules.softdep": _text(soft),
            "modules.builtin": _text(self.builtin),
            "modules.builtin.alias": _text(self.builtin_aliases),
        }
        return {**texts, **binary_indexes(texts)}


def read_index(contents: Contents, nodes: Mapping[str, Node]) -> ModuleIndex | None:
    """The index of the modules in `nodes` (paths of a root); None when there is none."""
    found = [path for path in nodes if path.startswith(PLACES) and path.endswith("/modules.dep")]
    if not found:
        return None
    folder = found[0].rpartition("/")[0]

    def lines(name: str, keyword: str = "", fields: int = 1) -> list[str]:
        """The lines that are well formed: the index is a stranger's, and goes into ours."""
        node = nodes.get(f"{folder}/{name}")
        if node is None or node.kind != FILE or node.size > MAX_INDEX:
            return []
        text = b"".join(contents.chunks(node.content)).decode("utf-8", "replace")
        return [
            line
            for line in text.split("\n")
            if line.startswith(keyword)
            and line.isascii()
            and line.isprintable()
            and len(line.split()) >= fields
        ]

    needs = {
        path: rest.split()
        for path, colon, rest in (line.partition(":") for line in lines("modules.dep"))
        if path and colon
    }
    soft = lines("modules.softdep", "softdep ", 2)
    before: dict[str, list[str]] = {}
    for line in soft:
        _, name, *words = line.split()
        before.setdefault(name.replace("-", "_"), []).extend(
            word.replace("-", "_") for word in words if not word.endswith(":")
        )
    aliases = [line for line in lines("modules.alias", "alias ", 3) if len(line) <= MAX_ALIAS]
    builtin_aliases = [
        line for line in lines("modules.builtin.alias", "alias ", 3) if len(line) <= MAX_ALIAS
    ]
    builtin = [line for line in lines("modules.builtin") if len(line) <= MAX_ALIAS]
    return ModuleIndex(folder, needs, before, aliases, soft, builtin, builtin_aliases)


def kept_modules(
    contents: Contents, tree: Tree, patterns: Sequence[str], automatic: Mapping[str, str]
) -> tuple[Tree, dict[str, str]]:
    """`tree` with the modules that `patterns` name and what they need; and the paths kept, with the
    reason of each.

    A pattern is a name or has wildcards; `auto` stands for `automatic`, names with their reasons. A
    tree without an index of its modules stays as it is.
    """
    index = read_index(contents, tree)
    if index is None:
        return tree, {}
    wanted = _wanted(index, patterns, automatic)
    kept = index.closure(wanted)
    base = f"{index.folder}/"
    made: Tree = {}
    for path, node in tree.items():
        inside = path.startswith(base)
        if inside and (
            path.removeprefix(base) in index.needs and path.removeprefix(base) not in kept
        ):
            continue
        if inside and node.kind == DIRECTORY:
            continue
        made[path] = node
    for name, data in index.files(kept).items():
        made[f"{base}{name}"] = file(data, 0o644, EPOCH)
    for path in [path for path in made if path.startswith(base)]:
        for parent in ancestors(path):
            if parent in tree:
                made.setdefault(parent, tree[parent])
    return made, kept


def _wanted(
    index: ModuleIndex, patterns: Sequence[str], automatic: Mapping[str, str]
) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for pattern in patterns:
        if pattern == AUTO:
            for name, why in automatic.items():
                wanted.setdefault(name.replace("-", "_"), why)
            continue
        plain = pattern.replace("-", "_")
        for name in fnmatch.filter(index.paths(), plain):
            wanted[name] = f"kernel.modules: {pattern}"
    return wanted


def kept_firmware(
    contents: Contents,
    nodes: Mapping[str, Node],
    modules: Mapping[str, Node],
    patterns: Sequence[str],
) -> dict[str, str]:
    """The firmware files in `nodes` that stay, with the reason of each: what `patterns` match below
    `lib/firmware`, for `auto` what the `modules` (path → node) and those built into the kernel
    name, and what links among these point to."""
    wanted: dict[str, str] = {}
    for pattern in patterns:
        if pattern != AUTO:
            wanted[pattern] = f"kernel.firmware: {pattern}"
            continue
        for path, node in modules.items():
            data = b"".join(contents.chunks(node.content))
            for name in read_module(path, data).firmware:
                wanted.setdefault(name, f"named by {module_name(path)}")
        for name, module in _builtin_firmware(contents, nodes):
            wanted.setdefault(name, f"named by {module}")
    # Thousands of names, a handful of patterns.
    patterns = [pattern for pattern in wanted if set(pattern) & set("*?[")]
    kept: dict[str, str] = {}
    for path, node in nodes.items():
        place = next(
            (path.removeprefix(place) for place in FIRMWARE if path.startswith(place)), None
        )
        if place is None or node.kind == DIRECTORY:
            continue
        plain = place.removesuffix(".xz").removesuffix(".zst")
        for name in (plain, place):
            pattern = next((one for one in patterns if fnmatch.fnmatchcase(name, one)), name)
            if pattern in wanted:
                kept[path] = wanted[pattern]
                break
    for path in list(kept):
        for target in _targets(nodes, path):
            kept.setdefault(target, f"linked from {path.rpartition('/')[2]}")
    return kept


def _builtin_firmware(contents: Contents, nodes: Mapping[str, Node]) -> Iterable[tuple[str, str]]:
    """Each firmware file that a module in the kernel itself names, and this module."""
    for path, node in nodes.items():
        if not path.startswith(PLACES) or not path.endswith("/modules.builtin.modinfo"):
            continue
        if node.kind == FILE and node.size <= MAX_INDEX:
            text = b"".join(contents.chunks(node.content)).decode("utf-8", "replace")
            for module, name in re.findall(r"(?:^|\0)([^.\0]+)\.firmware=([^\0]+)", text):
                yield name, module


def _targets(nodes: Mapping[str, Node], path: str) -> Iterable[str]:
    """What the link at `path` points to, through further links."""
    for _ in range(MAX_LINKS):
        node = nodes.get(path)
        if node is None or node.kind != SYMLINK or node.link.startswith("/"):
            return
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), node.link))
        if path in nodes:
            yield path


def _text(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
