"""A composed system as the machine that runs it sees it: its files, and the containers of its boot
plan. Reads the store, where documents lie there; otherwise pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias, TypeVar

from compos.compose.plan import PATH as PLAN
from compos.compose.plan_lines import plan_fields
from compos.compose.plan_words import WORDS
from compos.compose.system import System
from compos.config.model import Config
from compos.tree.contents import Contents
from compos.tree.node import FILE, Node

__all__ = ["Contained", "Lines", "Picture", "Same", "merged", "picture", "same_nodes"]

Lines: TypeAlias = tuple[tuple[str, ...], ...]


class Contained(NamedTuple):
    """A container of the plan.

    `path` is its bundle's folder, `root` where the files of its image are, both relative to the
    system's root. `lines` are the plan's, but for those that make its root. `config` is its
    `config.json`, whose own bytes do not say where the bundle is.
    """

    id: str
    stage: str
    path: str
    namespace: str
    root: str
    writable: bool
    lines: Lines
    config: bytes

    @property
    def sees(self) -> tuple[str, ...]:
        """What of the system is bound into it, as absolute paths; `/` is left out: whoever has
        everything waits for nothing in particular."""
        found = [
            mount.get("source", "")
            for mount in json.loads(self.config).get("mounts") or ()
            if mount.get("type") == "bind" or "bind" in (mount.get("options") or ())
        ]
        found += [
            line[1] for line in self.lines if line[0] == "mount" and "bind" in line[4].split(",")
        ]
        return tuple(one.rstrip("/") for one in found if one.rstrip("/"))


class Picture(NamedTuple):
    """A system; `around` are the plan's lines outside of containers, by stage, `containers` what
    stands in them, by stage and id. `metadata` are the locations of files that describe the
    system's YAML. Without a plan nothing is known of what runs."""

    system: System
    planned: bool
    around: Mapping[str, Lines]
    containers: Mapping[tuple[str, str], Contained]
    metadata: frozenset[str] = frozenset()

    @property
    def services(self) -> dict[str, Contained]:
        """The services by name, in their order."""
        return {key[1]: one for key, one in self.containers.items() if key[0] == "services"}


def picture(system: System, config: Config, contents: Contents) -> Picture:
    """What `system` is, which was composed of `config`."""

    def read(path: str) -> bytes:
        node = system.root.entries.get(path)
        if node is None or node.kind != FILE:
            return b""
        return b"".join(contents.chunks(node.content))

    metadata = frozenset(
        f"files[{number}]" for number, entry in enumerate(config.files) if entry.metadata
    )
    text = read(PLAN).decode("utf-8", "surrogateescape")
    around: dict[str, Lines] = {}
    containers = {}
    for stage, head, lines in _parts(text):
        if head:
            containers[stage, head[1]] = _contained(stage, head, lines, read)
        else:
            around[stage] = (*around.get(stage, ()), *lines)
    return Picture(system, bool(text), around, containers, metadata)


def _parts(plan: str) -> Iterator[tuple[str, tuple[str, ...], Lines]]:
    """The stages' own lines, and each container's, with the stage and the container's line."""
    stage = ""
    head: tuple[str, ...] = ()
    lines: list[tuple[str, ...]] = []
    for line in plan.split("\n")[1:]:
        fields = plan_fields(line)
        word = WORDS.get(fields[0])
        if not word:
            continue
        if head and not word.inside:
            yield stage, head, tuple(lines)
            head, lines = (), []
        if fields[0] in ("stage", "container"):
            yield stage, head, tuple(lines)
            lines = []
            stage = fields[1] if fields[0] == "stage" else stage
            head = fields if fields[0] == "container" else ()
        else:
            lines.append(fields)
    yield stage, head, tuple(lines)


def _contained(
    stage: str, head: tuple[str, ...], lines: Lines, read: Callable[[str], bytes]
) -> Contained:
    """A container of its line `head`, whose root is what is mounted on `rootfs`
    (`runtime.root_mounts`)."""
    _, name, folder, namespace = head
    path, root, writable = folder.strip("/"), f"{folder.strip('/')}/rootfs", False
    others = []
    for line in lines:
        if line[0] == "mount" and line[2] == f"{folder}/rootfs":
            options = dict(one.partition("=")[::2] for one in line[4].split(","))
            writable = "upperdir" in options
            root = (options["lowerdir"] if writable else line[1]).strip("/")
        elif line[0] != "mount" or line[2] != f"{folder}/tmp":
            others.append(line)
    config = read(f"{path}/config.json")
    return Contained(name, stage, path, namespace, root, writable, tuple(others), config)


Item = TypeVar("Item", bound=tuple[Any, ...])


def merged(
    old: Iterable[Item], new: Iterable[Item]
) -> Iterator[tuple[str, Item | None, Item | None]]:
    """Each path of two sequences that are sorted by paths, their first members, with the item that
    each has there."""
    first, second = iter(old), iter(new)
    one, two = next(first, None), next(second, None)
    while one or two:
        path = min(item[0] for item in (one, two) if item)
        in_first, in_second = one is not None and one[0] == path, two is not None and two[0] == path
        yield path, one if in_first else None, two if in_second else None
        one = next(first, None) if in_first else one
        two = next(second, None) if in_second else two


Same: TypeAlias = Callable[[Node, Node], bool]
"""Whether two nodes are the same to whoever looks at them."""


def same_nodes(contents: Contents) -> Same:
    """Nodes are the same whose attributes and bytes are; times and the names of inodes do not
    count, nor extended attributes, which the initrd does not have."""

    def same(one: Node, two: Node) -> bool:
        if one == two:
            return True
        if (*one[:4], one.size, one.link, one.device) != (*two[:4], two.size, two.link, two.device):
            return False
        if one.content == two.content:
            return True
        return contents.digest(one.content) == contents.digest(two.content)

    return same
