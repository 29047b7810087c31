"""Which kernel modules are in an initramfs: GNU cpio and the compressors make it, one after the
other as the kernel takes them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from compos.cloud.initramfs import modules_of

COMPRESSORS: dict[str, Sequence[str]] = {
    "none": ("cat",),
    "gzip": ("gzip", "-c"),
    "zstd": ("zstd", "-c", "-q"),
    "xz": ("xz", "-c", "--check=crc32"),
}


def archive(folder: Path, names: Sequence[str], builtin: str = "") -> bytes:
    folder.mkdir()
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"module " + name.encode() * 50)
    if builtin:
        (folder / "lib/modules/6.1").mkdir(parents=True, exist_ok=True)
        (folder / "lib/modules/6.1/modules.builtin").write_text(builtin)
    files = subprocess.run(["find", "."], cwd=folder, capture_output=True, check=True).stdout
    line = ["cpio", "-o", "-H", "newc", "--quiet"]
    return subprocess.run(line, cwd=folder, input=files, capture_output=True, check=True).stdout


def compressed(name: str, data: bytes) -> bytes:
    return subprocess.run(COMPRESSORS[name], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_modules_and_what_is_built_in(tmp_path: Path, compressor: str) -> None:
    first = archive(
        tmp_path / "a",
        ["lib/modules/6.1/kernel/nvme-core.ko", "lib/modules/6.1/kernel/ena.ko.zst", "etc/x.ko"],
    )
    second = archive(tmp_path / "b", ["bin/sh"], "kernel/drivers/block/virtio_blk.ko\n")
    data = compressed("none", first) + bytes(512) + compressed(compressor, second)
    for size in (7, 4096, len(data)):
        chunks = (data[at : at + size] for at in range(0, len(data), size))
        assert modules_of(chunks) == {"nvme_core", "ena", "virtio_blk"}


@pytest.mark.parametrize(
    "data", [b"", b"not an initramfs", b"\x1f\x8bnot gzip", b"070701" + b"z" * 200, b"070701"]
)
def test_what_is_none_is_unknown(data: bytes) -> None:
    assert modules_of(iter([data])) is None


def test_an_initramfs_that_is_cut_off_is_unknown(tmp_path: Path) -> None:
    whole = compressed("zstd", archive(tmp_path / "a", ["lib/modules/6.1/kernel/nvme.ko"]))
    assert modules_of(iter([whole[:-9]])) is None
