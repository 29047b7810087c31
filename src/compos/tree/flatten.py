"""Layers laid over each other: the one tree that an image means (OCI image spec, layer.md, "Applying Changesets").

May touch: the store, for the layers' indexes and the finished tree. Later layers win; whiteouts hide only what is below
their own layer.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from compos.errors import ComposError, ImageError
from compos.image.model import Descriptor, Image
from compos.image.store import Store
from compos.progress import task
from compos.tree import record
from compos.tree.layer import VERSION, Layer, is_read, read_layer
from compos.tree.node import DIRECTORY, HARD_LINK, SYMLINK, Node, Tree, directory

__all__ = ["Overlay", "flatten", "image_tree", "unpack"]

KIND = f"tree {VERSION}"
"""What the records of trees are called."""

MAX_LINKS = 40
"""Symbolic links followed in one path, as in Linux (path_resolution(7))."""


def image_tree(store: Store, image: Image) -> Tree:
    """The flattened tree of `image`, kept in the store under its manifest's digest. Raises `ImageError`.

    Directories that no layer names are left out: laid over another tree they would hide a symbolic link of that name.
    """
    key = f"{image.digest.replace(':', '-')}-v{VERSION}"
    if (tree := record.load_tree(store.derived("tree", key), KIND, store)) is not None:
        return tree
    overlay = flatten((read_layer(store, layer, image.name) for layer in image.layers), image.name)
    tree = overlay.named()
    with store.derive("tree", key) as path:
        record.save_tree(path, KIND, tree)
    return tree


def unpack(store: Store, images: Iterable[Image]) -> None:
    """Read the layers that no build has read, two at a time, the largest first: decompressors leave Python's lock.

    What is wrong with one is told by whoever asks for its image.
    """
    lacking = {layer: image.name for image in images for layer in image.layers if not is_read(store, layer)}
    if len(lacking) < 2:
        return
    from concurrent.futures import ThreadPoolExecutor

    def read(layer: Descriptor) -> None:
        with suppress(ComposError):
            read_layer(store, layer, lacking[layer])

    with task("unpack"), ThreadPoolExecutor(2) as pool:
        deque(pool.map(read, sorted(lacking, key=lambda layer: -layer.size)), maxlen=0)


def flatten(layers: Iterable[Layer], image: str) -> Overlay:
    """`layers` laid over each other, lowest first; `image` is named in errors."""
    overlay = Overlay(image)
    for layer in layers:
        overlay.apply(layer)
    return overlay


class Overlay:
    """A tree that others are laid over, one after another.

    Paths are resolved as a chroot would: symbolic links among the parents are followed inside the root, missing parents are
    made (0755). `place` names the image in errors.
    """

    def __init__(self, place: str) -> None:
        self.tree: Tree = {}
        self.made: dict[str, Node] = {}
        """Directories that no layer names and that were made because something lies below them."""
        self._place = place
        self._layers = 0
        self._directories: set[str] = {""}
        """Paths known to be real directories reached without a link: what lets the usual path skip resolution."""

    def apply(self, layer: Layer) -> None:
        """Lay one layer over: first what it hides, then what it brings. Raises `ImageError`."""
        self._layers += 1
        self._hide(layer)
        for path, node in layer.entries:
            self.add(path, self._linked(path, node) if node.kind == HARD_LINK else node)

    def named(self) -> Tree:
        """The tree without directories that no layer names."""
        return {path: node for path, node in self.tree.items() if self.made.get(path) is not node}

    def add(self, path: str, node: Node) -> str:
        """Put one node; returns the path where it really went."""
        if path:
            path = self._real(path)
            old = self.tree.get(path)
            if old is not None and old.kind == DIRECTORY and node.kind != DIRECTORY:
                self._remove_below(path)
        self.tree[path] = node
        if node.kind == DIRECTORY:
            self._directories.add(path)
        return path

    def _real(self, path: str) -> str:
        parent, slash, base = path.rpartition("/")
        if parent in self._directories:
            return path
        parent = self._enter(parent)
        return f"{parent}{slash}{base}" if parent else base

    def _enter(self, path: str) -> str:
        """The real directory that `path` names, made where missing."""
        pending = path.split("/")[::-1]
        real: list[str] = []
        followed = 0
        while pending:
            part = pending.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if real:
                    real.pop()  # ".." above the root stays at the root, as in a chroot
                continue
            here = "/".join((*real, part))
            node = self.tree.get(here)
            if node is not None and node.kind == SYMLINK:
                followed += 1
                if followed > MAX_LINKS:
                    raise ImageError(
                        "layer-link-loop", f"too many symbolic links in the path {path!r}", place=self._place
                    )
                if node.link.startswith("/"):
                    real.clear()
                pending.extend(node.link.split("/")[::-1])
                continue
            if node is None or node.kind != DIRECTORY:
                self.tree[here] = self.made[here] = directory(0o755, 0)
            real.append(part)
        resolved = "/".join(real)
        self._directories.add(resolved)
        return resolved

    def _linked(self, path: str, node: Node) -> Node:
        """The node that the hard link `node` names, marked as shared."""
        target = self._real(node.link)
        found = self.tree.get(target)
        if found is None or found.kind == DIRECTORY:
            raise ImageError(
                "layer-hard-link",
                f"{path!r} is a hard link to {node.link!r}, which is not a file of the image",
                place=self._place,
                hint="Build the image again; its layer is incomplete.",
            )
        if not found.inode:
            found = found._replace(inode=f"{self._layers}:{target}")
            self.tree[target] = found
        return found

    def _hide(self, layer: Layer) -> None:
        if not (layer.whiteouts or layer.opaque):
            return
        paths = sorted(self.tree)
        for path in layer.opaque:
            self._drop(_below(paths, path))
        for path in layer.whiteouts:
            self._drop([path, *_below(paths, path)])

    def _remove_below(self, path: str) -> None:
        self._directories.discard(path)
        self._drop([name for name in self.tree if name.startswith(f"{path}/")])

    def _drop(self, paths: Iterable[str]) -> None:
        for path in paths:
            self.tree.pop(path, None)
            self._directories.discard(path)


def _below(paths: list[str], path: str) -> list[str]:
    if not path:
        return [name for name in paths if name]
    # "0" follows "/" in the character set: the range holds exactly the paths under `path`/.
    return paths[bisect_left(paths, f"{path}/") : bisect_left(paths, f"{path}0")]
