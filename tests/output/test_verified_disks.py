"""Disks whose root is verified: systemd-dissect and systemd-id128 know the partitions of a GPT,
and veritysetup finds data, tree and root hash by nothing but the partition table. Where the tree is
behind the data, the finder's description has the root hash."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from compos.disk.discoverable import ROOTS
from tests.compose.systems import World
from tests.output.bootable import filled
from tests.output.test_formats import DISKS, build

SECTOR = 512
SYSTEMD = {"amd64": "x86-64", "arm64": "arm64", "riscv64": "riscv64"}
"""Architectures as the specification spells them."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return filled(World(tmp_path))


def raw_disk(world: World, *options: str) -> Path:
    """A disk as raw, whatever contains it."""
    out = build(world, *options)
    (image,) = [path for path in out.iterdir() if path.suffix != ".ova"] or out.iterdir()
    if image.suffix == ".ova":
        subprocess.run(["tar", "-xf", image, "-C", out], check=True)
        image = next(out.glob("*.vmdk"))
    raw = world.folder / "disk.raw"
    line = ["qemu-img", "convert", "-O", "raw", str(image), str(raw)]
    subprocess.run(line, check=True)
    return raw


def partitions(disk: Path) -> tuple[str, list[dict[str, Any]]]:
    """The kind of the table, and its partitions."""
    line = ["sfdisk", "--json", str(disk)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    table = json.loads(done.stdout)["partitiontable"]
    return table["label"], table["partitions"]


def part(disk: Path, partition: dict[str, Any], name: str) -> Path:
    with disk.open("rb") as stream:
        stream.seek(partition["start"] * SECTOR)
        path = disk.with_name(name)
        path.write_bytes(stream.read(partition["size"] * SECTOR))
    return path


def verifies(data: Path, tree: Path, root: str, *options: str) -> bool:
    line = ["veritysetup", "verify", *options, str(data), str(tree), root]
    return subprocess.run(line, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("form", DISKS)
def test_the_table_leads_to_what_verifies(form: str, world: World) -> None:
    disk = raw_disk(world, "-f", form, "--root", "erofs-verity", "--size", "64M")
    label, found = partitions(disk)
    if label == "dos":
        # This table has neither types nor ids for it: the tree is behind the data.
        assert len(found) == 2
        assert b"verity\0\0" in part(disk, found[1], "root").read_bytes()
        return
    types = ROOTS["amd64"]
    data, tree = (
        next(one for one in found if UUID(one["type"]) == kind)
        for kind in (types.data, types.verity)
    )
    assert data["attrs"] == tree["attrs"] == "GUID:60"
    root = f"{UUID(data['uuid']).hex}{UUID(tree['uuid']).hex}"
    paths = (part(disk, data, "root"), part(disk, tree, "tree"))
    assert verifies(*paths, root)
    for path in paths:
        whole = path.read_bytes()
        path.write_bytes(whole[:5000] + bytes((whole[5000] ^ 1,)) + whole[5001:])
        assert not verifies(*paths, root), path.name
        path.write_bytes(whole)


@pytest.mark.parametrize(("kind", "trees"), [("squashfs-verity", 2), ("erofs-verity-appended", 1)])
def test_other_kinds(kind: str, trees: int, world: World) -> None:
    disk = raw_disk(world, "-f", "raw-efi", "--root", kind)
    found = [one for one in partitions(disk)[1] if "root" in one.get("name", "")]
    assert len(found) == trees
    root = part(disk, found[0], "root")
    if trees == 2:
        tree = part(disk, found[1], "tree")
        halves = "".join(UUID(one["uuid"]).hex for one in found)
        assert verifies(root, tree, halves)
        superblock = root.read_bytes()[:4]
        assert superblock == b"hsqs"
        return
    data = root.read_bytes()
    offset = data.index(b"verity\0\0\1")
    line = ["veritysetup", "dump", str(root), f"--hash-offset={offset}"]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert f"Data blocks:     \t{offset // 4096}" in said


def test_types_are_those_of_systemd() -> None:
    done = subprocess.run(["systemd-id128", "show"], capture_output=True, text=True, check=True)
    known = dict(line.split() for line in done.stdout.splitlines() if line.startswith("root-"))
    for architecture, types in ROOTS.items():
        name = f"root-{SYSTEMD[architecture]}"
        assert (types.data.hex, types.verity.hex) == (known[name], known[f"{name}-verity"])


@pytest.mark.root
def test_systemd_dissect(world: World) -> None:
    """It needs loop devices."""
    disk = raw_disk(world, "-f", "raw-efi", "--root", "erofs-verity")
    data, tree = (one for one in partitions(disk)[1] if "root" in one["name"])
    root = f"{UUID(data['uuid']).hex}{UUID(tree['uuid']).hex}"
    line = ["systemd-dissect", "--json=short", f"--root-hash={root}", str(disk)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    found = {one["designator"]: one for one in json.loads(done.stdout)["mounts"]}
    assert found.keys() == {"root", "root-verity", "esp"}
    assert (found["root"]["verity"], found["root"]["rw"]) == ("yes", "ro")
    assert found["root"]["architecture"] == "x86-64"
    assert found["root-verity"]["fstype"] == "DM_verity_hash"
