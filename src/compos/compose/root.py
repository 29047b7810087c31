"""An image's tree as LinuxKit lays it out: engine leftovers dropped, name resolution files and
mount points put in.

Rules: docs/linuxkit.md#3.2, #N4 and #N21.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Mapping, MutableMapping
from typing import TypeVar

from compos.compose.component import Subtree
from compos.tree.node import DIRECTORY, EPOCH, SYMLINK, Node, Tree, directory, file, symlink
from compos.tree.overlay import IMPLIED, SURELY_SHORT
from compos.tree.packed_tree import PackedTree

__all__ = [
    "IN_EVERY_ROOT",
    "MOUNT_POINTS",
    "apart",
    "has_place",
    "laid_out",
    "placed",
    "prefixed",
    "with_ancestors",
]

DROPPED = (".dockerenv", "Dockerfile", "dev/console", "dev/pts", "dev/shm", "etc/hostname")

HOSTS = b"""\
127.0.0.1       localhost
::1     localhost ip6-localhost ip6-loopback
fe00::0 ip6-localnet
ff00::0 ip6-mcastprefix
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
"""
RESOLV_CONF = b"\n# no resolv.conf configured\n"
RESOLV_CONF_LINK = "/run/resolvconf/resolv.conf"
MOUNT_POINTS = ("dev", "dev/pts", "dev/shm", "etc", "proc", "sys")
_FOLDERS = {"etc": (DIRECTORY, SYMLINK)}
"""What may stand for a folder: a runtime mounts over the others, and `etc` may be a link to where
an image keeps its files."""

IN_EVERY_ROOT = frozenset((*MOUNT_POINTS, "etc/hosts", "etc/mtab", "etc/resolv.conf"))

T = TypeVar("T", bound=MutableMapping[str, Node])


def laid_out(tree: T, *, resolv_conf_link: bool, present: Container[str] = ()) -> T:
    """`tree`, which is changed, ready for a root: for init and volumes with the resolv.conf
    symlink, for containers with a placeholder.

    `present` are folders that something below it has already: they are not made again.
    """
    for path in DROPPED:
        tree.pop(path, None)
    for path in MOUNT_POINTS:
        if path not in present and (
            path not in tree or tree[path].kind not in _FOLDERS.get(path, (DIRECTORY,))
        ):
            tree[path] = directory(0o755, EPOCH)
    tree["etc/hosts"] = file(HOSTS, 0o644, EPOCH)
    tree["etc/mtab"] = tree["etc/mtab"]._replace(mtime=EPOCH) if "etc/mtab" in tree else _mtab()
    if resolv_conf_link:
        tree["etc/resolv.conf"] = symlink(RESOLV_CONF_LINK, EPOCH, mode=0o644)
    else:
        tree["etc/resolv.conf"] = file(RESOLV_CONF, 0o644, EPOCH)
    return tree


def has_place(path: str, tree: Mapping[str, Node]) -> bool:
    """Whether a root of `tree`, laid out or not, surely has something of the image's at `path` that
    can be mounted over: where links lead is not followed."""
    node = None if path in DROPPED else tree.get(path)
    return node is not None and node.kind != SYMLINK


def _mtab() -> Node:
    return symlink("/proc/mounts", EPOCH, mode=0o755)


def placed(folder: str, tree: MutableMapping[str, Node]) -> tuple[Tree, Subtree | None]:
    """An image's `tree`, which is used up, below `folder`: the nodes that are there at least
    (`folder`, those above it), and the rest, if it can stay packed."""
    if not isinstance(tree, PackedTree):
        return prefixed(folder, {**tree}), None
    root = tree.pop("", None)
    top = {} if root is None else {folder: root}
    if len(folder) + 1 + tree.longest <= SURELY_SHORT and tree.complete(IMPLIED):
        return {**with_ancestors(f"{folder}/x"), **top}, Subtree(folder, tree)
    # Links lead to where it must be laid, or something is longer than Linux allows.
    return {**with_ancestors(f"{folder}/x"), **top, **Subtree(folder, tree).named()}, None


def prefixed(prefix: str, tree: Tree) -> Tree:
    """`tree` moved below the directory `prefix`, with that directory and those above it (0755).

    `tree` is empty then: its paths are gone as the new ones are made.
    """
    moved = with_ancestors(f"{prefix}/x")
    if "" in tree:
        moved[prefix] = tree[""]
    waiting = deque(tree)
    while waiting:
        path = waiting.popleft()
        node = tree.pop(path)
        if path:
            moved[f"{prefix}/{path}"] = (
                node._replace(inode=f"{prefix}:{node.inode}") if node.inode else node
            )
    tree.clear()
    return moved


def apart(name: str, tree: Mapping[str, Node]) -> Tree:
    """`tree` with its hard links told from those of other trees: numbers of inodes are an image's
    own."""
    return {
        path: node._replace(inode=f"{name}:{node.inode}") if node.inode else node
        for path, node in tree.items()
    }


def with_ancestors(path: str) -> Tree:
    """The directories above `path`, as the build makes them: 0755, root, `EPOCH`."""
    made: Tree = {}
    position = path.find("/")
    while position != -1:
        made[path[:position]] = directory(0o755, EPOCH)
        position = path.find("/", position + 1)
    return made
