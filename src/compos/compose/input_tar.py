"""An earlier build's tar, read: what it was built from, and its members by the sections that they
came from.

May touch: the tar (reading), the store, which keeps a copy of it. The tar may be a stranger's: a
member that lies outside of its section's folder, a hard link to what does not stand before it, a
path that leads out of the root are errors.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from compos.compose.container import bundle_id
from compos.compose.host_files import stored
from compos.compose.plan import PATH as PLAN_PATH
from compos.compose.profiles import PROFILES
from compos.config.images import SECTIONS, renamed_images
from compos.config.load import decode_document
from compos.config.model import Config
from compos.errors import ComposError, ConfigError
from compos.image.derived_kinds import DerivedKind
from compos.image.source import canonical_name
from compos.image.store import Store
from compos.progress import notice
from compos.tree.contents import Contents
from compos.tree.gate import admitted, normal
from compos.tree.node import DIRECTORY, HARD_LINK, Node, Tree
from compos.tree.tar import read_members

__all__ = ["InputTar", "canonical_config", "read_input_tar", "section_folder"]

LOCATION, SOURCE = "LINUXKIT.location", "LINUXKIT.source"
PLAN = "compos.plan"
MADE_ANEW = ("linuxkit.files", "linuxkit.volumes", PLAN)
"""Sources of what every build makes itself."""

MAX_DOCUMENT = 16 << 20
"""Bytes of a document in the tar that is read: the YAML that it was built from, a container's
configuration, the plan."""

_NUMBERED = re.compile(r"([a-z]+)\[(0|[1-9][0-9]{0,5})\]")


@dataclass(frozen=True, slots=True)
class InputTar:
    """An earlier build: what its YAML was (canonical image names), and its members by the sections
    that they came from."""

    config: Config
    sections: Mapping[str, Tree]
    sources: Mapping[str, str]
    others: frozenset[str]
    """Paths that came from no section: an SBOM, a Dockerfile."""
    root: Path
    """The store's root, below which its contents are."""
    key: str
    """Names the tar's bytes."""
    plan: str | None
    """What its init carries out, if that has a boot plan."""
    profiles: Mapping[str, Node]
    """The seccomp profiles that belong to the plan, by absolute path."""

    def document(self, node: Node) -> bytes:
        """The whole of a small file. Raises `ValueError` for one that is too large."""
        if node.size > MAX_DOCUMENT:
            raise ValueError(f"a document of {node.size} bytes")
        with Contents(self.root) as contents:
            return b"".join(contents.chunks(node.content))

    def begins_with(self, node: Node, magic: bytes) -> bool:
        """Whether a file's first bytes are these."""
        with Contents(self.root) as contents:
            return next(contents.chunks(node.content), b"").startswith(magic)


@dataclass(frozen=True, slots=True)
class _Members:
    nodes: Tree
    marks: Mapping[str, tuple[str, str]]
    """Location and source of each path that has them."""


def read_input_tar(store: Store, path: Path, config: Config) -> InputTar | None:
    """The earlier build in `path`, if it says what it was built from where `config` says so, too
    (`files: metadata`).

    Raises `ConfigError` (`input-tar`) when it cannot be read, or is not what a build writes.
    """
    where = [normal(entry.path or "") for entry in config.files if entry.metadata]
    try:
        key = _imported(store, path)
        members = _members(store.root, key)
    except (OSError, ValueError) as error:
        raise _unusable(path, getattr(error, "strerror", None) or str(error)) from error
    found = members.nodes.get(where[-1]) if where else None
    if found is None or found.kind == DIRECTORY:
        notice(
            f"{path} does not contain its configuration: add a `files` entry with `metadata: yaml` "
            "to the YAML"
        )
        return None
    try:
        tar = InputTar(Config(), {}, {}, frozenset(), store.root, key, None, {})
        earlier = _earlier(tar.document(found).decode("utf-8", "replace"), f"{path}: {where[-1]}")
        return None if earlier is None else _sorted_out(tar, members, earlier)
    except ValueError as error:
        raise _unusable(path, str(error)) from error


def _unusable(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        "input-tar",
        f"the input tar cannot be used: {reason}",
        place=str(path),
        hint="Use a tar from an earlier build.",
    )


def _imported(store: Store, path: Path) -> str:
    """A copy of the tar in the store, by its digest; returns its path below the store's root."""
    with path.open("rb") as stream:
        return stored(store, DerivedKind.INPUT, stream).source


