"""The boot matrix: every bootable format, under each firmware and on each medium that it is for,
until it serves a page."""

from __future__ import annotations

import subprocess
import tarfile
import time
from pathlib import Path
from typing import NamedTuple

from compos.cli.main import main
from compos.output.roots import ROOTS
from hatch_build import PROGRAMS, compile_program
from tests.guest import fetch, free_port

__all__ = ["ROWS", "SYSTEM", "Row", "boot", "build"]

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

OVMF = Path("/usr/share/OVMF")
AAVMF = Path("/usr/share/AAVMF")
CONSOLES = {"amd64": "ttyS0", "arm64": "ttyAMA0"}


class Row(NamedTuple):
    """One way to boot: `suffix` is the file's, `firmware` direct, SeaBIOS, OVMF or AAVMF; `root`
    where the root is."""

    format: str
    suffix: str
    firmware: str
    medium: str
    root: str = "initrd"
    architecture: str = "amd64"

    @property
    def name(self) -> str:
        """For a test."""
        return "-".join(
            (self.format, self.firmware, self.medium, self.root, self.architecture)
        ).replace(" ", "")


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


ROWS = _rows()

FORMATS = {".qcow2": "qcow2", ".vhd": "vpc", ".vhdx": "vhdx", ".vmdk": "vmdk"}
"""QEMU's names; all others are raw."""

DRIVES = {
    "virtio": ("-device", "virtio-blk-pci,drive=d,bootindex=1"),
    "SATA": ("-device", "ide-hd,drive=d,bootindex=1"),
    "NVMe": ("-device", "nvme,drive=d,serial=1,bootindex=1"),
    "USB": ("-device", "qemu-xhci", "-device", "usb-storage,drive=d,removable=on,bootindex=1"),
    "CD": ("-device", "ide-cd,drive=d,bootindex=1"),
}
CD_ARM = ("-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=d,bootindex=1")


def command(row: Row, prefix: Path, state: Path, port: int) -> list[str]:
    """QEMU's arguments; `state` is a folder for the firmware's variables."""
    line = ["-m", "1024", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio"]
    if row.architecture == "arm64":
        line = [
            "qemu-system-aarch64",
            "-M",
            "virt",
            "-cpu",
            "cortex-a57",
            "-accel",
            "tcg",
            "-smp",
            "2",
            *line,
        ]
    else:
        line = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=single", *line]
    line += [
        "-netdev",
        f"user,id=n,hostfwd=tcp:127.0.0.1:{port}-:80",
        "-device",
        "virtio-net-pci,netdev=n,romfile=",
    ]
    line += ["-device", "virtio-rng-pci"]
    if row.firmware in ("OVMF", "AAVMF"):
        code, given = (
            (OVMF / "OVMF_CODE_4M.fd", OVMF / "OVMF_VARS_4M.fd")
            if row.firmware == "OVMF"
            else (AAVMF / "AAVMF_CODE.fd", AAVMF / "AAVMF_VARS.fd")
        )
        variables = state / "variables.fd"
        variables.write_bytes(given.read_bytes())
        line += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}"]
        line += ["-drive", f"if=pflash,unit=1,format=raw,file={variables}"]
    image = prefix.with_name(prefix.name + row.suffix)
    if row.format == "uki":
        return [*line, "-kernel", str(image)]
    if row.firmware == "direct":
        middle = {"kernel+initrd": ""}.get(row.format, f"-{row.format.removeprefix('kernel+')}")
        kernel = "vmlinux" if row.format == "firecracker" else "kernel"
        console = f"console={CONSOLES[row.architecture]}"
        line += [
            "-kernel",
            f"{prefix}-{kernel}",
            "-initrd",
            f"{prefix}{middle}-initrd.img",
            "-append",
            console,
        ]
    if row.medium != "none":
        form = FORMATS.get(image.suffix, "raw")
        line += [
            "-drive",
            f"if=none,id=d,file={image},format={form},snapshot=on,media={'cdrom' if row.medium == 'CD' else 'disk'}",
        ]
        line += CD_ARM if row.medium == "CD" and row.architecture == "arm64" else DRIVES[row.medium]
    return line


def boot(row: Row, prefix: Path, state: Path, seconds: float = 150) -> float:
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
            command(row, prefix, state, port),
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
    path.write_text(SYSTEM.replace("{console}", CONSOLES[row.architecture]))
    root = row.root if row.root in ROOTS else "auto"
    options = ["--dir", str(folder), "--arch", row.architecture, "-f", row.format, "--root", root]
    assert main(["build", *options, str(path)]) == 0
    return folder / "system"
