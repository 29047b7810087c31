"""The walk from paths to inodes, device numbers, names of extended attributes."""

from __future__ import annotations

import os
import stat

import pytest

from compos.filesystem.inodes import (
    PREFIXES,
    Inodes,
    new_device,
    repeated_contents,
    split_name,
    st_mode,
)
from compos.tree.node import DIRECTORY, FIFO, FILE, Node, directory, file


def test_links_of_a_file_share_an_inode() -> None:
    shared = Node(FILE, 0o644, size=1, content=(b"x",), inode="h")
    entries = [
        ("a", directory(0o755, 0)),
        ("a-b", file(b"", 0o600, 0)),
        ("a/x", shared),
        ("y", shared),
    ]
    inodes = Inodes(entries)
    assert [path for path, _ in inodes] == ["", "a", "a-b", "a/x"]
    assert [*inodes] == [inodes[number] for number in range(len(inodes))]
    assert [*inodes.links] == [3, 2, 1, 2]
    assert inodes.children(0) == [(b"a", 1), (b"a-b", 2), (b"y", 3)]
    assert inodes.children(1) == [(b"x", 3)]
    assert [*inodes.parents] == [0, 0, 0, 1]
    assert [inodes.kind(number) for number in range(4)] == ["d", "d", "f", "f"]


def test_the_root_may_be_named() -> None:
    inodes = Inodes([("", Node(DIRECTORY, 0o1777, 5, 6))])
    assert ([*inodes], [*inodes.links]) == ([("", Node(DIRECTORY, 0o1777, 5, 6))], [2])


def test_what_comes_first_stands_for_the_entries_at_its_path() -> None:
    entries = [("a", file(b"", 0o600, 0)), ("z", directory(0o755, 0)), ("z/b", directory(0o755, 0))]
    inodes = Inodes(entries, [("z", directory(0o700, 5))])
    assert [(path, node.mode) for path, node in inodes][1:] == [
        ("z", 0o700),
        ("a", 0o600),
        ("z/b", 0o755),
    ]
    assert inodes.children(0) == [(b"a", 2), (b"z", 1)]
    assert inodes.children(1) == [(b"b", 3)]
    assert [*inodes] == [inodes[number] for number in range(len(inodes))]


def test_names_are_sorted_as_bytes() -> None:
    inodes = Inodes([(name, file(b"", 0o600, 0)) for name in sorted(["\udcff", "é", "\U0001f600"])])
    names = [name for name, _ in inodes.children(0)]
    assert names == sorted(names)
    assert len(names) == 3


def test_repeated_contents_are_those_of_several() -> None:
    nodes = [file(data, 0o644, 0) for data in (b"a", b"b", b"a", b"c", b"", b"")]
    assert repeated_contents(nodes) == {hash((b"a",)), hash(())}


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
