"""What is sent into a running guest: archives for `dev` (bricks/dev), with only what it lacks.

A service's new root lies over the one that it was booted with, by overlayfs, so that what has not
changed is neither sent nor kept twice, and each version is made from the first one: whatever came
between can be forgotten. May touch: nothing; pieces are parts of the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from compos.compose.plan import HEADER
from compos.compose.plan_lines import plan_line
from compos.develop.decision import below
from compos.develop.picture import Contained, Lines, Picture, Same, merged
from compos.filesystem.cpio import cpio_pieces
from compos.tree.node import (
    CHARACTER,
    DIRECTORY,
    EPOCH,
    Node,
    Piece,
    ancestors,
    directory,
    file,
)

__all__ = ["Archive", "files_archive", "service_archive"]

WHITEOUT = Node(CHARACTER, 0o600)
"""Device 0:0: what overlayfs takes for "there is nothing", and `dev files` for "remove it"."""


HEAD = 200
"""Bytes of an archive's entry besides its contents."""
MOST = 16
"""Roots of other containers that the one of a new service is compared with."""


class Archive(NamedTuple):
    """What is sent: the pieces of a cpio archive, and how many bytes its files have."""

    pieces: Iterable[Piece]
    size: int


def service_archive(
    booted: Picture, new: Picture, name: str, place: str, same: Same
) -> tuple[Archive, str]:
    """The service `name` as `new` has it, for the guest's folder `place`, and the folder that its
    root lies over: the one that it has in the system that was `booted`, or, for a service that that
    has not had, the one with which the least is sent."""
    old, service = booted.services.get(name), new.services[name]
    root = new.system.root.entries.get(service.root)
    entries: dict[str, Node] = {"root": root or directory(0o755, EPOCH)}
    wanted = dict(below(new, service.root))
    if old is not None:
        lower, changes = f"/{old.root}", _changes([*below(booted, old.root)], wanted, same)
    else:
        lower, changes = f"{place}/lower", wanted
        entries["lower"] = directory(0o755, EPOCH)
        for folder in [*dict.fromkeys(one.root for one in booted.containers.values())][:MOST]:
            found = _changes([*below(booted, folder)], wanted, same)
            if _cost(found) < _cost(changes):
                lower, changes = f"/{folder}", found
    entries.update((f"root/{path}", node) for path, node in changes.items())
    lines: list[tuple[str, ...]] = []
    for line in service.lines:
        if line[0] == "seccomp":
            profile = new.system.root.entries.get(line[2].strip("/"))
            if profile and booted.system.root.entries.get(line[2].strip("/")) is None:
                entries["seccomp.json"] = profile
                line = (*line[:2], f"{place}/seccomp.json")
        lines.append(line)
    entries["config.json"] = file(service.config, 0o644, EPOCH)
    entries["plan"] = file(_plan(service, place, lower, tuple(lines)), 0o644, EPOCH)
    return _archive(sorted(entries.items())), lower


def files_archive(new: Picture, paths: Iterable[str]) -> Archive:
    """Files of the system's root, without what is gone."""
    entries = {path: new.system.root.entries.get(path) or WHITEOUT for path in paths}
    gone = sorted((path for path in entries if entries[path] is WHITEOUT), reverse=True)
    kept = sorted(path for path in entries if entries[path] is not WHITEOUT)
    # Each path is a file of its own: what is replaced one by one cannot be linked.
    return _archive([(path, entries[path]._replace(inode="")) for path in (*gone, *kept)])


def _archive(entries: list[tuple[str, Node]]) -> Archive:
    return Archive(cpio_pieces(entries), _size(dict(entries)))


def _cost(entries: Mapping[str, Node]) -> int:
    """Bytes that are sent, about."""
    return _size(entries) + HEAD * len(entries)


def _size(entries: Mapping[str, Node]) -> int:
    return sum(node.size for node in entries.values())


def _changes(
    old: Iterable[tuple[str, Node]], new: Mapping[str, Node], same: Same
) -> dict[str, Node]:
    """What makes `new` of `old` in a layer above it; folders above a change come along, because
    the layer's are those that are seen."""
    found: dict[str, Node] = {}
    for path, one, two in merged(old, sorted(new.items())):
        if one and two and same(one[1], two[1]):
            continue
        above = [*ancestors(path)]
        if two is None and any(
            folder not in new or new[folder].kind != DIRECTORY for folder in above
        ):
            continue  # it has gone with a folder
        for folder in above:
            found.setdefault(folder, new.get(folder) or directory(0o755, EPOCH))
        found[path] = two[1] if two else WHITEOUT
    return found


def _plan(service: Contained, place: str, lower: str, lines: Lines) -> bytes:
    """The plan of one service in the folder `place`: `root` lies over `lower`."""
    layers = f"lowerdir={place}/root:{lower},upperdir={place}/tmp/upper,workdir={place}/tmp/work"
    # A read-only service, too: runtimes make the mount points that an image lacks before they make
    # the root read-only.
    root = (
        ("mount", "tmpfs", f"{place}/tmp", "tmpfs", ""),
        ("mount", "", f"{place}/tmp", "", "remount,private"),
        ("mount", "overlay", f"{place}/rootfs", "overlay", layers),
    )
    head = ("container", service.id, place, service.namespace)
    return HEADER + b"".join(map(plan_line, (("stage", "services"), head, *root, *lines)))
