"""Keys of an initrd's segments."""

from __future__ import annotations

import hashlib

import pytest

from compos.image.derived_kinds import DerivedKind
from compos.output import initrd
from compos.tree import entries
from compos.tree.node import Node, Slice, directory, file, symlink

NODES: tuple[tuple[str, Node], ...] = (
    ("bin", directory(0o755, 7)),
    ("bin/a\udcff'", Node("f", 0o755, 1, 2, 3, 5, (Slice("blobs/sha256/ab", 512, 5),))),
    ('bin/"b', file(b"\0'\"", 0o644, -1)),
    ("bin/c", symlink("b", 0)),
    ("bin/d", Node("f", 0o644, xattrs=(("user.x", b"y"),), inode="init[0]:1")),
)


@pytest.mark.parametrize("first", [0, 1, 65537])
@pytest.mark.parametrize("count", range(len(NODES) + 1))
def test_a_segments_key_is_the_digest_of_its_nodes_as_one_text(
    count: int, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "_BATCH", 2)
    nodes, version = NODES[:count], DerivedKind.SEGMENT.version
    text = repr((version, nodes, first) if first else (version, nodes))
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    listed = entries.Listed([path for path, _ in nodes], [node for _, node in nodes])
    assert initrd._key(entries.Entries([listed]), first) == digest
