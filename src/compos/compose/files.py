"""The `files` section as a component (docs/linuxkit.md#3.7). Pure: host files have been read
(`host_files`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from compos.compose.component import Component
from compos.compose.host_files import HostFile
from compos.config.ids import resolve_id
from compos.config.model import File
from compos.errors import ConfigError
from compos.tree.gate import GateError, admitted
from compos.tree.node import EPOCH, FILE, Node, Tree, directory, file, symlink

__all__ = ["files_components"]


def files_components(
    entries: tuple[File, ...],
    sources: Mapping[str, HostFile | None],
    ids: Mapping[str, int],
    metadata: Callable[[str], bytes],
) -> list[Component]:
    """One component an entry, so that each member of a tar can say where it came from.

    `sources` are what `read_sources` has read of them, `ids` the containers' numbers; `metadata`
    renders the `metadata: yaml|json` document. Raises `ConfigError`.
    """
    components = []
    for number, entry in enumerate(entries):
        mode = int(entry.mode, 8) if entry.mode else (0o700 if entry.directory else 0o600)
        uid, gid = resolve_id(entry.uid, ids), resolve_id(entry.gid, ids)
        node = _node(entry, sources, mode, uid, gid, metadata)
        if node is not None:
            parent = directory(_searchable(mode), EPOCH, uid=uid, gid=gid)
            components.append(
                Component(f"files[{number}]", "linuxkit.files", _tree(entry, node), parent)
            )
    return components


def _tree(entry: File, node: Node) -> Tree:
    try:
        path, node = admitted(entry.path or "", node)
    except GateError as error:
        raise ConfigError(
            "files-limit",
            f"Linux does not support this file: {error}",
            place=str(entry.mark),
            hint="Change the path or the value.",
        ) from error
    return {path: node}


def _searchable(mode: int) -> int:
    """The mode of folders that an entry needs: its own, with execute for each of user, group, other
    that has any bit (docs/linuxkit.md#M9)."""
    for shift in (6, 3, 0):
        if mode >> shift & 7:
            mode |= 1 << shift
    return mode


def _node(
    entry: File,
    sources: Mapping[str, HostFile | None],
    mode: int,
    uid: int,
    gid: int,
    metadata: Callable[[str], bytes],
) -> Node | None:
    if entry.directory:
        return directory(mode, EPOCH, uid=uid, gid=gid)
    if entry.symlink:
        return symlink(entry.symlink, EPOCH, mode=mode, uid=uid, gid=gid)
    if entry.contents is not None:
        return file(
            entry.contents.encode("utf-8", "surrogateescape"), mode, EPOCH, uid=uid, gid=gid
        )
    if entry.metadata:
        return file(metadata(entry.metadata), mode, EPOCH, uid=uid, gid=gid)
    found = sources[entry.source or ""]
    return None if found is None else Node(FILE, mode, uid, gid, EPOCH, found.size, found.content)
