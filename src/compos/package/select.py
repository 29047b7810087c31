"""Which of the packages' files a brick has: globs, the libraries that its programs need, moves.
Pure but for reading ELF files out of the store.

Paths are in merged-/usr spelling: what a package ships below `/bin`, `/sbin`, `/lib*` is below
`/usr` here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from compos.compose.elf import Elf, ElfError, read_elf
from compos.errors import PackageError
from compos.tree.node import DIRECTORY, FILE, SYMLINK, Node, Tree, ancestors, directory, symlink

__all__ = ["merge_usr", "moved", "selected"]

MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

UNWANTED = (
    "usr/share/doc/**", "usr/share/man/**", "usr/share/info/**", "usr/share/locale/**",
    "usr/share/lintian/**",
    "usr/share/bug/**", "usr/share/doc-base/**", "usr/share/bash-completion/**",
    "usr/share/zsh/**", "usr/share/fish/**",
    "var/lib/dpkg/**", "var/cache/**", "usr/share/apport/**", "etc/init.d/**", "etc/default/**",
    "etc/logrotate.d/**",
    "usr/lib/systemd/**", "usr/lib/tmpfiles.d/**", "usr/lib/sysusers.d/**",
    "usr/share/initramfs-tools/**",
)  # fmt: skip
"""Left out of a brick without `keep`: what nothing in a container reads."""


def merge_usr(path: str) -> str:
    """`bin/x` → `usr/bin/x`: one spelling for what Debian's aliasing links make one place."""
    first, _, rest = path.partition("/")
    return f"usr/{path}" if first in MERGED and (rest or first != path) else path


@lru_cache(256)
def _pattern(glob: str) -> re.Pattern[str]:
    """`**` crosses directories, `*` and `?` do not."""
    parts = re.split(r"(\*\*/?|\*|\?)", glob.strip("/"))
    table = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(table.get(part, re.escape(part)) for part in parts))


def _matching(tree: Tree, globs: Sequence[str], key: str) -> set[str]:
    found: set[str] = set()
    for glob in globs:
        pattern = _pattern(glob)
        paths = {path for path in tree if pattern.fullmatch(path)}
        if not paths:
            raise PackageError(
                "brick-no-match",
                f"no file of the packages matches {glob!r}",
                place=key,
                hint="Check the packages' file lists; paths are in merged-/usr spelling "
                "(usr/bin/…).",
            )
        found |= paths
    return found


def selected(
    tree: Tree,
    keep: Sequence[str] | None,
    drop: Sequence[str],
    read: Callable[[Node], bytes],
    place: str,
) -> Tree:
    """The wanted part of `tree`, parents included; `read` gives the bytes of a file that is ELF,
    and nothing, or a part, of others. Raises `PackageError`."""
    if keep is None:
        unwanted = [_pattern(glob) for glob in UNWANTED]
        paths = {path for path in tree if not any(pattern.fullmatch(path) for pattern in unwanted)}
    else:
        paths = _matching(tree, keep, f"{place}: debian.keep")
        if any(tree[path].kind == DIRECTORY for path in paths):
            paths |= {path for path in tree if not paths.isdisjoint(ancestors(path))}
    if drop:
        paths -= _matching(tree, drop, f"{place}: debian.drop")
    chosen = _with_needed(tree, paths, read, place)
    for path in list(chosen):
        for parent in ancestors(path):
            if parent not in chosen:
                chosen[parent] = tree.get(parent) or directory(0o755, 0)
    return chosen


def _with_needed(tree: Tree, paths: set[str], read: Callable[[Node], bytes], place: str) -> Tree:
    """`paths` and, again and again, what they point at and link against."""
    libraries = _libraries(tree)
    chosen: Tree = {}
    pending = sorted(paths)
    while pending:
        path = pending.pop()
        if path in chosen:
            continue
        node = tree[path]
        chosen[path] = node
        if node.kind == SYMLINK:
            target = _target(path, node.link)
            if target in tree:
                pending.append(target)
        elif node.kind == FILE and node.size > 64:
            elf = _elf(node, read)
            if elf is None:
                continue
            for name in elf.needed:
                if name not in libraries:
                    raise PackageError(
                        "brick-library",
                        f"{path} needs the library {name}, which no package of the brick contains",
                        place=place,
                        hint="Add the library's package to debian.packages.",
                    )
                pending.append(libraries[name])
            if elf.interpreter:
                _add_interpreter(tree, chosen, elf.interpreter.strip("/"), pending, place)
    return chosen


def _add_interpreter(tree: Tree, chosen: Tree, path: str, pending: list[str], place: str) -> None:
    """The dynamic loader at the very path that programs name; without Debian's /lib64 link, as a
    link to the file."""
    merged = merge_usr(path)
    if merged not in tree:
        raise PackageError(
            "brick-loader",
            f"no package of the brick contains the dynamic loader {path}",
            place=place,
        )
    pending.append(merged)
    if merged != path:
        chosen[path] = symlink(f"/{merged}", tree[merged].mtime)


def _elf(node: Node, read: Callable[[Node], bytes]) -> Elf | None:
    data = read(node)
    if not data.startswith(b"\x7fELF"):
        return None
    try:
        return read_elf(data)
    except ElfError:
        return (
            None  # firmware and the like: ELF of other machines has nothing that we could resolve
        )


def _libraries(tree: Tree) -> dict[str, str]:
    """File name → path of everything in a library folder; the shortest path wins (the standard
    folder)."""
    found: dict[str, str] = {}
    for path in sorted(tree, key=lambda name: (name.count("/"), name), reverse=True):
        if path.startswith("usr/lib") and ".so" in path:
            found[path.rpartition("/")[2]] = path
    return found


def _target(path: str, link: str) -> str:
    parts = [] if link.startswith("/") else path.split("/")[:-1]
    for part in link.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return merge_usr("/".join(parts))


def moved(tree: Tree, moves: Mapping[str, str], place: str) -> Tree:
    """`tree` with files or whole folders at new paths. Raises `PackageError` when there is nothing
    to move."""
    result = dict(tree)
    for old, new in moves.items():
        old, new = old.strip("/"), new.strip("/")
        paths = [path for path in result if path == old or path.startswith(f"{old}/")]
        if not paths:
            raise PackageError(
                "brick-no-match",
                f"{old!r} cannot be moved: it does not exist",
                place=f"{place}: debian.move",
            )
        for path in paths:
            result[new + path[len(old) :]] = result.pop(path)
        for parent in ancestors(new):
            result.setdefault(parent, directory(0o755, 0))
    return result
