"""The walk from paths to inodes, device numbers, names of extended attributes."""

from __future__ import annotations

import os
import stat

import pytest

from compos.filesystem.inodes import PREFIXES, Inode, inode_table, new_device, split_name, st_mode
from compos.tree.node import DIRECTORY, FIFO, FILE, Node, directory, file


def test_links_of_a_file_share_an_inode() -> None:
    shared = Node(FILE, 0o644, size=1, content=(b"x",), inode="h")
    entries = [
        ("a", directory(0o755, 0)),
        ("a-b", file(b"", 0o600, 0)),
        ("a/x", shared),
        ("y", shared),
    ]
    root, folder, alone, link = inode_table(entries, Inode)
    assert [inode.path for inode in (root, folder, alone, link)] == ["", "a", "a-b", "a/x"]
    assert (root.links, folder.links, alone.links, link.links) == (3, 2, 1, 2)
    assert root.children == [(b"a", folder), (b"a-b", alone), (b"y", link)]
    assert (root.parent, folder.parent, link.parent) == (None, root, folder)


def test_the_root_may_be_named() -> None:
    (root,) = inode_table([("", Node(DIRECTORY, 0o1777, 5, 6))], Inode)
    assert (root.node.mode, root.node.uid, root.links) == (0o1777, 5, 2)


@pytest.mark.parametrize(
    "number", [(0, 0), (1, 3), (259, 300), (4095, 1_048_575), (8, 255), (8, 256)]
)
def test_device_numbers_are_those_of_the_kernel(number: tuple[int, int]) -> None:
    major, minor = number
    assert new_device(major, minor) == os.makedev(major, minor)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("user.a.b", (1, b"a.b")),
        ("security.x\udcff", (6, b"x\xff")),
        ("user.", None),
        ("user", None),
        ("system.x", None),
    ],
)
def test_names_of_attributes(name: str, split: tuple[int, bytes] | None) -> None:
    assert split_name(name, PREFIXES) == split


def test_modes() -> None:
    assert st_mode(Node(FIFO, 0o4755)) == stat.S_IFIFO | 0o4755
