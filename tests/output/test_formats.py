"""Every output format of a small system: files, sizes, reproducibility, limits; partition tables
against sgdisk and sfdisk."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from compos.boot.bios import check_kernel
from compos.boot.uki import pe_machine
from compos.cli.main import main
from compos.errors import OutputError
from compos.image.platform import Platform
from compos.output.formats import FORMATS
from tests.compose.systems import World
from tests.image.conftest import docker_registry
from tests.images import Member, layer_tar
from tests.initramfs import archives_of
from tests.output.bootable import YAML, bzimage, filled, tool

__all__ = ["docker_registry"]

MIB = 1 << 20
DISKS = (
    "raw-bios",
    "raw-efi",
    "raw",
    "qcow2-bios",
    "qcow2-efi",
    "qcow2",
    "aws",
    "vhd",
    "dynamic-vhd",
    "vhdx",
    "vmdk",
    "ova",
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return filled(World(tmp_path))


@pytest.fixture(scope="module")
def two_worlds(tmp_path_factory: pytest.TempPathFactory) -> list[World]:
    """Two stores that make everything by themselves."""
    folder = tmp_path_factory.mktemp("worlds")
    for name in ("a", "deeper/b"):
        (folder / name).mkdir(parents=True)
    return [filled(World(folder / name)) for name in ("a", "deeper/b")]


def build(world: World, *options: str, folder: str = "out", yaml: str = YAML) -> Path:
    out = world.folder / folder
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    (world.folder / "os.yml").write_text(yaml)
    arguments = ["build", *world.flags, "--dir", str(out), *options]
    assert main([*arguments, str(world.folder / "os.yml")]) == 0
    return out


def refused(
    world: World, capfd: pytest.CaptureFixture[str], *options: str, yaml: str = YAML
) -> str:
    out = world.folder / "refused"
    out.mkdir(exist_ok=True)
    (world.folder / "os.yml").write_text(yaml)
    arguments = ["build", *world.flags, "--dir", str(out), *options]
    assert main([*arguments, str(world.folder / "os.yml")]) == 1
    assert list(out.iterdir()) == [], "nothing is left behind"
    return capfd.readouterr().err


ALL = [
    (name, root)
    for name, one in FORMATS.items()
    if "amd64" in one.architectures
    # Updates are signed, and have a name: test_update.py.
    if name != "update"
    for root in ("initrd", "erofs")
]


@pytest.mark.parametrize(("name", "root"), [*ALL, ("raw", "squashfs"), ("iso", "squashfs")])
def test_reproducible_to_the_bit(name: str, root: str, two_worlds: list[World]) -> None:
    """Two stores in two folders give the same bytes."""
    made = []
    for world in two_worlds:
        out = build(world, "-f", name, "--root", root, "--size", "48M")
        digests = {}
        for path in out.iterdir():
            with path.open("rb") as stream:
                digests[path.name] = hashlib.file_digest(stream, "sha256").digest()
        made.append(digests)
    assert made[0] == made[1]
    assert made[0]


def test_another_system_is_another_disk(world: World) -> None:
    """Identities follow from contents: two systems on one machine are told apart."""
    one = (build(world, "-f", "raw") / "os.img").read_bytes()
    two = (build(world, "-f", "raw", yaml=YAML.replace("hello", "other")) / "os.img").read_bytes()
    assert one[512 + 56 : 512 + 72] != two[512 + 56 : 512 + 72], "the disk's GUID"
    assert (build(world, "-f", "raw") / "os.img").read_bytes() == one


def test_gpt(world: World) -> None:
    for form, partitions in (("raw", 2), ("raw-efi", 1)):
        for root in ("initrd", "erofs"):
            image = next(build(world, "-f", form, "--root", root).iterdir())
            done = subprocess.run(
                ["sgdisk", "-v", image], capture_output=True, text=True, check=True
            )
            assert "No problems found" in done.stdout
            shown = subprocess.run(
                ["sgdisk", "-p", image], capture_output=True, text=True, check=True
            ).stdout
            assert "EF00" in shown
            assert ("8304" in shown) == (root == "erofs")
            assert sum(line.strip()[:1].isdigit() for line in shown.splitlines()) == partitions + (
                root == "erofs"
            )
            assert image.stat().st_size % MIB == 0


def test_mbr(world: World) -> None:
    image = build(world, "-f", "raw-bios", "--root", "squashfs") / "os-bios.img"
    shown = json.loads(
        subprocess.run(["sfdisk", "-J", image], capture_output=True, check=True).stdout
    )["partitiontable"]
    assert shown["label"] == "dos"
    assert [(one["type"], one.get("bootable", False)) for one in shown["partitions"]] == [
        ("c", True),
        ("83", False),
    ]
    assert shown["partitions"][0]["start"] == 2048
    listing = subprocess.run(
        ["mdir", "-b", "-i", f"{image}@@1M", "::"], capture_output=True, text=True, check=True
    ).stdout
    assert sorted(listing.split()) == ["::/cmdline", "::/initrd.img", "::/kernel"]
    kernel = subprocess.run(
        ["mtype", "-i", f"{image}@@1M", "::/kernel"], capture_output=True, check=True
    ).stdout
    assert kernel == bzimage()


def test_the_uki(world: World, tmp_path: Path) -> None:
    """binutils reads its sections; sbsign signs it and sbverify accepts that."""
    program = build(world, "-f", "uki") / "os.efi"
    data = program.read_bytes()
    assert pe_machine(data[:4096]) == "amd64"
    for section, expected in ((".linux", bzimage()), (".cmdline", b'console=ttyS0 quote="a b"')):
        out = tmp_path / "section"
        subprocess.run(
            ["objcopy", "-O", "binary", "--dump-section", f"{section}={out}", program, "/dev/null"],
            check=True,
        )
        assert out.read_bytes()[: len(expected)] == expected
        assert not out.read_bytes()[len(expected) :].strip(b"\0")
    out = tmp_path / "initrd"
    subprocess.run(
        ["objcopy", "-O", "binary", "--dump-section", f".initrd={out}", program, "/dev/null"],
        check=True,
    )
    assert out.read_bytes().startswith(b"UCODE\0\0\0\x28\xb5\x2f\xfd"), "microcode stands in front"
    key, certificate, signed = tmp_path / "key", tmp_path / "certificate", tmp_path / "signed.efi"
    request = [
        "openssl",
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-x509",
        "-subj",
        "/CN=x",
        "-days",
        "2",
    ]
    subprocess.run([*request, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    subprocess.run(
        ["sbsign", "--key", key, "--cert", certificate, "--output", signed, program],
        check=True,
        capture_output=True,
    )
    verified = subprocess.run(
        ["sbverify", "--cert", certificate, signed], capture_output=True, text=True, check=False
    )
    assert "Signature verification OK" in verified.stdout, verified.stderr


def test_the_small_initrd(world: World, tmp_path: Path) -> None:
    initrd = (build(world, "-f", "kernel+erofs") / "os-erofs-initrd.img").read_bytes()
    assert initrd.startswith(b"UCODE")
    for archive in archives_of(initrd[8:]):
        subprocess.run(["cpio", "-idm", "--quiet"], input=archive, cwd=tmp_path, check=True)
    assert (tmp_path / "init").read_text() == "our init"
    modules = tmp_path / "lib/modules/6.1"
    assert sorted(path.name for path in modules.rglob("*.ko")) == ["crc.ko", "erofs.ko"], (
        "what is needed, no more"
    )
    assert (
        modules / "modules.dep"
    ).read_text() == "kernel/erofs.ko: kernel/crc.ko\nkernel/crc.ko:\n"
    assert (modules / "modules.alias").read_text() == "alias fs-erofs erofs\n"
    lines = (tmp_path / "etc/compos/root").read_text().splitlines()
    assert lines[:2] == ["compos-root\t1", "filesystem\terofs"]
    image = (world.folder / "out" / "os-erofs.img").read_bytes()
    _, offset, mark = lines[2].split("\t")
    assert image[int(offset) :].startswith(bytes.fromhex(mark))


def test_the_root_image_is_the_root(world: World, tmp_path: Path) -> None:
    out = build(world, "-f", "kernel+squashfs,kernel+erofs,kernel+iso")
    subprocess.run(
        ["unsquashfs", "-no-progress", "-d", tmp_path / "root", out / "os-squashfs.img"],
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "root/etc/motd").read_text() == "hello"
    assert (tmp_path / "root/boot").is_dir()
    assert list((tmp_path / "root/boot").iterdir()) == []
    subprocess.run(["fsck.erofs", out / "os-erofs.img"], check=True, capture_output=True)
    found = subprocess.run(
        ["isoinfo", "-R", "-x", "/etc/motd", "-i", out / "os.iso"], capture_output=True, check=True
    )
    assert found.stdout == b"hello"


def test_sizes(world: World) -> None:
    """Each cloud's rule; --size overrules the default. Google's are whole GiB, whatever is asked
    for."""
    gib = 1 << 30
    sizes = {
        "aws": gib,
        "qcow2-bios": gib,
        "vmdk": gib,
        "dynamic-vhd": 25 * gib,
        "vhdx": 25 * gib,
        "vhd": gib,
    }
    for name, size in sizes.items():
        image = next(build(world, "-f", name).iterdir())
        told = json.loads(
            subprocess.run(
                ["qemu-img", "info", "--output=json", image], capture_output=True, check=True
            ).stdout
        )
        expected = size + 512 if name == "vhd" else size
        assert told["virtual-size"] in (size, expected), name
    assert (build(world, "-f", "aws", "--size", "300M") / "os.raw").stat().st_size == 300 * MIB
    assert (build(world, "-f", "raw-efi", "--size", "2") / "os-efi.img").stat().st_size == 2 * gib
    archive = build(world, "-f", "gcp", "--size", "1500M") / "os.img.tar.gz"
    with tarfile.open(archive) as members:
        (member,) = members.getmembers()
        assert (member.name, member.size) == ("disk.raw", 2 * gib), "whole GiB"
    subprocess.run(["tar", "-xzSf", archive, "-C", world.folder], check=True)
    assert (world.folder / "disk.raw").stat().st_blocks * 512 < 50 * MIB
    raw = build(world, "-f", "vhd", "--size", "2G") / "os.vhd"
    with raw.open("rb") as left, (world.folder / "disk.raw").open("rb") as right:
        assert left.read(20 * MIB) == right.read(20 * MIB), "the same disk, by way of GNU tar"


def test_a_disk_that_is_too_small(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    for name in DISKS:
        said = refused(world, capfd, "-f", name, "--size", "1M")
        assert "disk-too-small" in said
        assert (
            "the system needs 5 MiB; the disk would have 1" in said
            or "MiB; the disk would have 1" in said
        )
        assert "--size" in said


def test_formats_that_would_overwrite_each_other(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "format-conflict" in refused(world, capfd, "-f", "vhd,dynamic-vhd")
    assert "format-conflict" in refused(world, capfd, "-f", "iso-bios,kernel+iso")
    assert "format-conflict" in refused(world, capfd, "-f", "qcow2,qcow2-bios")
    together = build(
        world,
        "-f",
        "kernel+initrd,kernel+erofs,kernel+squashfs,iso-efi,raw-bios,raw-efi,raw,uki,vmdk,vhd,oci",
    )
    assert len(list(together.iterdir())) == 15


def test_formats_of_other_machines(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    said = refused(world, capfd, "-f", "iso-bios", "--arch", "arm64")
    assert "format-architecture" in said
    assert "raw-efi" in said
    assert "format-architecture" in refused(world, capfd, "-f", "rpi3")
    assert "format-architecture" in refused(world, capfd, "-f", "firecracker", "--arch", "riscv64")


def test_what_does_not_boot_is_refused(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    assert "kernel-none" in refused(world, capfd, "-f", "raw", yaml="init: ['acme/init:1']\n")
    odd = YAML.replace("acme/bzimage:1", "acme/kernel:1").replace(", ucode: ucode.cpio", "")
    assert "kernel-not-x86" in refused(world, capfd, "-f", "raw-bios", yaml=odd)
    assert "kernel-not-uefi" in refused(world, capfd, "-f", "raw-efi", yaml=odd)
    long = YAML.replace("console=ttyS0", "x" * 2100)
    assert "cmdline-too-long" in refused(world, capfd, "-f", "iso", yaml=long)


def test_a_kernel_is_unpacked_once_for_whoever_wants_it(world: World) -> None:
    plain = b"\x7fELF" + bytes(5000)
    world.image("acme/packed:1", [[Member("kernel", content=gzip.compress(plain))]])
    yaml = YAML.replace("acme/bzimage:1', ", "acme/packed:1', tar: none, ")
    for number, options in enumerate((("-f", "firecracker"), ("--decompress-kernel",))):
        out = build(world, *options, folder=f"out{number}", yaml=yaml)
        assert (out / ("os-kernel" if number else "os-vmlinux")).read_bytes() == plain
    assert len(list((world.store.root / "derived/kernel").iterdir())) == 1


def test_limits_of_the_loader() -> None:
    check_kernel(bzimage(), initrd=1 << 30, cmdline=100)
    with pytest.raises(OutputError) as caught:
        check_kernel(bzimage(), initrd=(2 << 30) - (40 << 20), cmdline=100)
    assert caught.value.id == "initrd-too-large"
    assert "--root erofs" in str(caught.value.hint)


def test_an_artifact_goes_to_a_registry(world: World, tmp_path: Path) -> None:
    archive = build(world, "-f", "oci") / "os.oci.tar"
    done = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci-archive:{archive}"], capture_output=True, check=True
    )
    manifest = json.loads(done.stdout)
    assert manifest["artifactType"] == "application/vnd.compos.system.v1"
    assert [
        layer["annotations"]["org.opencontainers.image.title"] for layer in manifest["layers"]
    ] == [
        "kernel",
        "initrd.img",
        "cmdline",
    ]
    subprocess.run(
        ["skopeo", "copy", "-q", f"oci-archive:{archive}", f"dir:{tmp_path / 'copy'}"], check=True
    )
    digest = manifest["layers"][0]["digest"].removeprefix("sha256:")
    assert (tmp_path / "copy" / digest).read_bytes() == bzimage()


def test_dockerfile(world: World) -> None:
    with tarfile.open(build(world, "-f", "docker") / "os.docker") as archive:
        names = archive.getnames()
        assert names == sorted(names)
        dockerfile = archive.extractfile("Dockerfile")
        assert dockerfile is not None
        assert b'ENTRYPOINT ["/bin/rc.init"]' in dockerfile.read()


def test_a_card_for_the_raspberry_pi(world: World, tmp_path: Path) -> None:

    arm = Platform("linux", "arm64")
    kernel = layer_tar(
        [
            Member("boot/dtb/broadcom/bcm2837-rpi-3-b.dtb", content="tree"),
            Member("lib/modules/x", content="m"),
        ]
    )
    images = {
        "acme/arm:1": [
            Member("kernel", content=bzimage(0xAA64)),
            Member("kernel.tar", content=kernel),
        ],
        "acme/init:1": [Member("init", mode=0o755, content="#!")],
        "docker.io/compos/rpi3:v1": [
            Member("usr/lib/raspi-firmware/bootcode.bin", content="boot"),
            Member("usr/lib/u-boot/rpi_3/u-boot.bin", content="u-boot"),
        ],
    }
    for name, members in images.items():
        tool(world, name, members, platform=arm)
    yaml = "kernel: {image: 'acme/arm:1', cmdline: quiet}\ninit: ['acme/init:1']\n"
    out = build(world, "-f", "rpi3", "--arch", "arm64", yaml=yaml)
    with tarfile.open(out / "os.tar") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(tmp_path / "card")
    for name, kind in (
        ("kernel.uimg", "Kernel Image (gzip"),
        ("initrd.uimg", "RAMDisk Image"),
        ("boot.scr", "Script"),
    ):
        told = subprocess.run(
            ["mkimage", "-l", tmp_path / "card" / name], capture_output=True, text=True, check=True
        ).stdout
        assert f"AArch64 Linux {kind}" in told
        assert "Apr 18" in told
    assert (tmp_path / "card/u-boot.bin").read_text() == "u-boot"
    assert (tmp_path / "card/dtb/broadcom/bcm2837-rpi-3-b.dtb").read_text() == "tree"
    assert "rw quiet" in (tmp_path / "card/boot.script").read_text()


def test_an_artifact_is_pushed_by_reference(
    world: World, docker_registry: Callable[[], str]
) -> None:
    host = docker_registry()
    build(world, "-f", "oci", "--push", f"{host}/acme/system:7")
    done = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{host}/acme/system:7"],
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["artifactType"] == "application/vnd.compos.system.v1"
