"""A small system that every format takes: its kernel looks like one that firmware starts, and the
images that formats need are there."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from compos.image.names import ORIGIN
from compos.image.platform import Platform
from compos.image.reference import Reference
from tests.compose.systems import World
from tests.images import AMD64, Member, layer_tar, make_image

__all__ = ["STUB", "YAML", "bzimage", "filled", "tool"]

YAML = """
kernel: {image: 'acme/bzimage:1', cmdline: 'console=ttyS0 quote="a b"', ucode: ucode.cpio}
init: ['acme/init:1']
services:
  - {name: web, image: 'acme/app:1'}
files:
  - {path: etc/motd, contents: hello, mode: '0644'}
"""
STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")


def bzimage(machine: int = 0x8664) -> bytes:
    """What a loader and a UEFI look at in a kernel, and noise behind it."""
    data = bytearray(b"MZ" + bytes(0x3FE) + bytes(range(256)) * 4000)
    struct.pack_into("<I", data, 60, 0x40)
    struct.pack_into("<4sH", data, 0x40, b"PE\0\0", machine)
    struct.pack_into("<BHIIHBI", data, 0x1F1, 1, 0, 0, 0, 0, 0, 0)
    struct.pack_into("<H", data, 0x1FE, 0xAA55)
    struct.pack_into("<4sH", data, 0x202, b"HdrS", 0x20F)
    data[0x211] = 1
    struct.pack_into("<I", data, 0x22C, 0x7FFFFFFF)
    struct.pack_into("<I", data, 0x238, 2047)
    struct.pack_into("<QI", data, 0x258, 0x1000000, 0x2000000)
    return bytes(data)


def tool(world: World, name: str, members: Sequence[Member], platform: Platform = AMD64) -> None:
    """An image of formats, as from a registry of bricks: a name of ours alone does not let it
    in."""
    make_image(world.store, name, [members], platform=platform)
    name = str(Reference.parse(name))
    world.store.tag(name, world.store.named(name), annotations={ORIGIN: "registry of bricks"})


def filled(world: World) -> World:
    modules = layer_tar(
        [
            Member("lib", "dir", 0o755),
            Member(
                "lib/modules/6.1/modules.dep",
                content="kernel/erofs.ko: kernel/crc.ko\nkernel/crc.ko:\nkernel/other.ko:\n",
            ),
            Member(
                "lib/modules/6.1/modules.alias", content="alias fs-erofs erofs\nalias x other\n"
            ),
            Member("lib/modules/6.1/kernel/erofs.ko", content="erofs"),
            Member("lib/modules/6.1/kernel/crc.ko", content="crc"),
            Member("lib/modules/6.1/kernel/other.ko", content="other"),
            Member("boot/dtb/broadcom/bcm2837-rpi-3-b.dtb", content="tree"),
        ]
    )
    kernel = [
        Member("kernel", content=bzimage()),
        Member("kernel.tar", content=modules),
        Member("ucode.cpio", content="UCODE"),
    ]
    make_image(world.store, "acme/bzimage:1", [kernel])
    stub = [Member("usr/lib/systemd/boot/efi/linuxx64.efi.stub", content=STUB.read_bytes())]
    tool(world, "docker.io/compos/efi-stub:v1", stub)
    tool(world, "docker.io/compos/init:v1", [Member("init", mode=0o755, content="our init")])
    tool(world, "docker.io/compos/crun:v1", [Member("usr/bin/crun", mode=0o755, content="crun")])
    opener = [Member("usr/bin/data-partition", mode=0o755, content="opener")]
    tool(world, "docker.io/compos/data-partition:v1", opener)
    installer = [Member("usr/bin/installer", mode=0o755, content="installer")]
    tool(world, "docker.io/compos/installer:v1", installer)
    return world
