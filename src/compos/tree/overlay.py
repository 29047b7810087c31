"""Trees laid over each other, as a container engine lays layers: through symbolic links, inside the
root. Pure.

Work and memory are in proportion to what is laid over, whatever links, whiteouts and missing
folders it consists of.
"""

from __future__ import annotations

from collections.abc import Iterable

from compos.errors import ComposError, ImageError
from compos.tree.gate import GateError, require_path, shown
from compos.tree.layer import Layer
from compos.tree.node import DIRECTORY, FILE, HARD_LINK, SYMLINK, Node, Tree, directory

__all__ = ["IMPLIED", "SURELY_SHORT", "Overlay"]

MAX_LINKS = 40
"""Symbolic links followed in one path, as in Linux (path_resolution(7))."""

MAX_IMPLIED = 64 << 20
"""Characters in the paths of all directories that nobody names: a path of 4,095 bytes can imply
2,047 of them."""

MAX_STEPS, MAX_STEPS_EACH = 1 << 20, 64
"""Names looked up to follow links, in all and for each entry: an honest image follows few, and
finds most of them again."""

IMPLIED = directory(0o755, 0)
"""What stands for a directory that nobody names and that was made because something lies below it;
known by identity."""

SURELY_SHORT = 1000
"""Characters of a path that is short enough wherever it lies, if its names are."""

_SHORT_NAME = 63


