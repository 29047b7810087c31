"""Components laid over each other: nothing is lost where links meet folders, and the segments give
the root in the kernel."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compos.compose.component import Component, Root, union
from compos.compose.root import placed, prefixed
from compos.errors import ConfigError, ImageError
from compos.tree.node import DIRECTORY, FILE, SYMLINK, Node, Tree, directory, file, symlink
from compos.tree.packed_tree import PackedRange
from tests.tree.packed_trees import packed_of

Said = Mapping[str, str]
"""Path → content of a file, `/` for a folder, `→ x` for a link to x."""


def tree_of(said: Said) -> Tree:
    tree: Tree = {}
    for path, what in said.items():
        if what == "/":
            tree[path] = directory(0o755, 0)
        elif what.startswith("→ "):
            tree[path] = symlink(what[2:], 0)
        else:
            tree[path] = file(what.encode(), 0o644, 0)
    return tree


def said_of(node: Node) -> str:
    if node.kind == SYMLINK:
        return f"→ {node.link}"
    return (
        "/"
        if node.kind == DIRECTORY
        else b"".join(piece for piece in node.content if isinstance(piece, bytes)).decode()
    )


def laid(*said: Said) -> Root:
    return union(
        [
            Component(f"init[{number}]", f"example/{number}", tree_of(one))
            for number, one in enumerate(said)
        ]
    )


MERGED: Said = {"usr": "/", "usr/lib": "/", "usr/lib/own": "own", "lib": "→ usr/lib"}
MODULES: Said = {"lib": "/", "lib/modules": "/", "lib/modules/a.ko": "module"}

CASES: dict[str, tuple[list[Said], Said]] = {
    "a link in place of a folder": ([MODULES, MERGED], {"usr/lib/modules/a.ko": "module", "usr/lib/own": "own", "lib": "→ usr/lib"}),
    "a folder in place of a link": ([MERGED, MODULES], {"usr/lib/modules/a.ko": "module", "usr/lib/own": "own", "lib": "→ usr/lib"}),
    "files below a link": ([MERGED, {"lib/new": "new"}], {"usr/lib/new": "new", "lib": "→ usr/lib"}),
    "an absolute link": ([MODULES, {"lib": "→ /usr/lib"}], {"usr/lib/modules/a.ko": "module", "lib": "→ /usr/lib"}),
    "a link to a missing folder": ([{"var": "/", "var/run": "/", "var/run/x": "x"}, {"var/run": "→ ../run"}], {"run/x": "x", "var/run": "→ ../run"}),
    "a link beyond the root": ([{"a": "/", "a/x": "x"}, {"a": "→ ../../b"}], {"b/x": "x", "a": "→ ../../b"}),
    "a link to the root": ([{"usr": "/", "usr/bin": "/", "usr/bin/x": "x"}, {"usr": "→ ."}], {"bin/x": "x", "usr": "→ ."}),
    "a link to a link": ([MODULES, {"lib": "→ lib64", "lib64": "→ usr/lib64"}], {"usr/lib64/modules/a.ko": "module", "lib": "→ lib64"}),
    "the newer of two files": ([{"lib": "/", "lib/x": "old"}, {**MERGED, "usr/lib/x": "new"}], {"usr/lib/x": "new"}),
    "the newer of two files, the other way": ([{**MERGED, "usr/lib/x": "old"}, {"lib": "/", "lib/x": "new"}], {"usr/lib/x": "new"}),
    "the newest of three": ([{"lib": "/", "lib/x": "1"}, {"usr/lib/x": "2"}, {"lib": "→ usr/lib"}], {"usr/lib/x": "2"}),
    "the newest of three, the other way": ([{"usr/lib/x": "1"}, {"lib": "/", "lib/x": "2"}, {"lib": "→ usr/lib"}], {"usr/lib/x": "2"}),
    "links in a folder that moves": ([{"lib": "/", "lib/a": "→ b", "lib/b": "/", "lib/b/x": "x"}, {"lib": "→ usr/lib", "usr/lib/a": "/", "usr/lib/a/y": "y"}], {"usr/lib/b/x": "x", "usr/lib/b/y": "y", "usr/lib/a": "→ b"}),
    "the same link again": ([MODULES, MERGED, MERGED], {"usr/lib/modules/a.ko": "module"}),
    "a link that leads there as well": ([MODULES, MERGED, {"lib": "→ /usr/lib"}], {"usr/lib/modules/a.ko": "module", "lib": "→ /usr/lib"}),
    "two merges": ([{"sbin/x": "x"}, {"sbin": "→ usr/sbin", "usr/sbin/y": "y"}, {"usr/sbin": "→ bin", "usr/bin/z": "z"}], {"usr/bin/x": "x", "usr/bin/y": "y", "usr/bin/z": "z", "sbin": "→ usr/sbin"}),
    "a link that leads there in the end": ([{"sbin/x": "x"}, {"sbin": "→ usr/sbin"}, {"sbin": "→ usr/bin", "usr/sbin": "→ bin"}], {"usr/bin/x": "x", "sbin": "→ usr/bin"}),
    "a link in place of an empty folder": ([{"a": "/"}, {"a": "→ gone"}], {"a": "→ gone"}),
    "a file in place of an empty folder": ([{"a": "/"}, {"a": "x"}], {"a": "x"}),
    "a file in place of a link": ([{"a": "→ b"}, {"a": "x"}], {"a": "x"}),
    "a link in place of a file": ([{"a": "x"}, {"a": "→ b"}], {"a": "→ b"}),
    "a folder in place of a file": ([{"a": "x"}, {"a": "/", "a/b": "y"}], {"a": "/", "a/b": "y"}),
    "a link nobody uses leads elsewhere": ([{"a": "→ b", "b/x": "x"}, {"a": "→ c"}], {"a": "→ c", "b/x": "x"}),
    "a folder of its own that a link names": ([{"e": "file"}, {"d/x": "x"}, {"d": "→ e", "e": "/", "e/y": "y"}], {"e/x": "x", "e/y": "y", "d": "→ e"}),
    "links in a container lead to its root": ([{"containers/services/a/lower/run": "→ /x", "x/own": "own"}, {"containers/services/a/lower/run/y": "y"}], {"containers/services/a/lower/x/y": "y", "x/own": "own"}),
    "and no link leads out of it": ([{"containers/services/a/rootfs/e": "→ ../../../../../x"}, {"containers/services/a/rootfs/e/y": "y"}], {"containers/services/a/rootfs/x/y": "y"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_laid_over_each_other(case: str) -> None:
    said, expected = CASES[case]
    root = laid(*said)
    found = {path: said_of(node) for path, node, _ in root.nodes}
    assert {path: found.get(path) for path in expected} == expected
    assert unpacked(root) == {path: node for path, node, _ in root.nodes}


CONFLICTS: dict[str, tuple[list[Said], tuple[str, str]]] = {
    "a file in place of a folder": ([MODULES, {"lib": "x"}], ("init[0]", "init[1]")),
    "a link to itself": ([MODULES, {"lib": "→ lib"}], ("init[0]", "init[1]")),
    "a link into its own folder": ([MODULES, {"lib": "→ lib/modules"}], ("init[0]", "init[1]")),
    "a link to a file": ([MODULES, {"lib": "→ x", "x": "file"}], ("init[0]", "init[1]")),
    "a link below a file": ([MODULES, {"lib": "→ x/y", "x": "file"}], ("init[0]", "init[1]")),
    "a folder in place of a link to a file": ([{"lib": "→ x", "x": "file"}, MODULES], ("init[0]", "init[1]")),
    "a file below a file": ([{"etc": "file"}, {"etc/x": "x"}], ("init[0]", "init[1]")),
    "another link in place of one in use": ([MODULES, MERGED, {"lib": "→ usr/lib64"}], ("init[0]", "init[2]")),
    "a file in place of a link in use": ([MERGED, {"lib/x": "x"}, {"lib": "x"}], ("init[1]", "init[2]")),
    "two files of one image in folders that become one": ([{"lib/x": "1", "usr/lib/x": "2"}, {"lib": "→ usr/lib"}], ("init[0]", "init[1]")),
    "a folder and a file in folders that become one": ([{"lib/x": "/", "usr/lib/x": "2"}, {"lib": "→ usr/lib"}], ("init[0]", "init[1]")),
    "a link that another leads through": ([{"a/x": "x", "b": "→ c"}, {"a": "→ b", "b": "y"}], ("init[0]", "init[1]")),
    "a file in a folder that moves": ([{"lib": "/", "lib/x": "x"}, {"usr/lib/x/y": "y"}, {"lib": "→ usr/lib"}], ("init[0]", "init[1]")),
}  # fmt: skip


@pytest.mark.parametrize("case", CONFLICTS)
def test_conflicts_name_both_places(case: str) -> None:
    said, places = CONFLICTS[case]
    with pytest.raises(ConfigError) as caught:
        laid(*said)
    assert caught.value.id == "root-conflict"
    for place in places:
        assert f"{place} (example/{place[5]})" in caught.value.message


def test_the_way_of_a_link_has_a_length() -> None:
    with pytest.raises(ImageError) as caught:
        laid({"a": f"→ {'n' * 256}"}, {"a/x": "x"})
    assert (caught.value.id, caught.value.place) == ("layer-limit", "init[1] (example/1)")
    with pytest.raises(ImageError):
        laid({"a": "→ " + "d/" * 2000}, {"a/" + "e/" * 100 + "x": "x"})


def test_a_path_is_not_too_long_where_it_lies_in_the_end() -> None:
    names = ["n" * 200] * 20
    said = {"/".join(names[:count]): "/" for count in range(1, 21)}
    assert len(laid(said).entries) == 20
    tree = prefixed("containers/services/" + "s" * 100 + "/lower", tree_of(said))
    with pytest.raises(ImageError) as caught:
        union([Component("services[0]", "example/0", tree)])
    assert (caught.value.id, caught.value.place) == ("layer-limit", "services[0] (example/0)")
    with pytest.raises(ImageError):
        union([Component("services[0]", "example/0", prefixed("s" * 256, tree_of({"x": "x"})))])


def test_parents_are_what_the_component_says_where_nobody_has_them() -> None:
    base = Component(
        "init[0]", "example/0", {"tmp": directory(0o1777, 0), "bin": symlink("usr/bin", 0)}
    )
    parent = directory(0o700, 0, uid=5)
    files = [
        Component(f"files[{number}]", "linuxkit.files", {path: file(b"x", 0o600, 0)}, parent)
        for number, path in enumerate(("tmp/x", "bin/tool", "new/x"))
    ]
    nodes = {path: node for path, node, _ in union([base, *files]).nodes}
    assert nodes["tmp"].mode == 0o1777
    assert nodes["bin"].link == "usr/bin"
    assert (nodes["usr/bin"], nodes["new"]) == (parent, parent)
    assert {"tmp/x", "usr/bin/tool", "new/x"} < set(nodes)


def test_the_mode_of_the_newest_folder_counts() -> None:
    def mode_of(*trees: Tree) -> dict[str, int]:
        root = union([Component(f"init[{number}]", "", tree) for number, tree in enumerate(trees)])
        assert unpacked(root) == {path: node for path, node, _ in root.nodes}
        return {path: node.mode for path, node, _ in root.nodes if node.kind == DIRECTORY}

    old, new = {"lib": directory(0o711, 0), "lib/x": file(b"", 0o644, 0)}, directory(0o700, 0)
    assert mode_of(old, {"lib": new}) == {"lib": 0o700}
    assert mode_of(old, {"usr/lib": new, "lib": symlink("usr/lib", 0)}) == {
        "usr": 0o755,
        "usr/lib": 0o700,
    }
    assert mode_of(old, {"lib": symlink("usr/lib", 0)}) == {"usr": 0o755, "usr/lib": 0o711}
    assert mode_of({"usr/lib": new, "lib": symlink("usr/lib", 0)}, old) == {
        "usr": 0o755,
        "usr/lib": 0o711,
    }
    assert mode_of(old, {"lib/y": file(b"", 0o644, 0)}) == {"lib": 0o711}


def unpacked(root: Root) -> Tree:
    """The segments one after another, each path as the kernel unpacks it (init/initramfs.c:
    `do_name`, `clean_path`)."""
    found: Tree = {}
    for _, segment in root.segments:
        for path, node in segment:
            parent = path.rpartition("/")[0]
            assert not parent or found[parent].kind == DIRECTORY, f"no folder for {path}"
            old = found.get(path)
            if old is not None and old.kind != node.kind:
                assert not any(other.startswith(f"{path}/") for other in found), (
                    f"rmdir({path}) fails"
                )
            found[path] = node
    return found


names = st.sampled_from("abc")
paths = st.lists(names, min_size=1, max_size=3).map("/".join)
targets = st.one_of(paths, paths.map("/{}".format), paths.map("../{}".format), st.just("."))
whats = st.one_of(st.just("/"), st.text("xyz", min_size=1, max_size=3), targets.map("→ {}".format))


@st.composite
def sounds(draw: st.DrawFn) -> dict[str, str]:
    """A tree in which nothing lies below what is no folder, as those of images are."""
    said = draw(st.dictionaries(paths, whats, max_size=6))
    return {
        path: what
        for path, what in said.items()
        if all(said.get(path[:end], "/") == "/" for end in range(len(path)) if path[end] == "/")
        and not (what != "/" and any(other.startswith(f"{path}/") for other in said))
    }


def agreed(stack: list[dict[str, str]]) -> Root | None:
    """The union, or None when it is refused as it should be."""
    try:
        return laid(*stack)
    except ConfigError as error:
        if error.id != "root-conflict" or error.message.count("example/") < 2:
            raise
        return None


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(st.lists(sounds(), min_size=2, max_size=4))
@example([{"a/b": "x"}, {"a": "→ c"}, {"c": "→ b", "b/b/c": "y"}])
@example([{"a/a": "x", "b": "→ c"}, {"a": "→ b", "b": "x"}])
@example([{"a": "→ ."}, {"b": "xx", "a/b": "x"}])
@example([{"b": "x", "c/b": "→ a"}, {"b": "/", "c": "→ ."}])
def test_nothing_is_lost(stack: list[dict[str, str]]) -> None:
    """Every file of every component is where its path leads, unless a newer one has the same place;
    or both are named."""
    root = agreed(stack)
    if root is None:
        return
    final = {path: node for path, node, _ in root.nodes}
    owners = {path: component.location for path, _, component in root.nodes}
    for path in final:
        parent = path.rpartition("/")[0]
        assert not parent or final[parent].kind == DIRECTORY
    assert unpacked(root) == final
    for number, said in enumerate(stack):
        for path, what in said.items():
            if tree_of({path: what})[path].kind != FILE:
                continue
            place = resolved(final, path)
            assert place in final, f"{path} of {number} is lost"
            newer = chain.from_iterable(stack[number + 1 :])
            if owners[place] == f"init[{number}]":
                # A link of its own may be where a newer folder was put in this file's place.
                assert said_of(final[place]) == what or place in {
                    resolved(final, other) for other in newer
                }
            else:
                assert owners[place] > f"init[{number}]" or resolved(final, place) == place


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(sounds(), st.lists(sounds(), max_size=2), st.lists(sounds(), max_size=2))
@example({"b": "x"}, [{"a/b": "y"}], [])
@example({"b/c": "x"}, [], [{"a": "→ c"}])
@example({"b/c": "x"}, [{"a": "→ b"}], [])
@example({}, [], [{"a": "x"}])
@example({"b/c": "x"}, [], [{"a.b": "x", "a": "/"}])
def test_a_subtree_is_laid_as_its_nodes_are(
    own: dict[str, str], before: list[dict[str, str]], after: list[dict[str, str]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree, subtree = placed("a", packed_of(tree_of(own), Path(folder)))
    assert subtree is not None
    found = [
        results(
            [
                *(
                    Component(f"init[{number}]", "b", tree_of(one))
                    for number, one in enumerate(before)
                ),
                component,
                *(
                    Component(f"files[{number}]", "a", tree_of(one))
                    for number, one in enumerate(after)
                ),
            ]
        )
        for component in (
            Component("services[0]", "s", tree, subtree=subtree),
            Component("services[0]", "s", prefixed("a", tree_of(dict(sorted(own.items()))))),
        )
    ]
    assert found[0] == found[1]


def results(components: list[Component]) -> object:
    """All that a union says."""
    try:
        root = union(components)
    except (ConfigError, ImageError) as error:
        return str(error)
    return (
        [(path, node, owner.location) for path, node, owner in root.nodes],
        [(owner.location, [*entries]) for owner, entries in root.segments],
    )


def resolved(tree: Tree, path: str) -> str:
    """Where `path` lies, with the links among its parents followed as in a chroot."""
    pending = path.split("/")[::-1]
    here: list[str] = []
    for _ in range(1000):
        if not pending:
            break
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            here = here[:-1]
            continue
        node = tree.get("/".join((*here, part)))
        if pending and node is not None and node.kind == SYMLINK:
            if node.link.startswith("/"):
                here = []
            pending += node.link.split("/")[::-1]
        else:
            here.append(part)
    return "/".join(here)


def archive(said: Said) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for path, node in sorted(tree_of(said).items()):
            info = tarfile.TarInfo(path)
            info.type = {DIRECTORY: tarfile.DIRTYPE, SYMLINK: tarfile.SYMTYPE}.get(
                node.kind, tarfile.REGTYPE
            )
            info.linkname, info.size, info.mode = node.link, node.size, node.mode
            out.addfile(
                info,
                io.BytesIO(b"".join(piece for piece in node.content if isinstance(piece, bytes))),
            )
    return buffer.getvalue()


@pytest.mark.parametrize(
    "stack",
    [
        [MERGED, MODULES],
        [MERGED, {"lib/new": "new"}],
        [{**MERGED, "usr/lib/x": "old"}, {"lib": "/", "lib/x": "new"}],
        [{"usr": "/", "usr/bin": "/", "bin": "→ usr/bin", "sbin": "→ bin"}, {"sbin": "/", "sbin/x": "x", "bin": "/", "bin/y": "y"}],
    ],
)  # fmt: skip
def test_folders_over_links_are_as_gnu_tar_keeps_links(tmp_path: Path, stack: list[Said]) -> None:
    for said in stack:
        command = ["tar", "--extract", "--keep-directory-symlink", "--directory", str(tmp_path)]
        subprocess.run(command, input=archive(said), check=True)
    expected = {
        str(path.relative_to(tmp_path)): f"→ {path.readlink()}" if path.is_symlink() else "/" if path.is_dir() else path.read_text()
        for path in tmp_path.rglob("*")
    }  # fmt: skip
    assert {path: said_of(node) for path, node, _ in laid(*stack).nodes} == expected


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(sounds(), st.lists(sounds(), min_size=1, max_size=3))
@example({"b": "/", "b/c": "x", "b/d": "y"}, [{"b/c": "z", "b/e/f": "new"}])
@example({"b": "/", "b/c": "x"}, [{"b": "/"}])
@example({"b": "/", "b/c": "x"}, [{"b": "x"}])
@example({"b": "/", "b/c": "/"}, [{"b": "/"}, {"b": "x"}])
@example({"b": "→ c", "c": "/"}, [{"b/x": "x"}])
@example({"c/x": "x"}, [{"c": "/", "c/y": "y"}])
@example({"b": "/", "b/c": "x"}, [{"a": "→ b"}, {"a/c": "y"}])
def test_what_is_laid_into_a_subtree(own: dict[str, str], after: list[dict[str, str]]) -> None:
    """It is as if the subtree's nodes had been laid one by one."""
    with tempfile.TemporaryDirectory() as folder:
        tree, subtree = placed("a", packed_of(tree_of(own), Path(folder)))
    more = [
        Component(f"files[{number}]", "f", prefixed("a", tree_of(dict(sorted(one.items())))))
        for number, one in enumerate(after)
    ]
    single = prefixed("a", tree_of(dict(sorted(own.items()))))
    found, expected = (
        results([component, *more])
        for component in (
            Component("services[0]", "s", tree, subtree=subtree),
            Component("services[0]", "s", single),
        )
    )
    assert found == expected


@pytest.mark.parametrize(
    ("laid_in", "packed"),
    [
        ({}, 100),
        ({"a/d/5": "other"}, 99),
        ({"a/d/new": "x", "a/d/new2": "x", "a/e/f/g": "x"}, 100),
        # These need to be looked at one by one.
        ({"a/link/x": "x"}, 0),
        ({"a/d": "a file"}, 0),
    ],
)
def test_most_of_a_subtree_stays_packed(
    tmp_path: Path, laid_in: dict[str, str], packed: int
) -> None:
    said = {"d": "/", "link": "→ d", **{f"d/{number}": "x" for number in range(100)}}
    tree, subtree = placed("a", packed_of(tree_of(said), tmp_path))
    try:
        root = union(
            [
                Component("services[0]", "s", tree, subtree=subtree),
                Component("files[0]", "f", tree_of(laid_in)),
            ]
        )
    except ConfigError:
        assert packed == 0
        return
    ranges = [part for part in root.entries.parts if isinstance(part, PackedRange)]
    names = [path for part in ranges for path in part.paths() if path.startswith("a/d/")]
    assert len(names) == packed
