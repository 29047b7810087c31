"""Alpine's package database of several init images as one (docs/linuxkit.md#3.4).

May touch: the store (reading). Every init image of LinuxKit's brings a database of its own packages
under the same path, of which the last would win.
"""

from __future__ import annotations

from collections.abc import Sequence

from compos.compose.component import Component
from compos.image.store import Store
from compos.tree.contents import Contents
from compos.tree.node import Node, file

__all__ = ["DATABASE", "merged_database"]

DATABASE = "lib/apk/db/installed"
SOURCE = "LINUXKIT.apkinit"


def merged_database(store: Store, databases: Sequence[Node]) -> Component | None:
    """The databases one after another, each followed by two newlines, of the time 0; None when
    there are not several."""
    if len(databases) < 2:
        return None
    with Contents(store.root) as contents:
        text = b"".join(b"".join(contents.chunks(node.content)) + b"\n\n" for node in databases)
    return Component("init", SOURCE, {DATABASE: file(text, 0o644, 0)})
