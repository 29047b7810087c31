"""Components laid over each other: the ordered union that is the system's root filesystem.

Pure. A component is one entry of the YAML with its own tree; later ones win, as in LinuxKit. Where
one has a folder and another a link, the link stays, and what the folder holds goes where the link
leads: nothing is lost (docs/layers.md).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, repeat
from typing import NamedTuple

from compos.compose.opening import opened
from compos.errors import ComposError, ConfigError, ImageError
from compos.tree.entries import Entries, Part
from compos.tree.gate import shown
from compos.tree.node import DIRECTORY, SYMLINK, Node, Tree
from compos.tree.overlay import IMPLIED, Overlay
from compos.tree.packed_tree import PackedTree, renamed

__all__ = ["Component", "Root", "Subtree", "union"]


class Subtree(NamedTuple):
    """The files of an image below `folder`, packed. Every directory that something lies below is
    there; those that nobody names are `IMPLIED`."""

    folder: str
    tree: PackedTree

    def parts(self) -> Iterator[Part]:
        """All paths with their nodes."""
        # Numbers of inodes are an image's own.
        return self.tree.parts(f"{self.folder}/", f"{self.folder}:")

    def named(self) -> Tree:
        """The nodes that somebody names."""
        return {path: node for path, node in Entries(self.parts()) if node is not IMPLIED}


class Component(NamedTuple):
    """One entry's tree, its paths relative to the root.

    `location` is its place in the YAML (`init[0]`, `services[2]`), `source` where it comes from (an
    image's canonical reference, `linuxkit.files`, …): both go into a tar as PAX records. `parent`
    is what a folder is like that it needs and that nobody has. `tree` has the folder of `subtree`,
    if there is one, and what else is not below it.
    """

    location: str
    source: str
    tree: Tree
    parent: Node = IMPLIED
    subtree: Subtree | None = None

    def __str__(self) -> str:
        return f"{self.location} ({self.source})" if self.source else self.location

    def unpacked(self) -> Component:
        """The same with all of its nodes in `tree`."""
        if self.subtree is None:
            return self
        return self._replace(tree={**self.tree, **self.subtree.named()}, subtree=None)

    def with_opened(self, nodes: Mapping[str, Node | None]) -> Component:
        """The same with these nodes of the subtree in `tree`; None: there is nothing, but
        something else will be."""
        if self.subtree is None:
            return self
        folder, tree = self.subtree
        own = {
            f"{folder}/{name}": renamed(node, f"{folder}:") for name, node in nodes.items() if node
        }
        return self._replace(
            tree={**self.tree, **own}, subtree=Subtree(folder, tree.without(nodes))
        )


class Root(NamedTuple):
    """The finished root filesystem.

    `entries`: everything, sorted by path; `owners`: the component that each comes from.
    `segments`: what each component has of these, sorted by path; laid down one after another they
    give `entries`, and no path changes its kind between two of them. A directory stays in every
    segment that has it (the last one's mode wins), so that a segment depends on other components
    only where they replace its files.
    """

    entries: Entries
    owners: Sequence[Component]
    segments: tuple[tuple[Component, Entries], ...]

    @property
    def nodes(self) -> Iterator[tuple[str, Node, Component]]:
        """The entries with the components that they come from."""
        return (
            (path, node, owner)
            for (path, node), owner in zip(self.entries, self.owners, strict=True)
        )

    def below(self, folder: str) -> Iterator[tuple[str, Node, Component]]:
        """What is below `folder`, which ends with a slash."""
        start, stop = self.entries.span(folder)
        for (path, node), owner in zip(
            self.entries[start:stop], self.owners[start:stop], strict=True
        ):
            yield path, node, owner

    def from_size(self, size: int) -> Iterator[tuple[str, Node, Component]]:
        """What has `size` bytes or more."""
        for number in self.entries.from_size(size):
            yield *self.entries[number], self.owners[number]

    def outside(self, folder: str) -> Root:
        """What is not below `folder`, which ends with a slash."""
        start, stop = self.entries.span(folder)
        if start == stop:
            return self
        entries = self.entries
        owners = [*self.owners[:start], *self.owners[stop:]]
        segments = tuple((component, part.outside(folder)) for component, part in self.segments)
        return Root(entries.outside(folder), owners, segments)


def union(components: Sequence[Component]) -> Root:
    """Lay `components` over each other in order. Raises `ConfigError` (`root-conflict`) and
    `ImageError`.

    A subtree stays as it is, but for the nodes that something else is laid over or beside, while
    nothing moves or replaces its folder; otherwise its nodes are laid one by one, as all others.
    """
    if any(component.subtree for component in components):
        with suppress(ComposError):  # which may be about a subtree's nodes
            found, safe = opened(components)
            merge = _merged(found)
            if merge.left_subtrees_alone(safe):
                return merge.root()
        components = [component.unpacked() for component in components]
    return _merged(components).root()


def _merged(components: Sequence[Component]) -> _Merge:
    merge = _Merge(components)
    for number in range(len(components)):
        merge.lay(number)
    return merge


_INNER_ROOTS = ("lower", "rootfs")
"""The folders of a container or volume that are the root of what runs in it."""


class _Merge(Overlay):
    """The root while it is made. `owners` are the numbers of the components that nodes come
    from."""

    def __init__(self, components: Sequence[Component]) -> None:
        super().__init__("the composed root")
        self.components = components
        self.owners: dict[str, int] = {}
        self._folders: list[Tree] = [{} for _ in components]
        """The directories that each component has, also where a later one's counts."""
        self._number = 0
        """Whose node is placed."""
        self._followed = ""
        """The link that was followed last."""
        self._used: dict[str, int] = {}
        """Links that something was laid through, and whose: an image's own paths lead through
        none."""
        self._replaced: list[tuple[str, str]] = []
        """Of these, what the component that is laid replaces, and where they led."""
        self._waiting: deque[tuple[str, Node, int]] = deque()
        """What must be placed again, for a link has taken its folder's place."""

    def lay(self, number: int) -> None:
        """Lay one component over those before it.

        Directories come first and links next: a link may lead to a folder of its own component.
        """
        # Known ways are looked at again, for this component uses them too.
        self.resolved.clear()
        links: list[str] = []
        others: list[str] = []
        tree = self.components[number].tree
        for path, node in tree.items():
            if node.kind == DIRECTORY:
                self._place(path, node, number)
            else:
                (links if node.kind == SYMLINK else others).append(path)
        for path in chain(links, others):
            self._place(path, tree[path], number)
        for link, folder in self._replaced:
            user = self._used[link]
            if self.find(link) != self.find(folder):
                raise self._conflict(
                    f"{shown(link)} leads to files of {self.components[user]}, but somewhere else "
                    "in",
                    number,
                )
        self._replaced.clear()

    def left_subtrees_alone(self, safe: Collection[str]) -> bool:
        """Whether each subtree's folder is where it was to be, and has nothing else in it than
        what is `safe`."""
        paths = sorted(self.tree)

        def is_alone(folder: str) -> bool:
            node = self.tree.get(folder)
            # What follows all that is below begins with the character after the slash.
            below = paths[bisect_left(paths, f"{folder}/") : bisect_left(paths, f"{folder}0")]
            return (
                node is not None and node.kind == DIRECTORY and all(map(safe.__contains__, below))
            )

        folders = [one.subtree.folder for one in self.components if one.subtree]
        return len({*folders}) == len(folders) and all(map(is_alone, folders))

    def root(self) -> Root:
        """The finished root."""
        packed = [[*one.subtree.parts()] if one.subtree else [] for one in self.components]
        entries = Entries.of(self.tree, chain.from_iterable(packed))
        whose = {
            id(part): one
            for one, parts in zip(self.components, packed, strict=True)
            for part in parts
        }
        owners: list[Component] = []
        own: list[list[str]] = [[] for _ in self._folders]
        for part in entries.parts:
            if id(part) in whose:
                owners += repeat(whose[id(part)], len(part))
                continue
            for path in part.paths():
                number = self.owners[path]
                owners.append(self.components[number])
                own[number].append(path)
        segments = [
            self._segment(number, mine, self._folders[number], packed[number])
            for number, mine in enumerate(own)
        ]
        return Root(entries, owners, tuple(zip(self.components, segments, strict=True)))

    def _segment(
        self, number: int, own: list[str], folders: Tree, packed: Sequence[Part]
    ) -> Entries:
        """What a component has of the finished root, with the directories above that only later
        ones have; `own` are its paths, sorted, but for those that are `packed`."""
        others: Tree = {
            path: node
            for path, node in folders.items()
            if path in self.tree
            and self.tree[path].kind == DIRECTORY
            and self.owners[path] != number
        }
        for path in (*own, *others):
            parent = path.rpartition("/")[0]
            while parent and parent not in others and self.owners[parent] > number:
                others[parent] = self.tree[parent]
                parent = parent.rpartition("/")[0]
        return Entries.of({path: self.tree[path] for path in own} | others, packed)

    def _place(self, path: str, node: Node, number: int) -> None:
        self._place_one(path, node, number)
        while self._waiting:
            self._place_one(*self._waiting.popleft(), joined_by=number)

    def _place_one(self, path: str, node: Node, number: int, joined_by: int | None = None) -> None:
        """Put a node of the component `number`; a folder that must move leaves what it held
        waiting.

        `joined_by` is whose link has moved it.
        """
        self.entries += 1
        self._number, self.implied = number, self.components[number].parent
        if path:
            path = self.real(path)
            # A container's files lie deeper than in its image.
            self.require_short(path, path.rpartition("/")[2])
        old = self.tree.get(path)
        if old is not None and old.kind == SYMLINK and node.kind == DIRECTORY:
            path = self._behind(path, number)
            if not path:
                # What a folder says of itself is not about the root.
                return
            old = self.tree[path]
        if old is None or (old is IMPLIED and node.kind == DIRECTORY):
            self._put_own(path, node)
        elif old.kind == DIRECTORY != node.kind:
            self._replace_folder(path, node)
        elif not self._agree(path, node, moved=joined_by is not None):
            raise self._joined(
                path, self.owners.get(self._followed, number) if joined_by is None else joined_by
            )
        elif number >= self.owners[path]:
            if old.kind == SYMLINK and old.link != node.link and path in self._used:
                self._replaced.append((path, self.enter(path)))
            self._put_own(path, node)
        elif node.kind == DIRECTORY:
            self._folders[number][path] = node

    def _agree(self, path: str, node: Node, *, moved: bool) -> bool:
        """Whether what is at a path may be replaced: by a newer component's, or by its own only if
        that is the same.

        A component has each path once: its own is there when a link has joined two folders.
        """
        old, own = self.tree[path], self.owners[path] == self._number
        if DIRECTORY in (old.kind, node.kind):
            return old.kind == node.kind or not (own or moved)
        return old == node or not own

    def _joined(self, path: str, number: int) -> ConfigError:
        whose = self.components[self.owners[path]]
        return self._conflict(
            f"{shown(path)} is in {whose}, differs in {self.components[self._number]}, and their "
            "folders are joined by a link in",
            number,
        )

    def _put_own(self, path: str, node: Node) -> None:
        self.put(path, node)
        self.owners[path] = self._number
        if node.kind == DIRECTORY:
            self._folders[self._number][path] = node

    def _replace_folder(self, path: str, node: Node) -> None:
        """Something that is no directory in place of one: a link takes its place, what it held goes
        where that leads."""
        held, number = self.below(path), self._number
        folder, owner = self.tree[path], self.owners[path]
        if node.kind != SYMLINK:
            if held:
                whose = self.components[self.owners[held[0]]]
                raise self._conflict(
                    f"{shown(path)} is a folder with files of {whose}, but a file in", number
                )
            if owner == number and folder is not IMPLIED:
                raise self._joined(path, self.owners.get(self._followed, number))
            if number < owner:
                return
        self.charge(len(held))
        moved = [(below, self.tree[below], self.owners[below]) for below in held]
        self.drop(held)
        self._put_own(path, node)
        if not moved:
            return
        target = self._behind(path, moved[0][2])
        if target:
            self._waiting.append((target, folder, owner))
        self._waiting.extend(
            (f"{target}{below[len(path) :]}".lstrip("/"), one, whose) for below, one, whose in moved
        )

    def _behind(self, link: str, number: int) -> str:
        """The directory that `link` leads to, for something of the component `number`."""
        placed, self._number = self._number, number
        folder = self.enter(link)
        self._number = placed
        return folder

    def make(self, path: str) -> None:
        """As `Overlay.make`; but what another component has there is not lost."""
        if path in self.tree:
            whose = self.components[self.owners[path]]
            raise self._conflict(
                f"{shown(path)} is a file in {whose}, but a folder in", self._number
            )
        super().make(path)
        self.owners[path] = self._number

    def loop(self, path: str) -> ConfigError:
        """As `Overlay.loop`, with both places: a link that leads to itself, and what is laid
        through it."""
        whose = self.components[self.owners[self._followed]]
        return self._conflict(
            f"{shown(self._followed)} is a dangling link in {whose}, but a folder in",
            self._number,
        )

    def follows(self, path: str) -> None:
        """Remember whose files need a link."""
        self._followed = path
        self._used.setdefault(path, self._number)

    def inner_root(self, path: str) -> str:
        """What runs in a container sees its own root: an absolute link in there leads to its root,
        not to the system's."""
        parts = path.split("/", 4)
        if len(parts) >= 4 and parts[0] == "containers" and parts[3] in _INNER_ROOTS:
            return "/".join(parts[:4])
        return ""

    def limit(self, reason: str) -> ImageError:
        """The error for what is out of proportion, or longer than Linux allows."""
        return ImageError(
            "layer-limit",
            f"the root cannot be composed: {reason}",
            place=str(self.components[self._number]),
            hint="Remove this image or entry.",
        )

    def _conflict(self, message: str, number: int) -> ConfigError:
        component = self.components[number]
        return ConfigError(
            "root-conflict",
            f"{message} {component}",
            place=component.location,
            hint="Remove one of the two, or use images that agree about this path.",
        )
