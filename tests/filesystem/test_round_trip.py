"""From a layer's bytes to every format and back: the same tree, or an error by name, and an image
that its checker likes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from compos.compose.component import Component, union
from compos.compose.root import apart, prefixed
from compos.errors import ComposError
from compos.filesystem.cpio import cpio_pieces
from compos.image.model import LAYER_TAR, Image, ImageConfig
from compos.image.store import Store
from compos.tree.contents import Contents, piece_size
from compos.tree.flatten import image_tree
from compos.tree.node import Node, Tree
from tests import initramfs
from tests.filesystem.formats import FORMATS, MAX_READ, Format, differences
from tests.filesystem.layers import layers

Entries = list[tuple[str, Node]]
EXAMPLES, EACH = int(os.environ.get("COMPOS_TEST_ROUND_TRIPS", "3")), 32
"""Images, and layers in each: mounting takes longer than writing."""


def read_layers(store: Store, *tars: bytes) -> Tree | None:
    """What an image of these layers holds; None when one is refused by name."""
    blobs = tuple(store.put(tar, LAYER_TAR) for tar in tars)
    try:
        tree = image_tree(
            store,
            Image("example/app:1", "sha256:" + "0" * 64, ImageConfig("amd64", "linux"), blobs, ""),
        )
    except ComposError:
        return None
    return dict(tree.items())


def rooted(tree: Tree) -> Entries:
    """With the folders that no layer names, as composing lays it down."""
    return [(path, node) for path, node, _ in union([Component("init[0]", "x", tree)]).nodes]


def holds(form: Format, entries: Entries, folder: Path) -> bool:
    """Whether the format takes the tree; anything but an error by name is a fault."""
    try:
        form.write(entries, folder / "alone", folder)
    except ComposError:
        return False
    return (folder / "alone").stat().st_size < MAX_READ or form.name.startswith(
        ("erofs", "squashfs", "ext4")
    )


@pytest.mark.root
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.generate],
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(tars=st.lists(layers(), min_size=EACH, max_size=EACH))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, tars: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    store = Store(folder)
    found = [tree for tar in tars if (tree := read_layers(store, tar)) is not None]
    for form in FORMATS:
        whole: Tree = {}
        for number, tree in enumerate(found):
            if holds(form, rooted(tree), folder):
                whole.update(prefixed(f"t{number:02}", dict(tree)))
        entries = rooted(whole)
        image = folder / f"image {form.name}"
        form.write(entries, image, folder)
        if image.stat().st_size >= MAX_READ and form.name.startswith(
            ("initramfs", "cpio", "tar", "iso")
        ):
            continue
        assert differences(form, entries, form.read(image, folder / form.name), folder) == []


@pytest.mark.slow
@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.generate],
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(tars=st.lists(layers(), min_size=2, max_size=5))
def test_archives_of_components_give_the_root(
    tmp_path_factory: pytest.TempPathFactory, tars: list[bytes]
) -> None:
    """One archive a component, one after another, as the kernel reads them."""
    folder = tmp_path_factory.mktemp("segments")
    store = Store(folder)
    trees = [tree for tar in tars if (tree := read_layers(store, tar)) is not None]
    try:
        root = union(
            [
                Component(f"init[{number}]", "x", apart(str(number), tree))
                for number, tree in enumerate(trees)
            ]
        )
        pieces = [piece for _, nodes in root.segments if nodes for piece in cpio_pieces(nodes)]
    except ComposError:
        return
    if sum(map(piece_size, pieces)) >= MAX_READ:
        return
    with Contents(folder) as contents:
        initrd = b"".join(contents.chunks(pieces))
    entries = [(path, node) for path, node, _ in root.nodes]
    assert differences(FORMATS[0], entries, initramfs.unpacked(initrd), folder) == []
