"""Scripts of init images (`etc/init.d`, `etc/shutdown.d`) whose interpreter is not in the system.

May touch: the store (reading). LinuxKit's init has BusyBox's shell; ours has none, so that a script would end with status 127.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compos.compose.component import Root
from compos.compose.plan import BUILT_IN
from compos.compose.plan import PATH as PLAN_PATH
from compos.image.store import Store
from compos.tree.contents import Contents
from compos.tree.node import DIRECTORY, FILE, SYMLINK, Node

__all__ = ["missing_interpreters"]

FOLDERS = ("etc/init.d", "etc/shutdown.d")
MAX_LINE = 256
"""Bytes of a script's first line that the kernel reads (BINPRM_BUF_SIZE, linux/binfmts.h)."""

MAX_LINKS = 40
"""As in Linux (path_resolution(7))."""


def missing_interpreters(store: Store, root: Root) -> Iterator[str]:
    """A sentence for each script that our init would run and that cannot."""
    scripts = [
        (path, node, component.source)
        for path, node, component in root.nodes
        if path.rpartition("/")[0] in FOLDERS and node.kind == FILE and path.rpartition("/")[2] not in BUILT_IN
    ]
    if not scripts:
        return
    nodes = {path: node for path, node, _ in root.nodes}
    if PLAN_PATH not in nodes:
        return
    with Contents(store.root) as contents:
        for path, node, source in scripts:
            line = next(contents.chunks(node.content), b"")[:MAX_LINE].partition(b"\n")[0]
            words = line[2:].split() if line.startswith(b"#!") else []
            interpreter = words[0].decode("utf-8", "surrogateescape") if words else ""
            if interpreter and not _is_there(nodes, interpreter):
                yield (
                    f"{path} of {source} cannot run: it wants {interpreter}, which is not in the system. "
                    f"An image in `init` that has it, such as compos/busybox:v1, would help"
                )


def _is_there(nodes: Mapping[str, Node], path: str) -> bool:
    """Whether a path leads to a file, links followed inside the root."""
    pending = path.split("/")[::-1]
    real: list[str] = []
    links = 0
    while pending:
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            real = real[:-1]
            continue
        node = nodes.get("/".join((*real, part)))
        if node is None or (pending and node.kind not in (DIRECTORY, SYMLINK)):
            return False
        if node.kind == SYMLINK:
            links += 1
            if links > MAX_LINKS:
                return False
            real = [] if node.link.startswith("/") else real
            pending.extend(node.link.split("/")[::-1])
            continue
        real.append(part)
    found = nodes.get("/".join(real))
    return found is not None and found.kind == FILE
