"""Layers over each other: links, whiteouts and hard links as container engines have them, and work
in proportion."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import pytest

from compos.errors import ImageError
from compos.tree.layer import Layer
from compos.tree.node import (
    DIRECTORY,
    FILE,
    HARD_LINK,
    SYMLINK,
    Node,
    Tree,
    directory,
    file,
    symlink,
)
from compos.tree.overlay import Overlay

Entries = Iterable[tuple[str, Node]]


def link(target: str) -> Node:
    return Node(HARD_LINK, 0, link=target)


def text(data: str) -> Node:
    return file(data.encode(), 0o644, 0)


FOLDER = directory(0o755, 0)


def layer(entries: Entries, whiteouts: Iterable[str] = (), opaque: Iterable[str] = ()) -> Layer:
    return Layer(tuple(whiteouts), tuple(opaque), tuple(entries))


def laid(*layers: Layer) -> Tree:
    overlay = Overlay("example/app:1")
    for one in layers:
        overlay.apply(one)
    return overlay.named()


USR = layer(
    [
        ("usr", FOLDER),
        ("usr/bin", FOLDER),
        ("usr/bin/a", text("a")),
        ("usr/bin/b", text("b")),
        ("bin", symlink("usr/bin", 0)),
    ]
)

HIDDEN: dict[str, tuple[list[Layer], set[str]]] = {
    "below a link": ([USR, layer([], ["bin/a"])], {"usr", "usr/bin", "usr/bin/b", "bin"}),
    "all below a link": ([USR, layer([], [], ["bin"])], {"usr", "usr/bin", "bin"}),
    "the link itself": ([USR, layer([], ["bin"])], {"usr", "usr/bin", "usr/bin/a", "usr/bin/b"}),
    "a folder that a link leads to": ([USR, layer([], ["usr/bin"])], {"usr", "bin"}),
    "below a folder that takes the link's place": ([USR, layer([("bin", FOLDER), ("bin/c", text("c"))], ["bin/a"], ["bin"])], {"usr", "usr/bin", "usr/bin/a", "usr/bin/b", "bin", "bin/c"}),
    "below a link that leads nowhere": ([layer([("l", symlink("none", 0))]), layer([], ["l/a"], ["l"])], {"l"}),
    "below a file": ([layer([("f", text("f"))]), layer([], ["f/a"], ["f"])], {"f"}),
    "what is not there": ([USR, layer([], ["x/y/z", "usr/x"], ["x/y"])], {"usr", "usr/bin", "usr/bin/a", "usr/bin/b", "bin"}),
    "everything": ([USR, layer([("new", text("n"))], [], [""])], {"new"}),
    "a folder and what is in it, made again": ([USR, layer([("usr/bin/c", text("c"))], ["usr"])], {"usr/bin/c", "bin"}),
    "beyond the root": ([layer([("a", text("a")), ("up", symlink("../../..", 0))]), layer([], ["up/a"])], {"up"}),
}  # fmt: skip


@pytest.mark.parametrize("case", HIDDEN)
def test_whiteouts(case: str) -> None:
    layers, paths = HIDDEN[case]
    assert set(laid(*layers)) == paths


def groups(tree: Tree) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path, node in tree.items():
        if node.inode:
            found.setdefault(node.inode, set()).add(path)
    return found


LINKED: dict[str, tuple[list[Layer], list[set[str]]]] = {
    "a path twice, with links between": ([layer([("a", text("1")), ("b", link("a")), ("a", text("2")), ("c", link("a"))])], [{"b"}, {"a", "c"}]),
    "a link of a link": ([layer([("a", text("1")), ("b", link("a")), ("c", link("b"))])], [{"a", "b", "c"}]),
    "to a lower layer": ([layer([("a", text("1"))]), layer([("b", link("a"))])], [{"a", "b"}]),
    "two layers with the same first name": ([layer([("a", text("1")), ("b", link("a"))]), layer([("a", text("2")), ("c", link("a"))])], [{"b"}, {"a", "c"}]),
    "to itself": ([layer([("a", text("1")), ("a", link("a"))])], [{"a"}]),
    "through a link": ([USR, layer([("c", link("bin/a"))])], [{"usr/bin/a", "c"}]),
    "to a symbolic link": ([layer([("l", symlink("x", 0)), ("m", link("l"))])], []),
    "to a device": ([layer([("c", Node("c", 0o600, device=(1, 3))), ("d", link("c"))])], []),
}  # fmt: skip


@pytest.mark.parametrize("case", LINKED)
def test_hard_links(case: str) -> None:
    layers, expected = LINKED[case]
    tree = laid(*layers)
    assert sorted(groups(tree).values(), key=sorted) == sorted(expected, key=sorted)
    for paths in groups(tree).values():
        assert len({tree[path] for path in paths}) == 1


@pytest.mark.parametrize("target", ["", "d", "none", "none/x", "f/x", "loop/x"])
def test_hard_links_to_no_file(target: str) -> None:
    below = layer([("d", FOLDER), ("f", text("f")), ("loop", symlink("loop", 0))])
    with pytest.raises(ImageError) as caught:
        laid(below, layer([("l", link(target))]))
    assert caught.value.id in ("layer-hard-link", "layer-link-loop")


def deep(number: int) -> Entries:
    return [(f"{one:05}/" + "d/" * 2000 + "x", text("")) for one in range(number)]


def chain(number: int) -> Entries:
    """Files at the end of forty links of 2,000 names each, which are replaced again and again."""
    yield "d/" * 1999 + "d", FOLDER
    for one in range(39):
        yield f"l{one}", symlink("d/" * 1000 + "../" * 1000 + f"l{one + 1}", 0)
    yield "l39", symlink("d/" * 1000, 0)
    for one in range(number):
        yield "l38", symlink(f"{'./' * (one % 2)}l39", 0)
        yield f"l0/{one}", text("")


def long_way() -> Entries:
    yield "l", symlink("/".join("n" * 200 for _ in range(20)), 0)
    yield "l/" + "/".join("n" * 200 for _ in range(19)) + "/x", text("")


@pytest.mark.slow
@pytest.mark.parametrize(
    "entries",
    [deep(500), chain(5000), long_way(), [("l", symlink("n" * 256, 0)), ("l/x", text(""))]],
    ids=["folders that nobody names", "links", "a way that is too long", "a name that is too long"],
)
def test_out_of_proportion(entries: Entries) -> None:
    started = time.process_time()
    with pytest.raises(ImageError) as caught:
        laid(layer(entries))
    assert (caught.value.id, caught.value.place) == ("layer-limit", "example/app:1")
    assert time.process_time() - started < 20


def seconds(*layers: Layer) -> float:
    started = time.process_time()
    laid(*layers)
    return time.process_time() - started


MANY = 20_000
PROPORTIONATE: dict[str, Callable[[], list[Layer]]] = {
    "folders that become files": lambda: [layer([(f"d{n}", FOLDER) for n in range(MANY)] + [(f"d{n}", text("")) for n in range(MANY)])],
    "whiteouts, a layer each": lambda: [layer([(f"d/{n}", text("")) for n in range(MANY)]), *(layer([], [f"d/{n}"]) for n in range(MANY // 10))],
    "opaque again and again": lambda: [layer([("d", FOLDER)]), *(layer([(f"d/{n}", text(""))], [], ["d"]) for n in range(MANY // 10))],
    "whiteouts of nothing": lambda: [layer([], [f"a/b/c/{n}/d" for n in range(MANY)])],
    "links of links": lambda: [layer([("0", text("")), *((f"{n + 1}", link(f"{n}")) for n in range(MANY))])],
    "files below a link": lambda: [layer([("usr/lib", FOLDER), ("lib", symlink("usr/lib", 0)), *((f"lib/{n}", text("")) for n in range(MANY))])],
    "links that are said again": lambda: [layer([("usr/lib", FOLDER), *((f"{'lib' if n % 2 else f'lib/{n}'}", symlink("usr/lib", 0)) for n in range(1, MANY))])],
}  # fmt: skip


@pytest.fixture(scope="module")
def plain() -> float:
    """Seconds for four times as many plain files."""
    return seconds(layer([(f"d/{n}", text("")) for n in range(4 * MANY)]))


@pytest.mark.parametrize("case", PROPORTIONATE)
def test_time_is_in_proportion(case: str, plain: float) -> None:
    assert seconds(*PROPORTIONATE[case]()) < 10 * plain + 1


def test_named_folders_only() -> None:
    tree = laid(layer([("a/b/c", text("")), ("d/e", text("")), ("d", directory(0o700, 0))]))
    assert {path: node.kind for path, node in tree.items()} == {
        "a/b/c": FILE,
        "d/e": FILE,
        "d": DIRECTORY,
    }
    assert SYMLINK not in {node.kind for node in tree.values()}
