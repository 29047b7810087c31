"""The boot matrix: every bootable format, under each firmware and on each medium that it is for,
until it serves a page."""

from __future__ import annotations

import subprocess
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from compos.cli.main import main
from compos.output.roots import ROOTS
from compos.run.firmware import find_firmware
from compos.run.network import Publish
from compos.run.qemu import guest_arch
from compos.run.virtual_machine import Drive, VirtualMachine, arguments
from hatch_build import PROGRAMS, compile_program
from tests.guest import fetch, free_port

__all__ = ["BRIEF", "ROWS", "SAME_KERNEL", "SAMPLE", "SYSTEM", "WEB", "Row", "boot", "build"]

ROOT = Path(__file__).resolve().parents[2]

SYSTEM = """\
# The smallest system that serves a page under containerd.
kernel:
  image: compos/kernel:v1
  cmdline: "console={console}"
init:
  - compos/init:v1
  - compos/runc:v1
  - compos/containerd:v1
onboot:
  - name: dhcpcd
    image: compos/dhcpcd:v1
    command: ["/sbin/dhcpcd", "--nobackground", "-f", "/dhcpcd.conf", "-1"]
services:
  - name: nginx
    image: compos/nginx:v1
    capabilities: [CAP_NET_BIND_SERVICE, CAP_CHOWN, CAP_SETUID, CAP_SETGID, CAP_DAC_OVERRIDE]
"""

WITHOUT_CONTAINERD = SYSTEM.replace(
    "  - compos/runc:v1\n  - compos/containerd:v1\n", "  - compos/crun:v1\n"
)
"""Reaches its page in 0.6 of the time: what is in common with `SYSTEM` is the way to its root."""
SMALL = WITHOUT_CONTAINERD.replace(
    '"console={console}"\n', '"console={console}"\n  modules: auto\n'
)
"""In half of the time. Formats of clouds then have the drivers of their clouds only."""

CONSOLES = {"amd64": "ttyS0", "arm64": "ttyAMA0", "riscv64": "ttyS0"}


class Row(NamedTuple):
    """One way to boot: `suffix` is the file's, `firmware` direct, SeaBIOS, OVMF or AAVMF; `root`
    where the root is; `system` what is booted, as YAML with the place of its console, or else
    `example` is; `kernel` the kernel's brick."""

    format: str
    suffix: str
    firmware: str
    medium: str
    root: str = "initrd"
    architecture: str = "amd64"
    system: str = SYSTEM
    example: str = ""
    kernel: str = "kernel"

    @property
    def name(self) -> str:
        """For a test."""
        words = (self.format, self.firmware, self.medium, self.root, self.architecture)
        return "-".join(words).replace(" ", "")


