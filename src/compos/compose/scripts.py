"""Scripts of init images (`etc/init.d`, `etc/shutdown.d`) that our init would run, and that cannot
run.

May touch: the store (reading). LinuxKit's init has BusyBox's shell; ours has none, so that a script
would end with status 127.
"""

from __future__ import annotations

from collections.abc import Iterator

from compos.compose.component import Root
from compos.compose.plan import BUILT_IN
from compos.compose.plan import PATH as PLAN_PATH
from compos.image.store import Store
from compos.tree.contents import Contents
from compos.tree.entries import Entries
from compos.tree.node import DIRECTORY, FILE, SYMLINK, Node

__all__ = ["scripts_that_fail"]

FOLDERS = ("etc/init.d", "etc/shutdown.d")
NOT_RUN = (*BUILT_IN, "010-onshutdown")
MAX_LINE = 256
"""Bytes of a script's first line that the kernel reads (BINPRM_BUF_SIZE, linux/binfmts.h)."""

MAX_LINKS = 40
"""As in Linux (path_resolution(7))."""

ELF = b"\x7fELF"
ENV = "env"
SEARCHED = ("sbin", "usr/sbin", "bin", "usr/bin")
"""Where `env` looks for programs: init's PATH."""

IN_BUSYBOX = ("/bin/sh", "/bin/ash", "/bin/busybox", "/bin/env", "/usr/bin/env", "sh", "ash")
"""What the brick busybox would bring."""


def scripts_that_fail(store: Store, root: Root) -> Iterator[str]:
    """A sentence for each script that our init would run and that cannot."""
    scripts = [
        (path, component.source)
        for folder in FOLDERS
        for path, node, component in root.below(f"{folder}/")
        if path.rpartition("/")[0] == folder
        and node.kind != DIRECTORY
        and path.rpartition("/")[2] not in NOT_RUN
    ]
    nodes = root.entries
    if not scripts or nodes.get(PLAN_PATH) is None:
        return
    with Contents(store.root) as contents:
        for path, source in scripts:
            node = _found(nodes, path)
            line = (
                next(contents.chunks(node.content), b"")[:MAX_LINE].partition(b"\n")[0]
                if node
                else b""
            )
            if why := _fault(nodes, node, line):
                yield f"{path} of {source} cannot run: {why}"


def _fault(nodes: Entries, node: Node | None, line: bytes) -> str:
    """Why the kernel would not run a file that begins with `line`; empty when it would."""
    if node is None:
        return "it is a link to a file that is not in the system"
    if not node.mode & 0o111:
        return "it is not executable"
    if line.startswith(ELF):
        return ""
    # The kernel's own blanks (binfmt_script.c): a carriage return is part of the name.
    words = (
        line[2:].decode("utf-8", "surrogateescape").replace("\t", " ").split(" ")
        if line.startswith(b"#!")
        else []
    )
    words = [word for word in words if word]
    if not words:
        return "it is neither a program nor a script with an interpreter line (#!)"
    if _found(nodes, words[0]) is None:
        return _wanted(words[0])
    program = next((word for word in words[1:] if not word.startswith("-")), "")
    if words[0].rpartition("/")[2] == ENV and program and "/" not in program and "=" not in program:
        return (
            ""
            if any(_found(nodes, f"{folder}/{program}") for folder in SEARCHED)
            else _wanted(program)
        )
    return ""


def _wanted(name: str) -> str:
    if name.endswith("\r"):
        return f"its lines end in CR and LF, so its interpreter is {name!r}"
    hint = (
        "Add compos/busybox:v1 to `init`"
        if name in IN_BUSYBOX
        else "Add an image that contains it to `init`"
    )
    return f"its interpreter {name} is not in the system. {hint}"


def _found(nodes: Entries, path: str) -> Node | None:
    """The file that a path leads to, links followed inside the root."""
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
            return None
        if node.kind == SYMLINK:
            links += 1
            if links > MAX_LINKS:
                return None
            real = [] if node.link.startswith("/") else real
            pending.extend(node.link.split("/")[::-1])
            continue
        real.append(part)
    found = nodes.get("/".join(real))
    return found if found is not None and found.kind == FILE else None
