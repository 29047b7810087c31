"""QEMU's command line as a table, accepted by QEMU itself."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from compos.errors import RunError
from compos.run.boot import Boot
from compos.run.disks import Disk
from compos.run.firmware import Firmware
from compos.run.guests import Slot
from compos.run.network import Publish, SharedNetwork, shared_network
from compos.run.qemu import Options, command_line, find_qemu, guest_arch
from compos.run.virtual_machine import HostFolder

KERNEL = Boot(Path("os"), Path("os-kernel"), Path("os-initrd.img"), "quiet")
ROOT = Boot(
    Path("os"), Path("os-kernel"), cmdline="quiet", disk=Disk(Path("os-squashfs.img"), format="raw")
)
SLOT = Slot(Path("run/web"), "web", -1)
BASE = Options(KERNEL, Path("state"), "52:54:00:12:34:56")


def text(options: Options) -> str:
    return " ".join(command_line(options))


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (BASE, "qemu-system-x86_64 -smp 1 -m 1024 "),
        (BASE, "-machine q35 -accel tcg,thread=single"),
        (BASE, "-kernel os-kernel -initrd os-initrd.img -append quiet"),
        (
            BASE,
            "-device virtio-net-pci,netdev=t0,romfile=,mac=52:54:00:12:34:56 -netdev user,id=t0 -nographic",
        ),
        (replace(BASE, publish=(Publish(8080, 80),)), "user,id=t0,hostfwd=tcp:127.0.0.1:8080-:80"),
        (replace(BASE, accel="tcg,thread=multi"), "-machine q35 -accel tcg,thread=multi"),
        (replace(BASE, accel="kvm"), "-cpu host -machine q35 -accel kvm"),
        (replace(BASE, arch="aarch64"), "-cpu cortex-a57 -machine virt -accel tcg"),
        (
            replace(BASE, arch="aarch64", accel="kvm"),
            "-cpu host -machine virt,gic-version=host -accel kvm",
        ),
        (replace(BASE, arch="aarch64", accel="hvf"), "-cpu host -machine virt -accel hvf"),
        (
            replace(BASE, arch="aarch64", accel="kvm:tcg"),
            "-cpu max -machine virt,gic-version=max -accel kvm -accel tcg",
        ),
        (
            replace(BASE, accel="kvm:tcg"),
            "-cpu max -machine q35 -accel kvm -accel tcg,thread=single",
        ),
        (replace(BASE, arch="riscv64"), "qemu-system-riscv64 -smp 1"),
        (replace(BASE, arch="riscv64"), "-machine virt -accel tcg"),
        (replace(BASE, boot=ROOT), "-drive file=os-squashfs.img,format=raw,index=0,media=disk"),
        (
            replace(BASE, boot=ROOT, arch="riscv64", metadata=Path("m")),
            (
                "os-squashfs.img,format=raw,index=0,media=disk,if=virtio "
                "-drive file=m,format=raw,index=2,media=cdrom,if=virtio"
            ),
        ),
        (replace(BASE, boot=ROOT), "-kernel os-kernel -append quiet root=/dev/sda"),
        (replace(BASE, boot=ROOT, arch="aarch64"), "-append quiet root=/dev/vda"),
        (replace(BASE, boot=ROOT, arch="riscv64"), "-append quiet root=/dev/vda"),
        (replace(BASE, boot=replace(KERNEL, cmdline="")), "-initrd os-initrd.img -device"),
        (
            replace(BASE, firmware=Firmware(Path("code"), Path("vars"))),
            "-drive if=pflash,unit=0,format=raw,readonly=on,file=code -drive if=pflash,unit=1,format=raw,file=vars",
        ),
        (
            replace(BASE, metadata=Path("data.iso")),
            "-drive file=data.iso,format=raw,index=2,media=cdrom -kernel",
        ),
        (
            replace(BASE, boot=Boot(Path("x"), iso=Path("x.iso")), metadata=Path("data.iso")),
            "file=x.iso,format=raw,index=2,media=cdrom -drive file=data.iso,format=raw,index=3,media=cdrom",
        ),
        (replace(BASE, disks=(Disk(Path("host:1")),)), "file=./host:1,index=0"),
        (replace(BASE, networking="none"), "-net none"),
        (replace(BASE, networking="tap,tap3"), "tap,id=t0,ifname=tap3,script=no,downscript=no"),
        (replace(BASE, networking="bridge,br0"), "bridge,id=t0,br=br0"),
        (
            replace(BASE, disks=(Disk(Path("a,b"), format="raw"),)),
            "file=a,,b,format=raw,index=0,media=disk",
        ),
        (
            replace(BASE, boot=Boot(Path("os"), iso=Path("os.iso"))),
            "-boot d -drive file=os.iso,format=raw,index=2,media=cdrom",
        ),
        (
            replace(BASE, no_reboot=True, usb=True, devices=("virtio-balloon",)),
            "-usb -no-reboot -device virtio-balloon",
        ),
        (
            replace(BASE, detached=True),
            "-display none -chardev file,id=console,path=state/console.log -serial chardev:console -daemonize",
        ),
        (
            replace(BASE, detached=True, slot=SLOT),
            (
                "-chardev socket,id=console,path=run/web/console.sock,server=on,wait=off,logfile=state/console.log "
                "-serial chardev:console -qmp unix:run/web/qmp.sock,server=on,wait=off -daemonize"
            ),
        ),
        (
            replace(BASE, slot=SLOT),
            (
                "-nographic -chardev stdio,id=console,mux=on,signal=off,logfile=state/console.log "
                "-serial chardev:console -mon chardev=console "
                "-qmp unix:run/web/qmp.sock,server=on,wait=off"
            ),
        ),
        (
            replace(BASE, slot=SLOT, exec=True),
            (
                "-device virtio-serial-pci "
                "-chardev socket,id=channel0,path=run/web/exec0.sock,server=on,wait=off "
                "-device virtserialport,chardev=channel0,name=org.compos.exec.0 -chardev socket,id=channel1,"
            ),
        ),
        (replace(BASE, slot=SLOT, exec=True), "-append quiet compos.exec "),
        (
            replace(BASE, exec=True, boot=replace(KERNEL, uefi=True)),
            # The command line of a program for UEFI is its own: it is signed.
            "-append quiet -device",
        ),
        (replace(BASE, snapshot=True), " -snapshot"),
        (replace(BASE, vsock=42), "-device vhost-vsock-pci,guest-cid=42"),
        (
            replace(BASE, networks=(SharedNetwork("239.192.1.2", 20000, "02:00:00:00:00:01"),)),
            (
                "-device virtio-net-pci,netdev=t1,romfile=,mac=02:00:00:00:00:01 "
                "-netdev socket,id=t1,mcast=239.192.1.2:20000,localaddr=127.0.0.1"
            ),
        ),
        (
            replace(BASE, folders=(HostFolder(Path("/a,b"), "9p0"),)),
            (
                "-fsdev local,id=folder0,path=/a,,b,security_model=mapped-xattr "
                "-device virtio-9p-pci,fsdev=folder0,mount_tag=9p0"
            ),
        ),
        (
            replace(BASE, shares=(Path("a"), Path("b")), mem=512),
            (
                "-object memory-backend-memfd,id=mem,size=512M,share=on -numa node,memdev=mem "
                "-chardev socket,id=char0,path=state/virtiofs0 -device vhost-user-fs-pci,chardev=char0,tag=virtiofs0 "
                "-chardev socket,id=char1,path=state/virtiofs1 -device vhost-user-fs-pci,chardev=char1,tag=virtiofs1 "
            ),
        ),
    ],
)
def test_command_line(options: Options, part: str) -> None:
    assert part in text(options)


def drives(options: Options) -> dict[str, int]:
    """Each drive's index, by file name."""
    found = {}
    for word in command_line(options):
        if match := re.fullmatch(r"file=([^,]*).*,index=([0-9]+),media=.*", word):
            found[match[1]] = int(match[2])
    return found


