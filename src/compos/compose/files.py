"""The `files` section as a component (reference 3.7).

May touch: the host files that entries name as their source (reading); large ones are copied into the store.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from compos.compose.component import Component
from compos.compose.root import EPOCH
from compos.config.ids import resolve_id
from compos.config.model import File
from compos.errors import ConfigError
from compos.image.store import Store
from compos.tree.layer import clean
from compos.tree.node import FILE, Node, Slice, Tree, ancestors, directory, file, symlink

__all__ = ["files_components"]

INLINE = 64 << 10
"""Files up to this many bytes stay in memory; larger ones go through the store."""


def files_components(
    store: Store, entries: tuple[File, ...], ids: Mapping[str, int], metadata: Callable[[str], bytes]
) -> list[Component]:
    """One component an entry, so that each member of a tar can say where it came from.

    `ids` are the containers' numbers; `metadata` renders the `metadata: yaml|json` document. Raises `ConfigError`.
    """
    emitted: set[str] = set()
    components = []
    for number, entry in enumerate(entries):
        tree = _entry(store, entry, ids, metadata, emitted)
        if tree:
            components.append(Component(f"files[{number}]", "linuxkit.files", tree))
    return components


def _entry(
    store: Store, entry: File, ids: Mapping[str, int], metadata: Callable[[str], bytes], emitted: set[str]
) -> Tree:
    path = clean(entry.path or "")
    mode = int(entry.mode, 8) if entry.mode else (0o700 if entry.directory else 0o600)
    uid, gid = resolve_id(entry.uid, ids), resolve_id(entry.gid, ids)
    node = _node(store, entry, mode, uid, gid, metadata)
    if node is None:
        return {}
    tree: Tree = {}
    for parent in ancestors(path):
        if parent not in emitted:
            emitted.add(parent)
            tree[parent] = directory(_searchable(mode), EPOCH, uid=uid, gid=gid)
    tree[path] = node
    emitted.add(path)
    return tree


def _searchable(mode: int) -> int:
    """A parent's mode: the entry's, with execute for each of user, group, other that has any bit (defect-free M9)."""
    for shift in (6, 3, 0):
        if mode >> shift & 7:
            mode |= 1 << shift
    return mode


def _node(store: Store, entry: File, mode: int, uid: int, gid: int, metadata: Callable[[str], bytes]) -> Node | None:
    if entry.directory:
        return directory(mode, EPOCH, uid=uid, gid=gid)
    if entry.symlink:
        return symlink(entry.symlink, EPOCH, mode=mode, uid=uid, gid=gid)
    if entry.contents is not None:
        return file(entry.contents.encode("utf-8", "surrogateescape"), mode, EPOCH, uid=uid, gid=gid)
    if entry.metadata:
        return file(metadata(entry.metadata), mode, EPOCH, uid=uid, gid=gid)
    return _from_host(store, entry, Node(FILE, mode, uid, gid, EPOCH))


def _from_host(store: Store, entry: File, node: Node) -> Node | None:
    source = Path(os.path.expanduser(entry.source or ""))  # noqa: PTH111  "~/x" only, as LinuxKit has it
    try:
        size = source.stat().st_size
    except OSError as error:
        if entry.optional:
            return None
        raise _unreadable(entry, source, error) from error
    try:
        if size <= INLINE:
            data = source.read_bytes()
            return node._replace(size=len(data), content=(data,) if data else ())
        with source.open("rb") as stream, store.writer() as writer:
            while chunk := stream.read(1 << 20):
                writer.write(chunk)
            blob = writer.commit("application/octet-stream")
    except OSError as error:
        raise _unreadable(entry, source, error) from error
    piece = Slice(str(store.path(blob.digest).relative_to(store.root)), 0, blob.size)
    return node._replace(size=blob.size, content=(piece,))


def _unreadable(entry: File, source: Path, error: OSError) -> ConfigError:
    return ConfigError(
        "files-source",
        f"the source file {str(source)!r} cannot be read: {(error.strerror or str(error)).lower()}",
        place=str(entry.mark),
        hint="The path is relative to the folder where you run compos; write `optional: true` if it may be missing.",
    )
