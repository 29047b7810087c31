"""A build remembers what it makes under its inputs and the version of the kind of result: code that
makes other bytes of the same input needs another version, or builds keep what the old one made.

Who changes the bytes raises the version in `compos.image.derived_kinds`, and writes both below.
Compressors are left out of it, as other versions of their libraries make other bytes and have other
keys: builds are without compression, and writers of compressed formats get a compressor of this
test's own, which halves some blocks and leaves the others.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pytest

from compos.disk import gzip_tar, qcow2, vmdk
from compos.disk.deflate import stored_blocks
from compos.disk.gzip_tar import write_gzip_tar
from compos.disk.qcow2 import write_qcow2
from compos.disk.spool import Spool
from compos.disk.vmdk import write_vmdk
from compos.filesystem import erofs, squashfs
from compos.filesystem.erofs import write_erofs
from compos.filesystem.squashfs import write_squashfs
from compos.image.derived_kinds import DerivedKind
from compos.image.platform import Platform
from compos.image.source import Images
from compos.image.store import Store
from compos.package.debian.package import parse_package
from compos.package.files import packages_tree
from compos.package.kernel import kernel_tree
from compos.package.local_package import read_package
from compos.tree import record
from compos.tree.contents import Contents
from compos.tree.node import Piece, Slice, file
from compos.tree.partial import Part, merged, save_parts
from tests.compose.systems import KERNEL_TAR, World
from tests.disk.pieces import ID, disk_pieces
from tests.filesystem.trees import sample
from tests.images import Member, layer_tar, make_image
from tests.output.systems import build
from tests.package.debian.archive_of import ar_of, deb_of, stanza, tar_of
from tests.package.kernels import BASE, KERNEL, module

IMAGES = {
    "acme/kernel:1": [
        [Member("kernel", content="KERNEL"), Member("kernel.tar", content=KERNEL_TAR)]
    ],
    "acme/init:1": [
        [
            Member("init", mode=0o755, content="#!"),
            Member("sbin", "dir", 0o755),
            Member("dev", "dir", 0o755),
            Member("dev/console", "char", 0o600, (5, 1)),
        ]
    ],
    "acme/app:1": [
        [
            Member("bin", "dir", 0o755),
            Member("bin/app", mode=0o4755, content="app", uid=7, gid=8),
            Member("bin/hard", "hardlink", content="bin/app"),
            Member("bin/soft", "symlink", 0o777, "app"),
            Member("etc/large", content="large" * 20_000),
        ],
        [Member("etc/.wh.large"), Member("etc/small", content="small")],
    ],
}


LEFT_OUT = {
    DerivedKind.LAYER: "what is decompressed has its digest in the image's config",
    DerivedKind.DEB: "what is decompressed is named by the package's digest",
    DerivedKind.PACKAGE: "what is decompressed is named by the package's digest",
    DerivedKind.INPUT: "a copy under its own digest",
    DerivedKind.HOST: "a copy under its own digest",
    DerivedKind.SBOM: "a document under its own digest; outputs have it under RESULT's version",
    DerivedKind.KERNEL_GZIP: "nothing but a compressor's bytes, whose version is in the key",
    DerivedKind.ENGINE: "the name of an image that is stored under its own digest",
    DerivedKind.SIGNATURES: "what others made, checked whenever it is used",
    DerivedKind.TRAVEL: "a digest, under the version of the compressor that made its bytes",
    DerivedKind.OUTPUT: "states of files, which no two runs share",
    DerivedKind.ACCEL: "one word, which holds until the machine is started anew",
}
"""Kinds of which nothing is compared, with the reason."""


class Made(NamedTuple):
    """The kind whose version counts, that version, and the beginning of a digest of the bytes."""

    kind: DerivedKind
    version: int
    digest: str


MADE = {
    "layer index": Made(DerivedKind.LAYER_INDEX, 3, "6fa1d45fc29a080c"),
    "tree": Made(DerivedKind.TREE, 4, "456e908319ed8b26"),
    "kernel.tar's tree": Made(DerivedKind.KERNEL_TAR, 4, "f731265ecbdf7c59"),
    "segments": Made(DerivedKind.SEGMENT, 1, "7af1218b424b84bd"),
    "os-kernel": Made(DerivedKind.RESULT, 12, "7a399d6f7f15acda"),
    "os-cmdline": Made(DerivedKind.RESULT, 12, "de3ba44f2265b1a6"),
    "os-initrd.img": Made(DerivedKind.RESULT, 12, "a68958bb5a5693d6"),
    "os.tar": Made(DerivedKind.RESULT, 12, "8c870a2ca450872f"),
    "os-erofs.img": Made(DerivedKind.RESULT, 12, "98565d7aa1052c0f"),
    "decompressed kernel": Made(DerivedKind.KERNEL, 3, "e7f12bffba7d4980"),
    "shared contents": Made(DerivedKind.CONTENTS, 2, "17e001835ceff867"),
    "image of an archive": Made(DerivedKind.LOCAL, 3, "e0cf1a035ad8d0ac"),
    "package's index": Made(DerivedKind.DEB_INDEX, 2, "8ee02cdef328c653"),
    "local package's index": Made(DerivedKind.PACKAGE_INDEX, 1, "91b8bd0bc4a55e02"),
    "brick's kernel.tar": Made(DerivedKind.KERNEL_TAR_FILE, 4, "6774a9f6d5751853"),
    "erofs": Made(DerivedKind.EROFS, 1, "bd658f6324f05873"),
    "squashfs": Made(DerivedKind.SQUASHFS, 1, "825fc47035257e8f"),
    "qcow2": Made(DerivedKind.QCOW2, 4, "b54804898d25295c"),
    "vmdk": Made(DerivedKind.VMDK, 4, "60330617d25f9a0c"),
    "gzip tar": Made(DerivedKind.GZIP_TAR, 4, "d45812d7242ba3d7"),
    "pieces": Made(DerivedKind.SPOOL, 2, "40e9b81c2895500f"),
    "parts": Made(DerivedKind.PARTIAL, 1, "65ff8a78259f75a8"),
}
"""What is made, by what it is or by the name of an output."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[bytes]]:
    """What is made, by the names of `MADE`."""
    found: dict[str, list[bytes]] = {}
    for make in (_composed, _decompressed, _imported, _packages, _modules, _written):
        found |= make(tmp_path_factory.mktemp("made"))
    return found


