"""What disks say of themselves, and which clouds would not run them: disks of every container, made
by compos and wrapped by qemu-img; damaged ones."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.cli.main import main
from compos.cloud.check import checked_image, find_file
from compos.cloud.contents import contents_of
from compos.disk.disk_file import open_disk
from compos.disk.sparse_disks import DamagedDisk
from compos.errors import CloudUnfit
from tests.compose.systems import World
from tests.images import Member, layer_tar, make_image
from tests.output.bootable import YAML, bzimage, filled

ALL = ("nvme", "ena", "hv-storvsc", "hv_netvsc", "virtio_scsi", "virtio_net", "virtio_blk")
FORMATS = "aws,raw-efi,qcow2,gcp,vhd"
FILES = {
    "aws": "os.raw",
    "azure": "os.vhd",
    "gcp": "os.img.tar.gz",
    "openstack": "os.qcow2",
}


def built(folder: Path, modules: tuple[str, ...], formats: str = FORMATS) -> Path:
    """A system whose kernel has `modules`; the last one is built in."""
    folder.mkdir()
    world = filled(World(folder))
    files = [
        Member("lib", "dir", 0o755),
        Member("lib/modules/6.1/modules.dep", content=""),
        Member("lib/modules/6.1/modules.builtin", content=f"kernel/drivers/{modules[-1]}.ko\n"),
        *(Member(f"lib/modules/6.1/kernel/{name}.ko", content=name) for name in modules[:-1]),
    ]
    kernel = [
        Member("kernel", content=bzimage()),
        Member("kernel.tar", content=layer_tar(files)),
        Member("ucode.cpio", content="0707010000000000000000"),
    ]
    make_image(world.store, "acme/bzimage:1", [kernel])
    text = YAML.replace(", ucode: ucode.cpio", "")
    (folder / "os.yml").write_text(text)
    out = folder / "out"
    out.mkdir()
    line = ["build", *world.flags, "--dir", str(out), "-f", formats, str(folder / "os.yml")]
    assert main(line) == 0
    return out


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("disks") / "all", ALL)


@pytest.mark.slow
@pytest.mark.parametrize("provider", FILES)
def test_a_disk_with_drivers_is_taken(disks: Path, provider: str) -> None:
    image = checked_image(provider, disks / FILES[provider])
    assert image.drivers is not None
    assert {name.replace("-", "_") for name in ALL} <= image.drivers
    assert image.architecture == "amd64"
    assert image.firmware == {"bios"} if provider == "aws" else {"bios", "efi"}
    assert image.name == "os"


@pytest.mark.parametrize(
    ("provider", "lacking", "word"),
    [
        ("aws", "nvme", "disk"),
        ("aws", "ena", "network"),
        ("azure", "hv-storvsc", "disk"),
        ("azure", "hv_netvsc", "network"),
        ("gcp", "virtio_scsi", "disk"),
        ("openstack", "virtio_net", "network"),
    ],
)
def test_a_disk_without_a_driver_is_refused(
    tmp_path: Path, provider: str, lacking: str, word: str
) -> None:
    left = tuple(
        name
        for name in ALL
        if name != lacking and not (lacking in ("virtio_scsi", "hv-storvsc") and name == "nvme")
    )
    formats = {"aws": "aws", "azure": "vhd", "gcp": "gcp", "openstack": "qcow2"}
    out = built(tmp_path / "world", left, formats[provider])
    path = out / FILES[provider]
    with pytest.raises(CloudUnfit, match=f"no driver for {provider}'s {word}s"):
        checked_image(provider, path)
    if provider == "openstack":
        checked_image(provider, path, check=False)


@pytest.mark.parametrize(
    ("form", "container", "name"),
    [
        ("qcow2", "qcow2", "x.qcow2"),
        ("vpc", "dynamic-vhd", "x.vhd"),
        ("vmdk", "vmdk", "x.vmdk"),
        ("vhdx", "vhdx", "x.vhdx"),
    ],
)
def test_containers_are_recognised(
    disks: Path, tmp_path: Path, form: str, container: str, name: str
) -> None:
    raw = disks / "os-efi.img"
    out = tmp_path / name
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", form, raw, out], check=True)
    with open_disk(out) as found:
        assert found.container == container
        with open_disk(raw) as other:
            assert contents_of(found.disk) == contents_of(other.disk)


def test_a_qcow2_with_compressed_clusters_is_read(disks: Path, tmp_path: Path) -> None:
    for number, kind in enumerate(("zlib", "zstd")):
        out = tmp_path / f"{number}.qcow2"
        line = ["qemu-img", "convert", "-c", "-O", "qcow2", "-o", f"compression_type={kind}"]
        subprocess.run([*line, "-f", "raw", disks / "os-efi.img", out], check=True)
        with open_disk(out) as found:
            assert "nvme" in (contents_of(found.disk).drivers or ())


@pytest.mark.parametrize(
    ("provider", "name", "reason"),
    [
        ("aws", "os.qcow2", "it is a qcow2, and aws takes raw"),
        ("azure", "os.raw", "it is a raw, and azure takes vhd"),
        ("gcp", "os.vhd", "it is a vhd, and gcp takes gcp"),
    ],
)
def test_another_container_is_refused(disks: Path, provider: str, name: str, reason: str) -> None:
    with pytest.raises(CloudUnfit, match=reason):
        checked_image(provider, disks / name)


def test_firmware_decides(disks: Path) -> None:
    with pytest.raises(
        CloudUnfit, match="a BIOS can start this disk, but at aws UEFI would have to"
    ):
        checked_image("aws", disks / "os.raw", uefi=True)
    assert checked_image("aws", disks / "os-efi.img", uefi=True).firmware == {"efi"}


@pytest.mark.slow
def test_sizes_are_checked(disks: Path, tmp_path: Path) -> None:
    data = bytearray((disks / "os.vhd").read_bytes()[:4096] + bytes(1000 - 512))
    footer = bytearray(512)
    footer[:8], footer[63] = b"conectix", 2
    footer[48:56] = len(data).to_bytes(8, "big")
    path = tmp_path / "odd.vhd"
    path.write_bytes(data + footer)
    with pytest.raises(CloudUnfit, match="azure takes multiples of 1,048,576"):
        checked_image("azure", path)


def test_what_a_prefix_means(disks: Path, tmp_path: Path) -> None:
    assert find_file("azure", str(disks / "os")) == disks / "os.vhd"
    with pytest.raises(CloudUnfit, match="several files could be pushed"):
        find_file("aws", str(disks / "os"))
    with pytest.raises(CloudUnfit, match="there is nothing to push"):
        find_file("aws", str(tmp_path / "nothing"))


HOSTILE: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"hello\n" * 200,
    "a qcow2 with a huge table": lambda: _qcow2(bits=16, entries=0xFFFFFFFF),
    "a qcow2 with huge clusters": lambda: _qcow2(bits=63, entries=1),
    "a qcow2 of another file": lambda: _qcow2(bits=16, entries=1, backing=8),
    "gzip of nothing": lambda: b"\x1f\x8b\x08\0" + bytes(100),
}


def _qcow2(*, bits: int, entries: int, backing: int = 0) -> bytes:
    fields = (2, backing, 0, bits, 1 << 30, 0, entries, 512)
    sizes = (4, 8, 4, 4, 8, 4, 4, 8)
    packed = b"".join(
        value.to_bytes(size, "big") for value, size in zip(fields, sizes, strict=True)
    )
    return (b"QFI\xfb" + packed).ljust(4096, b"\0")


@pytest.mark.parametrize("case", HOSTILE)
def test_a_file_that_is_no_disk(tmp_path: Path, case: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(HOSTILE[case]())
    with pytest.raises(CloudUnfit):
        checked_image("openstack", path)


def test_damage_is_unknown_or_refused(disks: Path, tmp_path: Path) -> None:
    """A thousand bytes of tables, file systems and programs, changed at random."""
    noise = random.Random(7)
    source = disks / "os-efi.img"
    length = source.stat().st_size
    path = tmp_path / "x.img"
    for _ in range(60):
        shutil.copyfile(source, path)
        with path.open("r+b") as stream:
            for _ in range(40):
                stream.seek(noise.choice((446, 512, 1024, 1 << 20, (1 << 20) + 16384)))
                stream.seek(noise.randrange(4096), 1)
                stream.write(bytes((noise.randrange(256),)))
            stream.seek(noise.randrange(length))
            stream.write(noise.randbytes(600))
        try:
            with open_disk(path) as found:
                assert found.disk is not None
                contents_of(found.disk)
        except DamagedDisk:
            continue


@pytest.mark.parametrize("data", [[], [3 << 20], [(1 << 20) - 1, 5 << 20], [(6 << 20) + 4]])
@pytest.mark.parametrize("length", [(6 << 20) + 512, 8 << 20])
def test_the_digest_is_that_of_the_file_with_its_holes(
    tmp_path: Path, data: list[int], length: int
) -> None:
    path = tmp_path / "os.raw"
    with path.open("wb") as stream:
        stream.truncate(length)
        os.pwrite(stream.fileno(), b"\x55\xaa", 510)
        for at in data:
            os.pwrite(stream.fileno(), b"x", at)
    image = checked_image("aws", path, check=False)
    assert image.digest == hashlib.sha256(path.read_bytes()).hexdigest()
