"""Each flag of `run qemu` on the command line, to the arguments that QEMU is started with: a stand-in
for QEMU writes them down."""

from __future__ import annotations

from pathlib import Path

import pytest

from compos.cli.main import main
from compos.cli.run import qemu
from tests.run.test_shares import LISTENS
from tests.run.test_shares import program as daemon

LINUXKIT = (
    *("accel", "arch", "cpus", "data", "data-file", "detached", "device", "disk", "fw", "gui"),
    *("iso", "kernel", "mem", "networking", "publish", "qemu", "squashfs", "state", "uefi", "usb"),
    *("virtiofs", "virtiofsd"),
)
"""Its flags (docs of `linuxkit run qemu`), in its spelling."""

FLAGS = {
    "": "-smp 1 -m 1024 -pidfile os-state/qemu.pid -machine q35 -accel tcg,thread=single",
    "--cpus 3": "-smp 3",
    "--mem 2000": "-m 2000",
    "--accel tcg,tb-size=64": "-accel tcg,tb-size=64",
    "--arch x86_64": "-machine q35",
    "--kernel": "-kernel os-kernel -initrd os-initrd.img -append quiet",
    "--squashfs": (
        "-drive file=os-squashfs.img,format=raw,index=0,media=disk -kernel os-kernel "
        "-append quiet root=/dev/sda"
    ),
    "--erofs": "-drive file=os-erofs.img,format=raw,index=0,media=disk",
    "--iso": "-boot d -drive file=os.iso,format=raw,index=2,media=cdrom",
    "--disk disk.raw": "-drive file=disk.raw,format=raw,index=0,media=disk",
    "--disk file=disk.raw --disk size=1M,format=raw": (
        "-drive file=disk.raw,format=raw,index=0,media=disk "
        "-drive file=os-state/disk1.img,format=raw,index=1,media=disk"
    ),
    "--data text": "-drive file=os-state/data.iso,format=raw,index=2,media=cdrom",
    "--data-file os-cmdline": "-drive file=os-state/data.iso,format=raw,index=2,media=cdrom",
    "--state other": "-pidfile other/qemu.pid",
    "--fw firmware": "-drive if=pflash,unit=0,format=raw,readonly=on,file=firmware",
    "--uefi": "-drive if=pflash,unit=1,format=raw,file=os-state/efi-vars.fd",
    "--gui": "-netdev user,id=t0 -qmp",
    "--usb": " -usb",
    "--device virtio-balloon --device virtio-gpu": "-device virtio-balloon -device virtio-gpu",
    "--no-reboot": "-no-reboot",
    "--networking default": "-netdev user,id=t0 ",
    "--networking none": "-net none",
    "--networking tap,tap7": "-netdev tap,id=t0,ifname=tap7,script=no,downscript=no",
    "--networking bridge,br7": "-netdev bridge,id=t0,br=br7",
    "--publish 18080:80": "-netdev user,id=t0,hostfwd=tcp:127.0.0.1:18080-:80",
    "--publish 18080:80 --publish 0.0.0.0:18053:53/udp": (
        "hostfwd=tcp:127.0.0.1:18080-:80,hostfwd=udp:0.0.0.0:18053-:53"
    ),
    "--link cable": "-netdev dgram,id=t1,local.type=unix,local.path=",
    "--network lan --network wan": ",mcast=239.192.",
    "--9p .": "mount_tag=9p0",
    "--virtiofs . --virtiofsd ./virtiofsd": (
        "-chardev socket,id=char0,path=os-state/virtiofs0 "
        "-device vhost-user-fs-pci,chardev=char0,tag=virtiofs0"
    ),
    "--tpm": (
        "-chardev socket,id=tpmchar,path=os-state/tpm.sock "
        "-tpmdev emulator,id=tpm,chardev=tpmchar -device tpm-crb,tpmdev=tpm"
    ),
    "--tpm12": "-device tpm-tis,tpmdev=tpm",
    "--vsock 5": "-device vhost-vsock-pci,guest-cid=5",
    "--snapshot": " -snapshot",
    "--exec": "-append quiet compos.exec",
    "--name web": "/web/qmp.sock,server=on,wait=off",
    "--detached": "-append quiet compos.exec",
    "--detached --no-exec": "-daemonize",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        *("os-kernel", "os-initrd.img", "os-squashfs.img", "os-erofs.img", "os.iso"),
        *("disk.raw", "firmware"),
    ):
        (tmp_path / name).touch()
    (tmp_path / "os-cmdline").write_text("quiet\n")
    program = tmp_path / "qemu"
    # A QEMU that goes on in the background has written its process id.
    program.write_text(
        '#!/bin/sh\necho "$*" > arguments\nmkdir -p os-state\necho 1 > os-state/qemu.pid\n'
    )
    program.chmod(0o755)
    daemon(tmp_path, LISTENS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LINUXKIT_QEMU_ACCEL", "tcg")
    return tmp_path


@pytest.mark.parametrize("flags", FLAGS)
def test_a_flag(folder: Path, flags: str) -> None:
    options = ["--qemu", "./qemu", "--arch", "x86_64", *flags.split()]
    for path in folder.glob("os-*.img"):
        kind = path.stem.removeprefix("os-")
        if kind in ("squashfs", "erofs") and f"--{kind}" not in flags:
            path.unlink()
    assert main(["--cache", "cache", "run", "qemu", *options, "os"]) == 0
    line = (folder / "arguments").read_text()
    assert FLAGS[flags] in line
    assert ("compos.exec" in line) == (FLAGS[flags].endswith("compos.exec"))
    assert line.count("-netdev") == 1 + flags.count("--link") + flags.count("--network ") - (
        "none" in flags
    )


def test_linuxkits_flags_are_all_here() -> None:
    ours = {name for parameter in qemu.params for name in parameter.opts}
    assert {f"--{name}" for name in LINUXKIT} <= ours


def test_every_flag_is_tried() -> None:
    ours = {name for parameter in qemu.params for name in parameter.opts if name.startswith("--")}
    tried = {word for flags in FLAGS for word in flags.split() if word.startswith("--")}
    elsewhere = {
        # Firmware is prepared for it: test_firmware, tests/boot/test_secure_boot.
        "--secure-boot",
        *("--qemu", "--detach"),
    }
    everywhere = {
        *("--cache", "--trust-cache", "--mirror", "--cert-file", "--insecure-registry"),
        *("--bricks", "--bricks-key", "--policy", "--quiet", "--verbose"),
    }
    assert ours - tried - elsewhere - everywhere == set()