def _in(store: Store, kind: DerivedKind) -> list[bytes]:
    return [(store.root / name).read_bytes() for name in store.results(kind)]


def _composed(folder: Path) -> dict[str, list[bytes]]:
    """What builds of one system make, without compression."""
    world = _world(folder / "world")
    found = {
        name: [data]
        for format in ("kernel+initrd", "tar")
        for name, data in _build(world, "--format", format).items()
    }
    # In a store of its own: it has our init, too, whose bytes are the compiler's.
    other = _world(folder / "other")
    found["os-erofs.img"] = [_build(other, "--format", "kernel+erofs")["os-erofs.img"]]
    return found | {
        "layer index": _in(world.store, DerivedKind.LAYER_INDEX),
        "tree": _in(world.store, DerivedKind.TREE),
        "kernel.tar's tree": _in(world.store, DerivedKind.KERNEL_TAR),
        "segments": _in(world.store, DerivedKind.SEGMENT),
    }


def _decompressed(folder: Path) -> dict[str, list[bytes]]:
    """A compressed kernel, and a large file that two images have."""
    world = _world(folder)
    kernel = gzip.compress(b"\x7fELF" + b"kernel" * 1000)
    world.images["acme/kernel:1"] = make_image(
        world.store,
        "acme/kernel:1",
        [[Member("kernel", content=kernel), Member("kernel.tar", content=KERNEL_TAR)]],
        compression="plain",
    )
    shared = Member("lib/shared", content="shared" * 20_000)
    for name in ("acme/app:1", "acme/init:1"):
        world.images[name] = make_image(
            world.store, name, [*IMAGES[name], [shared]], compression="plain"
        )
    _build(world, "--decompress-kernel")
    return {
        "decompressed kernel": _in(world.store, DerivedKind.KERNEL),
        "shared contents": _in(world.store, DerivedKind.CONTENTS),
    }


def _world(folder: Path) -> World:
    world = World(folder)
    for name, layers in IMAGES.items():
        config = {"Entrypoint": ["/bin/app"]}
        world.images[name] = make_image(world.store, name, layers, config, compression="plain")
    return world


def _build(world: World, *options: str) -> dict[str, bytes]:
    return build(world, "--no-sbom", "--compress", "none", *options)


def _imported(folder: Path) -> dict[str, list[bytes]]:
    """An archive as `docker save` writes it."""
    layer = layer_tar([Member("bin/app", mode=0o755, content="app")])
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/app"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    listed = [{"Config": "config.json", "RepoTags": ["acme/app:1"], "Layers": ["layer.tar"]}]
    path = folder / "app.tar"
    path.write_bytes(
        layer_tar(
            [
                Member("manifest.json", content=json.dumps(listed)),
                Member("config.json", content=json.dumps(config)),
                Member("layer.tar", content=layer),
            ]
        )
    )
    store = Store(folder / "store")
    Images(store).image(f"docker-archive:{path}", Platform("linux", "amd64"))
    return {"image of an archive": _in(store, DerivedKind.LOCAL)}


