"""How large the parts of a system are: kernel, init images, each container, files.

May touch: the store, which keeps each part's compressed archive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from compos.compose.component import Component
from compos.config.images import SECTIONS
from compos.config.model import Config
from compos.output.initrd import segment
from compos.output.job import Job
from compos.tree.contents import piece_size
from compos.tree.entries import Entries
from compos.tree.node import DIRECTORY, Node

__all__ = ["Part", "entry_names", "system_parts"]


class Part(NamedTuple):
    """One entry of the YAML: its place there, what it comes from, its files and their bytes.

    `size` counts what is in the system in the end, a file with several names once; `packed` is that
    compressed as in an initrd, by itself: files that several parts share are counted for each.
    """

    location: str
    source: str
    files: int
    size: int
    packed: int


def system_parts(job: Job, config: Config) -> list[Part]:
    """The parts of the system of `job`, which was composed of `config`, in the order of the YAML's
    sections."""
    names = entry_names(config)
    found: dict[str, list[tuple[Component, Entries]]] = {}
    for component, nodes in job.system.root.segments:
        found.setdefault(
            names.get(component.location, component.location.partition("[")[0]), []
        ).append((component, nodes))
    boot: dict[str, list[Node]] = {}
    for _, node, component in job.system.boot:
        boot.setdefault(component.location, []).append(node)
    parts = []
    for location, members in found.items():
        inside = [node for _, nodes in members for _, node in nodes if node.kind != DIRECTORY]
        apart = [node for component, _ in members for node in boot.get(component.location, ())]
        packed = sum(piece_size(segment(job, nodes)) for _, nodes in members if nodes)
        own = [node for node in apart if node.kind != DIRECTORY]
        # What firmware and boot loaders load is not compressed again.
        packed += sum(node.size for node in own)
        parts.append(
            Part(
                location, _source(members), len(inside) + len(own), _bytes((*inside, *own)), packed
            )
        )
    return parts


def entry_names(config: Config) -> Mapping[str, str]:
    """How a component's location is shown: by the entry's name where it has one."""
    named = {
        f"{section}[{number}]": f"{section}[{entry.name}]"
        for section in SECTIONS
        for number, entry in enumerate(getattr(config, section))
    }
    volumes = {
        f"volume[{number}]": f"volumes[{volume.name}]"
        for number, volume in enumerate(config.volumes)
    }
    init = {f"init[{number}]": f"init[{number}]" for number in range(len(config.init))}
    return {**named, **volumes, **init}


def _source(members: Iterable[tuple[Component, object]]) -> str:
    sources = list(dict.fromkeys(component.source for component, _ in members))
    return sources[0] if len(sources) == 1 else ""


def _bytes(nodes: Iterable[Node]) -> int:
    seen: set[str] = set()
    total = 0
    for node in nodes:
        if node.inode not in seen:
            total += node.size
        if node.inode:
            seen.add(node.inode)
    return total
