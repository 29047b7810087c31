"""A build remembers what it makes under its inputs and the version of the kind of result: code that
makes other bytes of the same input needs another version, or builds keep what the old one made.

Who changes the bytes raises the version, and writes both below. Left out is what lies under the
digest of its own bytes (`layer`, `host`, `sbom`), and what consists of a compression library's bytes
(squashfs, disks in containers): other versions of that library make others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from compos.image.derived_kinds import DerivedKind
from tests.compose.systems import KERNEL_TAR, World
from tests.images import Member, make_image
from tests.output.test_build import build

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

MADE = {
    "layer-index": (DerivedKind.LAYER_INDEX, 3, "6fa1d45fc29a080c"),
    "tree": (DerivedKind.TREE, 3, "d95a70be5782362c"),
    "kernel-tar": (DerivedKind.KERNEL_TAR, 3, "56a35f0de3251f87"),
    "segment": (DerivedKind.SEGMENT, 1, "7af1218b424b84bd"),
    "os-kernel": (DerivedKind.RESULT, 7, "7a399d6f7f15acda"),
    "os-cmdline": (DerivedKind.RESULT, 7, "de3ba44f2265b1a6"),
    "os-initrd.img": (DerivedKind.RESULT, 7, "a68958bb5a5693d6"),
    "os.tar": (DerivedKind.RESULT, 7, "8c870a2ca450872f"),
    "os-erofs.img": (DerivedKind.RESULT, 7, "98565d7aa1052c0f"),
}
"""What is made, by the folder of derived results or the name of an output: the kind that has the
version, the version, and the beginning of a digest of the bytes."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[bytes]]:
    """What builds of one system make, without compression, by the names of `MADE`."""
    found: dict[str, list[bytes]] = {}
    world = _world(tmp_path_factory.mktemp("world"))
    for format in ("kernel+initrd", "tar"):
        for name, data in _build(world, format).items():
            found[name] = [data]
    for path in (world.store.root / "derived").glob("*/*"):
        found.setdefault(path.parent.name, []).append(path.read_bytes())
    # In a store of its own: it has our init, too, whose bytes are the compiler's.
    other = _world(tmp_path_factory.mktemp("other"))
    found["os-erofs.img"] = [_build(other, "kernel+erofs")["os-erofs.img"]]
    return found


def _world(folder: Path) -> World:
    world = World(folder)
    for name, layers in IMAGES.items():
        config = {"Entrypoint": ["/bin/app"]}
        world.images[name] = make_image(world.store, name, layers, config, compression="plain")
    return world


def _build(world: World, format: str) -> dict[str, bytes]:
    return build(world, "--no-sbom", "--compress", "none", "--format", format)


@pytest.mark.parametrize("name", MADE)
def test_other_bytes_have_another_version(made: Mapping[str, list[bytes]], name: str) -> None:
    kind, version, digest = MADE[name]
    whole = hashlib.sha256()
    for data in sorted(made[name]):
        whole.update(hashlib.sha256(data).digest())
    found = whole.hexdigest()[:16]
    where = f"the version of {kind} (compos.image.derived_kinds)"
    assert found == digest or version != kind.version, f"{name} has other bytes: raise {where}"
    assert (kind.version, found) == (version, digest), f"{where} is new: write it here"
