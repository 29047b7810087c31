"""Layers become the tree that the OCI image specification means."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.errors import ImageError
from compos.image.store import Store
from compos.tree.contents import Contents
from compos.tree.flatten import flatten, image_tree
from compos.tree.layer import read_layer
from compos.tree.node import Tree
from tests.images import Member, make_image


def tree_of(store: Store, *layers: list[Member], compression: str = "gzip") -> Tree:
    image = make_image(store, "example/app:1", layers, compression=compression)  # type: ignore[arg-type]
    return flatten(
        (read_layer(store, layer, image.name) for layer in image.layers), image.name
    ).tree


def text(store: Store, tree: Tree, path: str) -> str:
    with Contents(store.root) as contents:
        return b"".join(contents.chunks(tree[path].content)).decode()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.mark.parametrize("compression", ["gzip", "zstd", "plain"])
def test_later_layers_win(store: Store, compression: str) -> None:
    tree = tree_of(
        store,
        [
            Member("etc", "dir", 0o755),
            Member("etc/a", content="old"),
            Member("etc/b", content="kept"),
        ],
        [Member("etc/a", content="new", mode=0o600)],
        compression=compression,
    )
    assert (text(store, tree, "etc/a"), tree["etc/a"].mode, text(store, tree, "etc/b")) == (
        "new",
        0o600,
        "kept",
    )


CASES: list[tuple[str, list[list[Member]], set[str]]] = [
    ("whiteout", [[Member("d/a"), Member("d/b")], [Member("d/.wh.a")]], {"d", "d/b"}),
    ("whiteout of a folder", [[Member("d/a"), Member("e")], [Member(".wh.d")]], {"e"}),
    ("opaque folder", [[Member("d/a"), Member("d/s/t")], [Member("d", "dir"), Member("d/.wh..wh..opq"), Member("d/n")]], {"d", "d/n"}),
    ("whiteout and new file in one layer", [[Member("a", content="1")], [Member(".wh.a"), Member("a")]], {"a"}),
    ("new file and then whiteout in one layer", [[Member("a")], [Member("a"), Member(".wh.a")]], {"a"}),
    ("file over folder", [[Member("d/a")], [Member("d")]], {"d"}),
    ("folder over file", [[Member("d")], [Member("d", "dir"), Member("d/a")]], {"d", "d/a"}),
    ("dots and slashes", [[Member("./x//y")]], {"x", "x/y"}),
    ("whiteout of a prefix's neighbour", [[Member("ab"), Member("a/b"), Member("a-b")], [Member(".wh.a")]], {"ab", "a-b"}),
    ("through a link", [[Member("run", "dir"), Member("var/run", "symlink", content="/run")], [Member("var/run/x")]], {"run", "var", "var/run", "run/x"}),
    ("a name above the root", [[Member("../etc/passwd"), Member("a/../../b")]], {"etc", "etc/passwd", "b"}),
    ("a hard link above the root", [[Member("a"), Member("b", "hardlink", content="../../a")]], {"a", "b"}),
    ("through a link above the root", [[Member("up", "symlink", content="../../b"), Member("up/x")]], {"up", "b", "b/x"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("layers", "paths"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_paths(store: Store, layers: list[list[Member]], paths: set[str]) -> None:
    assert set(tree_of(store, *layers)) == paths


def test_hard_links_share_an_inode_and_outlive_their_target(store: Store) -> None:
    tree = tree_of(
        store,
        [
            Member("a", content="x"),
            Member("b", "hardlink", content="a"),
            Member("c", "hardlink", content="b"),
        ],
    )
    assert tree["a"].inode == tree["b"].inode == tree["c"].inode != ""
    tree = tree_of(
        store, [Member("a", content="x"), Member("b", "hardlink", content="a")], [Member(".wh.a")]
    )
    assert set(tree) == {"b"}
    assert text(store, tree, "b") == "x"


@pytest.mark.parametrize(
    ("members", "id"),
    [
        ([Member("b", "hardlink", content="../../etc/shadow")], "layer-hard-link"),
        ([Member("b", "hardlink", content="missing")], "layer-hard-link"),
        (
            [
                Member("a", "symlink", content="b"),
                Member("b", "symlink", content="a"),
                Member("a/x"),
            ],
            "layer-link-loop",
        ),
    ],
)
def test_hostile_layers_are_refused(store: Store, members: list[Member], id: str) -> None:
    with pytest.raises(ImageError) as caught:
        tree_of(store, members)
    assert caught.value.id == id
    assert "example/app:1" in (caught.value.place or "")


def test_a_second_reading_takes_the_index(store: Store) -> None:
    image = make_image(store, "example/app:1", [[Member("a", content="x" * 5000)]])
    first = image_tree(store, image)
    for blob in (store.root / "blobs/sha256").iterdir():
        blob.unlink()
    assert image_tree(store, image) == first


def test_a_damaged_index_is_made_anew(store: Store) -> None:
    image = make_image(store, "example/app:1", [[Member("a", content="x")]])
    first = image_tree(store, image)
    for kind in ("tree", "layer-index"):
        for path in (store.root / "derived" / kind).iterdir():
            data = bytearray(path.read_bytes())
            data[-1] ^= 1
            path.write_bytes(data)
    assert image_tree(store, image) == first


def test_a_truncated_compressed_layer_is_damaged(store: Store) -> None:
    from compos.image.model import LAYER_GZIP, Image, ImageConfig
    from tests.images import compress, layer_tar, put_image

    data = compress(layer_tar([Member("a", content="x" * 100_000)]), "gzip")
    layer = store.put(data[:-20], LAYER_GZIP)
    put_image(store)
    image = Image(
        "example/app:1", "sha256:" + "0" * 64, ImageConfig("amd64", "linux"), (layer,), ""
    )
    with pytest.raises(ImageError) as caught:
        image_tree(store, image)
    assert caught.value.id == "layer-damaged"


def test_directories_that_no_layer_names_are_not_the_images(store: Store) -> None:
    image = make_image(
        store, "example/app:1", [[Member("a/b/c"), Member("d/e"), Member("d", "dir", 0o700)]]
    )
    assert set(image_tree(store, image)) == {"a/b/c", "d", "d/e"}
