"""Kernel images out of a kernel's package: what is in them, and what cannot be one."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from pathlib import Path

import pytest

from compos.errors import PackageError
from compos.image.store import Store
from compos.package.kernel import kernel_tree
from compos.tree.contents import Contents
from compos.tree.node import Node, Tree, file, symlink
from compos.zstd import zstd
from tests.package.kernels import BASE, KERNEL


def members(store: Store, tree: Tree) -> dict[str, bytes]:
    with Contents(store.root) as contents:
        data = b"".join(contents.chunks(tree["kernel.tar"].content))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = [member for member in archive if member.isfile()]
        return {member.name: archive.extractfile(member).read() for member in files}  # type: ignore[union-attr]


def test_modules_lose_their_compression(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    modules = {
        f"{BASE}/kernel/a.ko": file(b"a", 0o644, 0),
        f"{BASE}/kernel/b.ko.xz": file(lzma.compress(b"b"), 0o644, 0),
        f"{BASE}/kernel/c.ko.gz": file(gzip.compress(b"c"), 0o644, 0),
        f"{BASE}/kernel/d.ko.zst": file(zstd.compress(b"d"), 0o644, 0),
        f"{BASE}/modules.order": file(b"kernel/c.ko.gz\nkernel/b.ko.xz\n", 0o644, 0),
        "usr/lib/linux-image-6.12/vendor/board.dtb": file(b"tree", 0o644, 0),
    }
    tree = kernel_tree(store, {**KERNEL, **modules}, "brick")
    found = members(store, tree)
    for name in "abcd":
        assert found[f"lib/modules/6.12/kernel/{name}.ko"] == name.encode()
    assert found["lib/modules/6.12/modules.order"] == b"kernel/c.ko\nkernel/b.ko\n"
    assert found["boot/dtb/vendor/board.dtb"] == b"tree"
    assert tree["kernel"].mode == 0o644


BOMB = lzma.compress(bytes(129 << 20), preset=0)


@pytest.mark.parametrize(
    ("path", "node"),
    [
        ("boot/vmlinuz-6.12", symlink("/etc/passwd", 0)),
        (f"{BASE}/a.ko.xz", file(lzma.compress(b"b" * 1000)[:-20], 0o644, 0)),
        (f"{BASE}/a.ko.gz", file(gzip.compress(b"b" * 1000)[:-20], 0o644, 0)),
        (f"{BASE}/a.ko.zst", file(zstd.compress(b"b" * 1000)[:-3], 0o644, 0)),
        (f"{BASE}/a.ko.xz", file(BOMB, 0o644, 0)),
        (f"{BASE}/a.ko", Node("f", 0o644, size=1 << 40, content=())),
        (f"{BASE}/\udcff.ko", file(b"", 0o644, 0)),
        (f"{BASE}/modules.builtin.modinfo", Node("f", 0o644, size=1 << 40, content=())),
    ],
)
def test_what_cannot_be_a_kernel(tmp_path: Path, path: str, node: Node) -> None:
    with pytest.raises(PackageError) as caught:
        kernel_tree(Store(tmp_path / "store"), {**KERNEL, path: node}, "brick")
    assert caught.value.id == "brick-kernel"


@pytest.mark.parametrize("missing", KERNEL)
def test_what_is_missing(tmp_path: Path, missing: str) -> None:
    rest = {path: node for path, node in KERNEL.items() if path != missing}
    with pytest.raises(PackageError) as caught:
        kernel_tree(Store(tmp_path / "store"), rest, "brick")
    assert caught.value.id == "brick-kernel"
