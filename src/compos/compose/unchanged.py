"""Sections that are the same as in an input tar although they come out of the store: reported as
LinuxKit reports copied ones.

May touch: the store (reading). LinuxKit copies whatever has the same name; scripts look for its
lines. What is reported here has been compared to the byte.
"""

from __future__ import annotations

from collections.abc import Iterator

from compos.compose.copies import Copies
from compos.compose.input_tar import canonical_config
from compos.compose.system import System
from compos.config.images import SECTIONS
from compos.config.model import Config
from compos.image.store import Store
from compos.tree.contents import Contents
from compos.tree.node import DIRECTORY, Node, Tree

__all__ = ["unchanged_sections"]

COMMAND_LINE = "boot/cmdline"
"""Made of the YAML, whatever the kernel is."""


def unchanged_sections(
    store: Store, copies: Copies, config: Config, system: System
) -> Iterator[str]:
    """A line for each section of `system`, which was composed of `config`, that is as in the
    earlier build of `copies`."""
    earlier = copies.earlier
    made: dict[str, Tree] = {}
    for path, node, component in system.with_boot():
        made.setdefault(component.location, {})[path] = node
    with Contents(store.root) as contents:
        for location, shown in _same_entries(earlier.config, canonical_config(config)):
            if location in copies.components:
                continue
            old, new = earlier.sections.get(location, {}), made.get(location, {})
            if new and _equal(contents, old, new):
                yield (
                    f"Copy {shown} files from input tar: {earlier.sources[location]} (the same; "
                    "taken from the store)"
                )


def _same_entries(old: Config, new: Config) -> Iterator[tuple[str, str]]:
    """Locations of sections whose entries are the same, and how they are shown."""
    if old.kernel and new.kernel and old.kernel.image == new.kernel.image:
        yield "kernel", "kernel"
    for number, (before, now) in enumerate(zip(old.init, new.init, strict=False)):
        if before == now:
            yield f"init[{number}]", f"init[{number}]"
    for number, (volume, other) in enumerate(zip(old.volumes, new.volumes, strict=False)):
        if volume == other and volume.image:
            yield f"volume[{number}]", f"volumes[{number}]"
    for section in SECTIONS:
        for number, (before, now) in enumerate(
            zip(getattr(old, section), getattr(new, section), strict=False)
        ):
            if before == now:
                yield f"{section}[{number}]", f"{section}[{number}]"


def _equal(contents: Contents, old: Tree, new: Tree) -> bool:
    """Whether the files are the same; folders above a section are whoever's came last."""
    files = {path for path, node in new.items() if node.kind != DIRECTORY} - {COMMAND_LINE}
    if files != {path for path, node in old.items() if node.kind != DIRECTORY} - {COMMAND_LINE}:
        return False
    return all(_facts(old[path]) == _facts(new[path]) for path in files) and all(
        contents.digest(old[path].content) == contents.digest(new[path].content)
        for path in files
        if new[path].size
    )


def _facts(node: Node) -> Node:
    return node._replace(content=(), inode="")