class Overlay:
    """A tree that others are laid over, one after another.

    Paths are resolved as a chroot would: symbolic links among the parents are followed inside the
    root, missing parents are made. `place` names the image in errors.
    """

    def __init__(self, place: str) -> None:
        self.tree: Tree = {}
        self.place = place
        self.implied = IMPLIED
        """What directories are like that are made because something lies below them."""
        self._inodes = 0
        self.entries = 0
        self._steps = 0
        self._implied = 0
        self._directories: set[str] = {""}
        """Paths known to be real directories reached without a link: what lets the usual path skip
        resolution."""
        self.resolved: dict[str, str] = {}
        """Where paths that are not real directories lead; forgotten whenever a link or a directory
        goes."""
        self._children: dict[str, dict[str, None]] | None = None
        """The paths in each directory; only from when something is first removed on."""

    def named(self) -> Tree:
        """The tree without directories that nobody names: laid over another tree they would hide a
        link of that name."""
        return {path: node for path, node in self.tree.items() if node is not IMPLIED}

    def apply(self, layer: Layer) -> None:
        """Lay one layer over: first what it hides, then what it brings. Raises `ImageError`."""
        if layer.whiteouts or layer.opaque:
            self._hide(layer)
        for path, node in layer.entries:
            self.add(path, self._linked(path, node) if node.kind == HARD_LINK else node)

    def add(self, path: str, node: Node) -> str:
        """Put one node; returns the path where it really went. Raises `ImageError`."""
        self.entries += 1
        if path:
            path = self.real(path)
        self.put(path, node)
        return path

    def put(self, path: str, node: Node) -> None:
        """Put one node at a path whose parents are directories; what a directory held goes with
        it."""
        old = self.tree.get(path)
        if old is None:
            if self._children is not None and path:
                self._children.setdefault(path.rpartition("/")[0], {})[path] = None
        elif old.kind == DIRECTORY != node.kind:
            self.drop(self.below(path))
            self._directories.discard(path)
            self.resolved.clear()
        elif old.kind == SYMLINK and old.link != node.link:
            self.resolved.clear()
        self.tree[path] = node
        if node.kind == DIRECTORY:
            self._directories.add(path)

    def real(self, path: str) -> str:
        """`path` with the links among its parents followed, and its parents made. Raises
        `ImageError`."""
        parent, slash, base = path.rpartition("/")
        if parent in self._directories:
            return path
        parent = self.enter(parent)
        path = f"{parent}{slash}{base}" if parent else base
        self.require_short(path, base)
        return path

    def enter(self, path: str) -> str:
        """The real directory that `path` names, made where missing. Raises `ImageError`."""
        return self._walk(path, make=True) or ""

    def find(self, path: str) -> str | None:
        """The real directory that `path` names, if there is one."""
        return path if path in self._directories else self._walk(path, make=False)

    def below(self, path: str) -> list[str]:
        """The paths of everything in a directory, parents first."""
        if self._children is None:
            self._children = {}
            for one in self.tree:
                if one:
                    self._children.setdefault(one.rpartition("/")[0], {})[one] = None
        found: list[str] = []
        waiting = [path]
        while waiting:
            children = self._children.get(waiting.pop())
            if children:
                found += children
                waiting += children
        return found

    def drop(self, paths: Iterable[str]) -> None:
        """Remove nodes; of directories everything in them, too, is among `paths`."""
        for path in paths:
            node = self.tree.pop(path, None)
            if node is None:
                continue
            if node.kind in (DIRECTORY, SYMLINK):
                self._directories.discard(path)
                self.resolved.clear()
            if self._children is not None:
                self._children.pop(path, None)
                self._children.get(path.rpartition("/")[0], {}).pop(path, None)

    def make(self, path: str) -> None:
        """Make a directory that something lies below, and that is not there or something else."""
        self._implied += len(path)
        if self._implied > MAX_IMPLIED:
            raise self.limit("members are below too many folders that have no entry")
        self.put(path, self.implied)

    def inner_root(self, path: str) -> str:
        """The root that a link in the directory `path` is followed in: that of the tree."""
        return ""

    def follows(self, path: str) -> None:
        """Called for each link that is followed."""

    def charge(self, steps: int) -> None:
        """Count work that an entry makes beyond its own. Raises `ImageError`."""
        self._steps += steps
        if self._steps > MAX_STEPS + MAX_STEPS_EACH * self.entries:
            raise self.limit("its symbolic links take too long to follow")

    def limit(self, reason: str) -> ImageError:
        """The error for what is out of proportion."""
        return ImageError(
            "layer-limit",
            reason,
            place=self.place,
            hint="Do not use this image; it is damaged or hostile.",
        )

    def loop(self, path: str) -> ComposError:
        """The error for a path that leads through too many links."""
        return ImageError(
            "layer-link-loop",
            f"too many symbolic links in the path {shown(path)}",
            place=self.place,
        )

    def _walk(self, path: str, *, make: bool) -> str | None:
        if (known := self.resolved.get(path)) is not None:
            return known
        pending = path.split("/")[::-1]
        here = ""
        followed = 0
        while pending:
            part = pending.pop()
            self.charge(1)
            if part in ("", "."):
                continue
            if part == "..":
                if here != self.inner_root(here):
                    here = here.rpartition("/")[0]
                continue
            child = f"{here}/{part}" if here else part
            node = self.tree.get(child)
            if node is not None and node.kind == SYMLINK:
                followed += 1
                if followed > MAX_LINKS:
                    self._require_way(path, make=make)
                    return None
                self.follows(child)
                if node.link.startswith("/"):
                    here = self.inner_root(here)
                pending.extend(node.link.split("/")[::-1])
                continue
            if node is None or node.kind != DIRECTORY:
                if not make:
                    return None
                self.require_short(child, part)
                self.make(child)
            here = child
        self._directories.add(here)
        if here != path:
            self.resolved[path] = here
        return here

    def _require_way(self, path: str, *, make: bool) -> None:
        """Raise for a path that leads nowhere if something must be put there; else it is none."""
        if make:
            raise self.loop(path)

    def require_short(self, path: str, base: str) -> None:
        """Raise `ImageError` for a path, its last name `base`, that is too long where it lies in
        the end."""
        if len(base) <= _SHORT_NAME and len(path) <= SURELY_SHORT:
            return
        try:
            require_path(path)
        except GateError as error:
            raise self.limit(f"Linux does not support it at its final path: {error}") from error

    def _linked(self, path: str, node: Node) -> Node:
        """The node that the hard link `node` names; regular files are marked as shared."""
        parent, slash, base = node.link.rpartition("/")
        folder = self.find(parent)
        target = f"{folder}{slash}{base}" if folder else base
        found = None if folder is None else self.tree.get(target)
        if found is None or found.kind == DIRECTORY:
            raise ImageError(
                "layer-hard-link",
                f"{shown(path)} is a hard link to {shown(node.link)}, which is not a file of the "
                "image",
                place=self.place,
                hint="Build the image again; its layer is incomplete.",
            )
        if found.kind == FILE and not found.inode:
            # A number of its own: paths are used again, by other files.
            self._inodes += 1
            found = found._replace(inode=str(self._inodes))
            self.tree[target] = found
        return found

    def _hide(self, layer: Layer) -> None:
        self.entries += len(layer.opaque) + len(layer.whiteouts)
        for path, node in layer.entries:
            # A folder in place of a link: what the layer hides below is the folder's, and not where
            # the link led.
            if (
                node.kind == DIRECTORY
                and (old := self.tree.get(path)) is not None
                and old.kind == SYMLINK
            ):
                self.put(path, node)
        # All are found before any is gone: they are about what lay below.
        emptied = [folder for path in layer.opaque if (folder := self.find(path)) is not None]
        hidden = []
        for path in layer.whiteouts:
            parent, slash, base = path.rpartition("/")
            folder = self.find(parent)
            if folder is not None:
                hidden.append(f"{folder}{slash}{base}" if folder else base)
        for path in emptied:
            self.drop(self.below(path))
        for path in hidden:
            self.drop([*self.below(path), path])
