"""FAT and ISO 9660 mounted by a guest's kernel (this machine's has neither): contents, and what
each can say of a file."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.filesystem.fat import fat_image
from compos.filesystem.iso9660 import IsoLayout
from compos.tree.contents import Contents
from compos.tree.node import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    EPOCH,
    FIFO,
    FILE,
    SYMLINK,
    Hole,
    Node,
    Piece,
    directory,
    file,
)
from tests.filesystem.trees import blob
from tests.guest import Guest

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot-disks")]

SYSTEM = """
kernel:
  image: compos/kernel:v1
  cmdline: "console=ttyS0"
init:
  - compos/init:v1
  - compos/runc:v1
onboot:
  - name: read
    image: compos/busybox:v1
    capabilities: [all]
    devices:
      - {path: all, type: b}
    binds:
      - /dev:/dev
      - /lib/modules:/lib/modules
    tmpfs: [/mnt]
    command:
      - /bin/sh
      - -c
      - |
        modprobe -a vfat isofs nls_ascii nls_cp437
        mkdir /mnt/fat /mnt/iso
        # Which disk is found first is chance.
        fat=sda iso=sdb
        mount -t vfat -o ro /dev/$fat /mnt/fat || { fat=sdb iso=sda; mount -t vfat -o ro /dev/$fat /mnt/fat; }
        cd /mnt/fat && find . -type f -exec sha256sum '{}' +
        mount -t iso9660 -o ro /dev/$iso /mnt/iso && cd /mnt/iso && find . -type f -exec sha256sum '{}' +
        find . -exec stat -c '%n|%f|%u|%g|%Y|%t|%T|' '{}' +
        readlink way
        readlink far | sha256sum
        echo all read
"""
TYPES = {
    FILE: stat.S_IFREG,
    DIRECTORY: stat.S_IFDIR,
    SYMLINK: stat.S_IFLNK,
    CHARACTER: stat.S_IFCHR,
    BLOCK: stat.S_IFBLK,
    FIFO: stat.S_IFIFO,
}


def tree(store: Path) -> list[tuple[str, Node]]:
    big = blob(store, bytes(range(256)) * 40_000)
    nodes = {
        "docs": directory(0o755, EPOCH),
        "docs/A rather long name, with commas.text": file(b"long\n", 0o640, EPOCH, uid=7, gid=8),
        "docs/deep": directory(0o700, EPOCH),
        "docs/deep/kernel": Node(FILE, 0o755, mtime=EPOCH, size=big.size, content=(big,)),
        "docs/" + "n" * 200: file(b"n", 0o644, EPOCH),
        "empty": file(b"", 0o644, EPOCH),
        "sparse": Node(
            FILE, 0o644, mtime=EPOCH, size=5_000_005, content=(Hole(5_000_000), b"after")
        ),
    }
    return sorted(nodes.items())


FAR = "/".join(["part" * 20] * 51)[:4095]
"""The longest link that Linux has, in many fields and sectors of an ISO image."""


def special() -> list[tuple[str, Node]]:
    return [
        ("disk", Node(BLOCK, 0o660, mtime=EPOCH, device=(4095, 1_048_575))),
        ("far", Node(SYMLINK, 0o777, mtime=EPOCH, link=FAR)),
        ("l" * 253, file(b"", 0o644, EPOCH)),
        ("null", Node(CHARACTER, 0o666, mtime=EPOCH, device=(1, 3))),
        ("pipe", Node(FIFO, 0o600, 5, 6, EPOCH)),
        ("sda300", Node(BLOCK, 0o660, 0, 6, EPOCH, device=(259, 300))),
        ("way", Node(SYMLINK, 0o777, mtime=EPOCH, link="docs/deep/../deep/kernel")),
    ]


def write(pieces: list[Piece], path: Path, store: Path) -> Path:
    with path.open("wb") as out, Contents(store) as contents:
        contents.copy(pieces, out.fileno())
        out.truncate(-(-out.tell() // 512) * 512)
    return path


def test_a_kernel_reads_them(built: Callable[[str], Path], tmp_path: Path) -> None:
    entries = tree(tmp_path)
    fat = write(fat_image(entries, serial=1).pieces, tmp_path / "fat.raw", tmp_path)
    posix = sorted((*entries, *special()))
    iso = write(list(IsoLayout(posix, volume="TEST").pieces()), tmp_path / "iso.raw", tmp_path)
    sums = []
    with Contents(tmp_path) as contents:
        for path, node in entries:
            if node.kind == FILE:
                digest = hashlib.sha256(b"".join(contents.chunks(node.content))).hexdigest()
                sums.append(f"{digest}  ./{path}")
    log = tmp_path / "console.log"
    options = ["--disk", str(fat), "--disk", str(iso), "--state", f"{tmp_path}/state"]
    with Guest(built(SYSTEM), *options, log=log) as guest:
        guest.expect("all read", 120)
        told = guest.text().replace("\r", "")
    for line in sums:
        assert told.count(line) == 2, line
    for path, node in posix:
        major, minor = node.device
        mode = TYPES[node.kind] | node.mode
        assert (
            f"./{path}|{mode:x}|{node.uid}|{node.gid}|{EPOCH // 10**9}|{major:x}|{minor:x}|" in told
        ), path
    assert "docs/deep/../deep/kernel\n" in told
    far = hashlib.sha256(f"{FAR}\n".encode()).hexdigest()
    assert f"{far}  -\n" in told
