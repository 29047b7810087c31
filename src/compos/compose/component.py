"""Components laid over each other: the ordered union that is the system's root filesystem.

Pure. A component is one entry of the YAML with its own tree; later ones win, as in LinuxKit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compos.tree.flatten import Overlay
from compos.tree.node import DIRECTORY, Node, Tree

__all__ = ["Component", "Root", "union"]


@dataclass(frozen=True, slots=True)
class Component:
    """One entry's tree, its paths relative to the root.

    `location` is its place in the YAML (`init[0]`, `services[2]`), `source` where it comes from (an image's canonical
    reference, `linuxkit.files`, …): both go into a tar as PAX records.
    """

    location: str
    source: str
    tree: Tree


@dataclass(frozen=True, slots=True)
class Root:
    """The finished root filesystem.

    `nodes`: everything, sorted by path, each with the component that it comes from. `segments`: what each component brings,
    sorted by path; laid down one after another they give `nodes`. A directory stays in every segment that has it (the last
    one's mode wins), so that a segment depends on other components only where they replace its files.
    """

    nodes: tuple[tuple[str, Node, Component], ...]
    segments: tuple[tuple[Component, tuple[tuple[str, Node], ...]], ...]


def union(components: Sequence[Component]) -> Root:
    """Lay `components` over each other in order."""
    overlay = Overlay("the composed root")
    owners: dict[str, Component] = {}
    brought: list[dict[str, Node]] = []
    for component in components:
        overlay.made.clear()
        real = {overlay.add(path, node): node for path, node in component.tree.items()}
        real.update({path: overlay.tree[path] for path in overlay.made if path in overlay.tree})
        brought.append(real)
        owners.update(dict.fromkeys(real, component))
    final = overlay.tree
    segments = tuple(
        (
            component,
            tuple(
                (path, node)
                for path, node in sorted(real.items())
                if (last := final.get(path)) is not None
                and (owners[path] is component or (last.kind == node.kind == DIRECTORY))
            ),
        )
        for component, real in zip(components, brought, strict=True)
    )
    nodes = tuple((path, final[path], owners[path]) for path in sorted(final) if path in owners)
    return Root(nodes, segments)
