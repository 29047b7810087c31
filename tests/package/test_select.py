"""Which of the packages' files a brick has; ELF files are made by the compiler."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from compos.errors import PackageError
from compos.package.select import merge_usr, moved, selected
from compos.tree.node import Node, Tree, directory, file, symlink


@pytest.mark.parametrize(
    ("path", "merged"),
    [
        ("bin/sh", "usr/bin/sh"),
        ("lib64/x", "usr/lib64/x"),
        ("usr/bin/sh", "usr/bin/sh"),
        ("etc/x", "etc/x"),
        ("bind", "bind"),
    ],
)
def test_merge_usr(path: str, merged: str) -> None:
    assert merge_usr(path) == merged


def read(node: Node) -> bytes:
    return b"".join(piece for piece in node.content if isinstance(piece, bytes))


TREE: Tree = {
    "etc": directory(0o750, 0),
    "etc/app.conf": file(b"x", 0o644, 0),
    "usr/bin/app": file(b"#!/bin/sh", 0o755, 0),
    "usr/bin/alias": symlink("app", 0),
    "usr/share/doc/app/copyright": file(b"c", 0o644, 0),
    "usr/share/app/deep/er/data": file(b"d", 0o644, 0),
}


def test_keep_takes_what_matches_and_what_links_point_at() -> None:
    chosen = selected(TREE, ["usr/bin/al*"], (), read, "brick")
    assert set(chosen) == {"usr", "usr/bin", "usr/bin/alias", "usr/bin/app"}


def test_stars() -> None:
    assert "usr/share/app/deep/er/data" in selected(TREE, ["usr/share/app/**"], (), read, "brick")
    with pytest.raises(PackageError) as caught:
        selected(TREE, ["usr/share/*/data"], (), read, "brick")
    assert caught.value.id == "brick-no-match"
    assert "usr/share/*/data" in caught.value.message


def test_without_keep_documentation_is_left_out_and_parents_keep_their_mode() -> None:
    chosen = selected(TREE, None, ["usr/bin/alias"], read, "brick")
    assert "usr/share/doc/app/copyright" not in chosen
    assert "usr/bin/alias" not in chosen
    assert chosen["etc"].mode == 0o750


def test_moves() -> None:
    result = moved(TREE, {"usr/bin/app": "sbin/app", "usr/share/app": "opt"}, "brick")
    assert {"sbin", "sbin/app", "opt/deep/er/data"} <= set(result)
    assert "usr/bin/app" not in result
    with pytest.raises(PackageError):
        moved(TREE, {"nothing": "x"}, "brick")


@pytest.fixture
def linked(tmp_path: Path) -> Tree:
    """A program that needs a library that needs another, as the linker makes them."""
    (tmp_path / "two.c").write_text("int two(void) { return 2; }")
    (tmp_path / "one.c").write_text("int two(void); int one(void) { return two(); }")
    (tmp_path / "app.c").write_text("int one(void); int main(void) { return one(); }")
    build = [
        "gcc -shared -fPIC -nostdlib -Wl,-soname,libtwo.so.2 -o libtwo.so.2.1 two.c",
        "ln -s libtwo.so.2.1 libtwo.so.2",
        "gcc -shared -fPIC -nostdlib -Wl,-soname,libone.so.1 -o libone.so.1 one.c ./libtwo.so.2",
        "gcc -o app app.c ./libone.so.1 -Wl,--allow-shlib-undefined",
    ]
    for command in build:
        subprocess.run(command.split(), cwd=tmp_path, check=True)
    libraries = "usr/lib/x86_64-linux-gnu"
    tree: Tree = {
        "usr/bin/app": file((tmp_path / "app").read_bytes(), 0o755, 0),
        f"{libraries}/libone.so.1": file((tmp_path / "libone.so.1").read_bytes(), 0o644, 0),
        f"{libraries}/libtwo.so.2": symlink("libtwo.so.2.1", 0),
        f"{libraries}/libtwo.so.2.1": file((tmp_path / "libtwo.so.2.1").read_bytes(), 0o644, 0),
        f"{libraries}/libother.so.1": file(b"not needed", 0o644, 0),
        f"{libraries}/libc.so.6": file(b"libc", 0o644, 0),
        f"{libraries}/ld-linux-x86-64.so.2": file(b"loader", 0o755, 0),
        "usr/lib64/ld-linux-x86-64.so.2": symlink(
            "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", 0
        ),
    }
    return tree


def test_needed_libraries_and_the_loader_come_along(linked: Tree) -> None:
    chosen = selected(linked, ["usr/bin/app"], (), read, "brick")
    libraries = "usr/lib/x86_64-linux-gnu"
    assert {
        f"{libraries}/libone.so.1",
        f"{libraries}/libtwo.so.2",
        f"{libraries}/libtwo.so.2.1",
    } <= set(chosen)
    assert f"{libraries}/libother.so.1" not in chosen
    assert chosen["lib64/ld-linux-x86-64.so.2"].link == "/usr/lib64/ld-linux-x86-64.so.2"
    assert f"{libraries}/ld-linux-x86-64.so.2" in chosen


def test_a_missing_library_is_named(linked: Tree) -> None:
    del linked["usr/lib/x86_64-linux-gnu/libtwo.so.2"]
    with pytest.raises(PackageError) as caught:
        selected(linked, ["usr/bin/app"], (), read, "brick")
    assert (caught.value.id, "libtwo.so.2" in caught.value.message) == ("brick-library", True)


def test_only_programs_are_read_for_what_they_need() -> None:
    asked: list[int] = []

    def nothing(node: Node) -> bytes:
        asked.append(node.size)
        return b""

    many = {f"usr/share/d{number}/f{number}": file(b"x" * 100, 0o644, 0) for number in range(3)}
    assert set(many) < set(
        selected({**many, "usr/share/d1": directory(0o755, 0)}, ["usr/share/**"], (), nothing, "b")
    )
    assert asked == [100] * 3