def _packages(folder: Path) -> dict[str, list[bytes]]:
    archive = folder / "tool.deb"
    archive.write_bytes(deb_of({"bin/tool": b"tool", "etc/tool.conf": b"a = 1"}))
    # Not the archive's own digest, which depends on the library that compressed it.
    package = parse_package(stanza("tool", sha256="0" * 64), "trixie")
    store = Store(folder / "store")
    packages_tree(store, [package], [archive])
    # Uncompressed, as here the archive's digest counts.
    local = folder / "local.deb"
    control = tar_of({"control": b"Package: tool\nVersion: 1\n"})
    files = tar_of({"bin/tool": b"tool", "boot/vmlinuz": b"kernel"})
    local.write_bytes(ar_of({"debian-binary": b"2.0\n", "control.tar": control, "data.tar": files}))
    read_package(store, local)
    return {
        "package's index": _in(store, DerivedKind.DEB_INDEX),
        "local package's index": _in(store, DerivedKind.PACKAGE_INDEX),
    }


def _modules(folder: Path) -> dict[str, list[bytes]]:
    modules = {
        f"{BASE}/kernel/a.ko": file(module(), 0o644, 0),
        f"{BASE}/kernel/b.ko.gz": file(gzip.compress(module(body=b"b")), 0o644, 0),
        f"{BASE}/modules.order": file(b"kernel/b.ko.gz\n", 0o644, 0),
    }
    store = Store(folder / "store")
    kernel_tree(store, {**KERNEL, **modules}, "brick", architecture="amd64")
    return {"brick's kernel.tar": _in(store, DerivedKind.KERNEL_TAR_FILE)}


def _written(folder: Path) -> dict[str, list[bytes]]:
    """What writers of compressed formats make of one tree and one disk."""
    tree, disk = sample(folder), disk_pieces(folder)
    with pytest.MonkeyPatch.context() as patch, Contents(folder) as contents:
        patch.setattr(erofs, "zstd_block", _halved)
        patch.setattr(squashfs, "block_compressor", lambda name, size: _halved)
        patch.setattr(qcow2, "zstd_compressed", _halved)
        patch.setattr(vmdk, "_compressed", _halved)
        patch.setattr(gzip_tar, "_packed", _part)
        found = {
            "erofs": _file(lambda out: write_erofs(tree, contents, out, uuid=ID)),
            "squashfs": _file(lambda out: write_squashfs(tree, contents, out, compression="zstd")),
            "qcow2": _file(lambda out: write_qcow2(disk, contents, out, compression="zstd")),
            "vmdk": _spool(lambda out: write_vmdk(disk, contents, out, identity=ID)),
            "gzip tar": _spool(lambda out: write_gzip_tar("disk.raw", disk, contents, out)),
        }
    record.save_groups(folder / "pieces", DerivedKind.SPOOL, [("", disk)], ["digest"])
    found["pieces"] = (folder / "pieces").read_bytes()
    with Contents(folder) as contents:
        parts = merged([Part(2, 3), Part(20_000, 7), Part(4, 6)])
        save_parts(folder / "parts", contents, "pieces", merged([Part(1, 3), Part(3, 9)]))
    found["parts"] = (folder / "parts").read_bytes() + repr(parts).encode()
    return {name: [data] for name, data in found.items()}


def _halved(data: bytes) -> bytes:
    """Half of what begins with an even byte; the rest does not shrink."""
    return data if data and data[0] % 2 else data[: len(data) // 2]


def _part(chunk: tuple[bytes | Slice, bytes]) -> Sequence[Piece]:
    content, _ = chunk
    return [*stored_blocks(content)] if isinstance(content, Slice) else [_halved(content)]


def _file(write: Callable[[BinaryIO], int]) -> bytes:
    out = io.BytesIO()
    assert write(out) == len(out.getvalue())
    return out.getvalue()


def _spool(write: Callable[[Spool], None]) -> bytes:
    """What is made, and how it lies between slices of other files."""
    out = io.BytesIO()
    spool = Spool(out, "spool")
    write(spool)
    return out.getvalue() + repr(spool.finish()).encode()


@pytest.mark.parametrize("name", MADE)
def test_other_bytes_have_another_version(made: Mapping[str, list[bytes]], name: str) -> None:
    kind, version, digest = MADE[name]
    assert made[name], "nothing is compared"
    whole = hashlib.sha256()
    for data in sorted(made[name]):
        whole.update(hashlib.sha256(data).digest())
    found = whole.hexdigest()[:16]
    where = f"the version of {kind} (compos.image.derived_kinds)"
    assert found == digest or version != kind.version, f"{name} has other bytes: raise {where}"
    assert (kind.version, found) == (version, digest), f"{where} is new: write it here"


def test_every_kind_is_compared_or_left_out_with_a_reason() -> None:
    compared = {made.kind for made in MADE.values()}
    assert compared | set(LEFT_OUT) == set(DerivedKind)
    assert not compared & set(LEFT_OUT)


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_what_is_left_out_has_no_version_to_raise(kind: DerivedKind) -> None:
    assert not kind.version or kind is DerivedKind.OUTPUT