def _members(root: Path, key: str) -> _Members:
    """Everything in the tar; of members with the same path the last one counts, as in LinuxKit's
    own tars.

    A hard link has the contents of the member that its target names just then. Raises `ValueError`
    (`TarError`).
    """
    nodes: Tree = {}
    marks: dict[str, tuple[str, str]] = {}
    inodes: dict[str, int] = {}
    with (root / key).open("rb") as stream:
        for number, (name, said, records) in enumerate(read_members(stream, key)):
            path, node = admitted(name, said)
            inode = number
            if node.kind == HARD_LINK:
                target = node.link
                linked = nodes.get(target)
                if linked is None or linked.kind == DIRECTORY:
                    raise ValueError(
                        f"{path!r} is a hard link to {target!r}, but no file of that name precedes "
                        "it"
                    )
                node, inode = linked, inodes[target]
            if not path:
                continue
            nodes[path], inodes[path] = node, inode
            marks.pop(path, None)
            if LOCATION in records:
                marks[path] = (_text(records[LOCATION]), _text(records.get(SOURCE, b"")))
    # Links join paths of one section only: the next build may take one of two sections from
    # elsewhere.
    shared = Counter((marks.get(path), inode) for path, inode in inodes.items())
    for path, inode in inodes.items():
        if shared[marks.get(path), inode] > 1:
            nodes[path] = nodes[path]._replace(inode=f"input:{marks.get(path, ('',))[0]}:{inode}")
    return _Members(nodes, marks)


def _text(record: bytes) -> str:
    return record.decode("utf-8", "surrogateescape")


def _sorted_out(tar: InputTar, members: _Members, earlier: Config) -> InputTar:
    """The members by section. Raises `ValueError` for one that lies where its section has
    nothing."""
    sections: dict[str, Tree] = {}
    sources: dict[str, str] = {}
    others = set()
    planned: Tree = {}
    for path, node in members.nodes.items():
        if path not in members.marks:
            others.add(path)
            continue
        location, source = members.marks[path]
        if source == PLAN:
            planned[path] = node
        if source not in MADE_ANEW and _belongs(earlier, location, path, node):
            sections.setdefault(location, {})[path] = node
        if source != PLAN:
            sources.setdefault(location, source)
    plan = planned.get(PLAN_PATH)
    profiles = {
        f"/{path}": node for path, node in planned.items() if path.startswith(f"{PROFILES}/")
    }
    lines = tar.document(plan).decode("utf-8", "surrogateescape") if plan else None
    return InputTar(
        earlier, sections, sources, frozenset(others), tar.root, tar.key, lines, profiles
    )


def _belongs(config: Config, location: str, path: str, node: Node) -> bool:
    """Whether a member is one of its section; the folders above are not, each build makes them.

    Raises `ValueError` for a member that is neither.
    """
    folder = section_folder(config, location)
    if folder is None:
        return True
    inside = (
        path.startswith(f"{folder}/") or path == folder
        if folder
        else not path.startswith("containers/")
    )
    above = node.kind == DIRECTORY and (
        f"{folder}/".startswith(f"{path}/") if folder else path.startswith("containers/")
    )
    if not inside and not above:
        raise ValueError(
            f"{path!r} states that it comes from {location}, but is outside {folder or 'the root'}/"
        )
    return inside


def section_folder(config: Config, location: str) -> str | None:
    """Where a section's files lie: a container's or volume's folder, empty for the root; None for a
    location of no section."""
    if location in ("kernel", "init"):
        return ""
    match = _NUMBERED.fullmatch(location)
    if match is None:
        return None
    section, number = match[1], int(match[2])
    if section == "init":
        return ""
    if section == "volume" and number < len(config.volumes):
        return f"containers/volumes/{config.volumes[number].name}"
    if section in SECTIONS and number < len(getattr(config, section)):
        name = getattr(config, section)[number].name
        return f"containers/{section}/{bundle_id(section, number, name)}"
    return None


def _earlier(text: str, place: str) -> Config | None:
    # LinuxKit writes empty sections as null, in JSON, which it refuses to read itself.
    with suppress(ValueError, RecursionError):
        document = json.loads(text)
        if isinstance(document, dict):
            text = json.dumps({key: value for key, value in document.items() if value is not None})
    try:
        return canonical_config(decode_document(text, place))
    except ComposError as error:
        notice(f"{place} cannot be used: {error.message}")
        return None


def canonical_config(config: Config) -> Config:
    """`config` with full names of images: two that mean the same are equal."""
    return renamed_images(config, lambda name, _: canonical_name(name))