def _rows() -> list[Row]:
    rows = [
        Row("kernel+initrd", "", "direct", "none"),
        Row("kernel+erofs", "-erofs.img", "direct", "virtio", "erofs"),
        Row("kernel+erofs", "-erofs.img", "direct", "NVMe", "erofs"),
        Row("kernel+squashfs", "-squashfs.img", "direct", "virtio", "squashfs"),
        Row("kernel+iso", ".iso", "direct", "CD", "iso9660"),
        Row("firecracker", "-firecracker.img", "direct", "virtio", "erofs"),
        Row("uki", ".efi", "OVMF", "none"),
        Row("iso-bios", ".iso", "SeaBIOS", "CD"),
        Row("iso-efi", "-efi.iso", "OVMF", "CD"),
        Row("iso-efi-initrd", "-efi-initrd.iso", "OVMF", "CD"),
    ]
    for firmware in ("SeaBIOS", "OVMF"):
        rows += [Row("iso", ".iso", firmware, medium) for medium in ("CD", "USB")]
        rows += [Row("iso", ".iso", firmware, "CD", "erofs")]
        rows += [
            Row("raw", ".img", firmware, medium) for medium in ("virtio", "SATA", "NVMe", "USB")
        ]
        rows += [
            Row("raw", ".img", firmware, medium, "erofs") for medium in ("virtio", "SATA", "NVMe")
        ]
        rows += [Row("vhd", ".vhd", firmware, "SATA"), Row("vmdk", ".vmdk", firmware, "SATA")]
        rows += [Row("gcp", ".img.tar.gz", firmware, "virtio", "erofs")]
        rows += [Row("qcow2", ".qcow2", firmware, "virtio", "erofs")]
    rows += [Row("raw-bios", "-bios.img", "SeaBIOS", medium) for medium in ("virtio", "SATA")]
    rows += [Row("raw-efi", "-efi.img", "OVMF", medium) for medium in ("virtio", "SATA")]
    rows += [
        Row("raw", ".img", "OVMF", "virtio", "squashfs"),
        Row("raw", ".img", "SeaBIOS", "virtio", "ext4"),
        Row("raw", ".img", "SeaBIOS", "virtio", "erofs-zstd"),
        Row("qcow2-bios", ".qcow2", "SeaBIOS", "virtio"),
        Row("qcow2-efi", "-efi.qcow2", "OVMF", "virtio"),
        Row("aws", ".raw", "SeaBIOS", "NVMe"),
        Row("dynamic-vhd", ".vhd", "SeaBIOS", "SATA"),
        Row("vhdx", ".vhdx", "OVMF", "SATA"),
        Row("kernel+initrd", "", "direct", "none", architecture="arm64"),
        Row("raw-efi", "-efi.img", "AAVMF", "virtio", architecture="arm64"),
        Row("raw", ".img", "AAVMF", "virtio", "erofs", architecture="arm64"),
        Row("iso-efi", "-efi.iso", "AAVMF", "CD", architecture="arm64"),
    ]
    return rows


CONTAINERS = (
    "aws",
    "dynamic-vhd",
    "gcp",
    "qcow2",
    "qcow2-bios",
    "qcow2-efi",
    "vhd",
    "vhdx",
    "vmdk",
)
"""Formats that hold the disk of `raw`, which tests of outputs take out of them with qemu-img."""


Ways = Callable[[Row], set[tuple[str, str]]]


def _format(row: Row) -> tuple[str, str]:
    return ("format", "container" if row.format in CONTAINERS else row.format)


def _all_ways(row: Row) -> set[tuple[str, str]]:
    """What a boot of `row` shows."""
    return {
        _format(row),
        *((row.firmware, what) for what in (row.medium, row.root, row.architecture)),
    }


def _main_ways(row: Row) -> set[tuple[str, str]]:
    """What tells of `row` as much as a boot can, where that is short: firmware for arm64 takes
    three minutes to read an initrd from a disk."""
    return {
        *([_format(row)] if row.architecture == "amd64" else ()),
        ("root", row.root),
        (row.firmware, row.architecture),
        (row.firmware, "a CD" if row.medium == "CD" else "a disk"),
        (row.architecture, "in memory" if row.root == "initrd" else "on a medium"),
    }


def _sample(rows: Sequence[Row], ways: Ways) -> list[Row]:
    """A few rows that show what all of them do: first those that show the most, and of these those
    that have nothing to unpack."""
    found = list[Row]()
    missing = {way for row in rows for way in ways(row)}
    while missing:
        found.append(max(rows, key=lambda row: (len(ways(row) & missing), row.root != "initrd")))
        missing -= ways(found[-1])
    return sorted(found, key=rows.index)


def _without_containerd(rows: Sequence[Row]) -> list[Row]:
    """All but the first."""
    return [
        rows[0],
        *(
            row._replace(system=WITHOUT_CONTAINERD if row.format in CONTAINERS else SMALL)
            for row in rows[1:]
        ),
    ]