def test_drives_and_cds_never_share_an_index() -> None:
    disks = tuple(Disk(Path(f"d{number}")) for number in range(3))
    assert drives(replace(BASE, disks=disks)) == {"d0": 0, "d1": 1, "d2": 2}
    assert drives(replace(BASE, disks=disks, metadata=Path("m"))) == {
        "d0": 0,
        "d1": 1,
        "d2": 3,
        "m": 2,
    }
    disk = Boot(Path("x"), disk=Disk(Path("x")))
    assert drives(replace(BASE, boot=disk, disks=disks[:2], metadata=Path("m"))) == {
        "x": 0,
        "d0": 1,
        "d1": 3,
        "m": 2,
    }
    iso = Boot(Path("x"), iso=Path("x.iso"))
    assert drives(replace(BASE, boot=iso, disks=disks, metadata=Path("m"))) == {
        "d0": 0,
        "d1": 1,
        "d2": 3,
        "x.iso": 2,
        "m": 4,
    }


def test_gui_has_no_console() -> None:
    assert "-nographic" not in text(replace(BASE, gui=True))


def test_qemu_accepts_it(tmp_path: Path) -> None:
    """Stopped at the first instruction, told to quit through its monitor."""
    files = [
        tmp_path / name
        for name in ("disk,1.img", "disk:2.img", "disk3.img", "code", "vars", "data.iso")
    ]
    for file in files:
        file.write_bytes(bytes(1 << 20))
    options = replace(
        BASE,
        boot=Boot(tmp_path, disk=Disk(files[0], format="raw")),
        state=tmp_path,
        disks=(Disk(files[1], format="raw"), Disk(files[2], format="raw")),
        metadata=files[5],
        firmware=Firmware(files[3], files[4]),
        publish=(Publish(0, 80), Publish(0, 53, "udp")),
        usb=True,
        no_reboot=True,
        devices=("virtio-balloon",),
        folders=(HostFolder(tmp_path, "9p0"),),
        networks=(shared_network("tests", "02:00:00:00:00:01"),),
        snapshot=True,
        exec=True,
        slot=Slot(tmp_path, "web", -1),
    )
    line = [
        *command_line(options),
        "-S",
        "-display",
        "none",
        "-monitor",
        "stdio",
        "-serial",
        "null",
    ]
    line.remove("-nographic")
    start = next(at for at, word in enumerate(line) if word.startswith("stdio,id=console,")) - 1
    del line[start : line.index("-mon") + 2]  # the terminal
    done = subprocess.run(line, input=b"quit\n", capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_missing_qemu_names_its_package() -> None:
    with pytest.raises(RunError) as caught:
        find_qemu("aarch64", None, which=lambda name: None)
    assert caught.value.id == "qemu-missing"
    assert "qemu-system-arm" in (caught.value.hint or "")


def test_architectures_have_two_names() -> None:
    assert [guest_arch(name) for name in ("amd64", "arm64", "riscv64", "x86_64")] == [
        "x86_64",
        "aarch64",
        "riscv64",
        "x86_64",
    ]
    with pytest.raises(RunError) as caught:
        guest_arch("pdp11")
    assert caught.value.id == "arch-unknown"
