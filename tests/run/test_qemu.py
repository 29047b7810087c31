"""QEMU's command line as a table, accepted by QEMU itself."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run.boot import Boot
from compos.run.disks import Disk
from compos.run.network import Publish
from compos.run.qemu import Options, command_line, find_qemu

KERNEL = Boot(Path("os"), Path("os-kernel"), ("-kernel", "os-kernel", "-initrd", "os-initrd.img", "-append", "quiet"))
BASE = Options(KERNEL, Path("state"), "52:54:00:12:34:56")


def text(options: Options) -> str:
    return " ".join(command_line(options))


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (BASE, "qemu-system-x86_64 -smp 1 -m 1024 "),
        (BASE, "-machine q35,accel=tcg"),
        (BASE, "-kernel os-kernel -initrd os-initrd.img -append quiet"),
        (BASE, "-device virtio-net-pci,netdev=t0,mac=52:54:00:12:34:56 -netdev user,id=t0 -nographic"),
        (replace(BASE, publish=(Publish(8080, 80),)), "user,id=t0,hostfwd=tcp:127.0.0.1:8080-:80"),
        (replace(BASE, accel="kvm"), "-cpu host -machine q35,accel=kvm"),
        (replace(BASE, arch="aarch64"), "-cpu cortex-a57 -machine virt,accel=tcg"),
        (replace(BASE, arch="riscv64"), "qemu-system-riscv64 -smp 1"),
        (replace(BASE, networking="none"), "-net none"),
        (replace(BASE, networking="tap,tap3"), "tap,id=t0,ifname=tap3,script=no,downscript=no"),
        (replace(BASE, networking="bridge,br0"), "bridge,id=t0,br=br0"),
        (replace(BASE, disks=(Disk(Path("a,b"), format="raw"),)), "file=a,,b,format=raw,index=0,media=disk"),
        (replace(BASE, boot=Boot(Path("os"), iso=Path("os.iso"))), "-boot d -cdrom os.iso"),
        (
            replace(BASE, boot=Boot(Path("x"), iso=Path("x.iso")), disks=(Disk(Path("0")),) * 3),
            "file=0,index=3,media=disk",
        ),
        (
            replace(BASE, no_reboot=True, usb=True, devices=("virtio-balloon",)),
            "-usb -no-reboot -device virtio-balloon",
        ),
    ],
)
def test_command_line(options: Options, part: str) -> None:
    assert part in text(options)


def test_gui_has_no_console() -> None:
    assert "-nographic" not in text(replace(BASE, gui=True))


def test_qemu_accepts_it(tmp_path: Path) -> None:
    """Stopped at the first instruction, told to quit through its monitor."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20))
    options = replace(
        BASE,
        boot=Boot(tmp_path, disks=(Disk(disk, format="raw"),)),
        state=tmp_path,
        publish=(Publish(0, 80),),
        usb=True,
    )
    line = [*command_line(options), "-S", "-display", "none", "-monitor", "stdio", "-serial", "null"]
    line.remove("-nographic")
    done = subprocess.run(line, input=b"quit\n", capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_missing_qemu_names_its_package() -> None:
    with pytest.raises(RunError) as caught:
        find_qemu("aarch64", None, which=lambda name: None)
    assert caught.value.id == "qemu-missing"
    assert "qemu-system-arm" in (caught.value.hint or "")
    with pytest.raises(RunError) as caught:
        find_qemu("pdp11", None)
    assert caught.value.id == "arch-unknown"