ROWS = _rows()
SAMPLE = _without_containerd(_sample(ROWS, _all_ways))
"""Every firmware with each medium, root and architecture, and every format, of containers one."""
BRIEF = _without_containerd(_sample(ROWS, _main_ways))
"""Every format, root and firmware, firmware with CDs and with disks, both architectures with roots
in memory and on a medium."""

*WEB, SAME_KERNEL = [
    Row("kernel+initrd", "", "direct", "none", architecture=arch, example="web", kernel=kernel)
    for kernel in ("kernel", "kernel-generic")
    for arch in ("amd64", "arm64", "riscv64")
]
"""The web example under each kernel on each architecture: what only `make matrix` boots. The last
one is not booted: Debian has one kernel for riscv64, so that both bricks have the same files."""

FORMATS = {".qcow2": "qcow2", ".vhd": "vpc", ".vhdx": "vhdx", ".vmdk": "vmdk"}
"""QEMU's names; all others are raw."""


def machine(row: Row, prefix: Path, state: Path, port: int) -> VirtualMachine:
    """What QEMU makes for `row`; `state` is a folder for the firmware's variables."""
    other = row.architecture != "amd64"
    image = prefix.with_name(prefix.name + row.suffix)
    made = VirtualMachine(
        guest_arch(row.architecture),
        cpus=2 if other else 1,
        publish=(Publish(port, 80),),
        defaults=False,
        reboot=False,
    )
    if row.firmware in ("OVMF", "AAVMF"):
        made = replace(made, firmware=find_firmware(made.architecture, None, state))
    if row.format == "uki":
        return replace(made, kernel=image)
    if row.firmware == "direct":
        middle = {"kernel+initrd": ""}.get(row.format, f"-{row.format.removeprefix('kernel+')}")
        made = replace(
            made,
            kernel=Path(f"{prefix}-{'vmlinux' if row.format == 'firecracker' else 'kernel'}"),
            initrd=Path(f"{prefix}{middle}-initrd.img"),
            cmdline=f"console={CONSOLES[row.architecture]}",
        )
    if row.medium == "none":
        return made
    cd = row.medium == "CD"
    bus = ("scsi-cd" if other else "sata-cd") if cd else row.medium.lower()
    form = FORMATS.get(image.suffix, "raw")
    return replace(made, drives=(Drive(image, form, cd=cd, bus=bus, snapshot=True),))


def boot(row: Row, prefix: Path, state: Path, seconds: float = 240) -> float:
    """Boot `row` and wait for its page; returns the seconds that it took."""
    port = free_port()
    log = state / "console.log"
    if row.format == "gcp":
        with tarfile.open(prefix.with_name(prefix.name + row.suffix)) as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extract("disk.raw", state)
        prefix, row = state / "disk", row._replace(suffix=".raw")
    begin = time.monotonic()
    with log.open("wb") as console:
        guest = subprocess.Popen(
            arguments(machine(row, prefix, state, port)),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
        )
    try:
        page = fetch(port, seconds)
    except OSError as error:
        raise AssertionError(
            f"{row.name} serves nothing:\n{log.read_text(errors='replace')[-3000:]}"
        ) from error
    finally:
        guest.kill()
        guest.wait()
    assert "nginx" in page
    return time.monotonic() - begin


def build(row: Row, folder: Path) -> Path:
    """Compose what `row` boots in an empty folder; returns the outputs' prefix."""
    for brick in PROGRAMS:
        # An installation from a checkout has this machine's only.
        compile_program(brick, row.architecture)
    path = folder / "system.yml"
    text = (ROOT / "examples" / f"{row.example}.yml").read_text() if row.example else row.system
    text = text.replace("compos/kernel:", f"compos/{row.kernel}:")
    path.write_text(text.replace("{console}", CONSOLES[row.architecture]))
    root = row.root if row.root in ROOTS else "auto"
    options = ["--dir", str(folder), "--arch", row.architecture, "-f", row.format, "--root", root]
    assert main(["build", *options, str(path)]) == 0
    return folder / "system"
