"""A kernel is unpacked once, whoever wants it plain."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from compos.compose.kernel_image import KernelImageError
from compos.compose.plain_kernel import stored_plain_kernel
from compos.image.digest import Digest
from compos.image.store import Store
from compos.tree.contents import Contents
from compos.tree.node import Piece, Slice

PLAIN = b"\x7fELF" + bytes(5000)


def put(store: Store, data: bytes) -> tuple[Piece, ...]:
    source = Digest.parse(store.put(data, "text/plain").digest).path
    return (Slice(source, 0, 10), Slice(source, 10, len(data) - 10))


def kernels(store: Store) -> list[Path]:
    return sorted((store.root / "derived").glob("kernel/*"))


def test_unpacked_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kernel = put(store, gzip.compress(PLAIN))
    (made,) = stored_plain_kernel(store, kernel)
    with Contents(store.root) as contents:
        assert b"".join(contents.chunks((made,))) == PLAIN
    (path,) = kernels(store)
    before = path.stat().st_mtime_ns, path.stat().st_ino
    assert stored_plain_kernel(store, kernel) == (made,)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    other = put(store, gzip.compress(PLAIN + b"x"))
    assert stored_plain_kernel(store, other) != (made,)
    assert len(kernels(store)) == 2


def test_a_plain_one_is_not_stored_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kernel = put(store, PLAIN)
    assert stored_plain_kernel(store, kernel) == kernel
    assert kernels(store) == []


def test_what_is_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KernelImageError):
        stored_plain_kernel(store, put(store, b"not a kernel, by its looks"))
    assert kernels(store) == []
