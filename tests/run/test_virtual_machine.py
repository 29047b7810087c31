"""A virtual machine's arguments: those that `run` does not use are here, the others in
`test_qemu`."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from compos.run.firmware import Firmware
from compos.run.virtual_machine import (
    BUSES,
    Console,
    Drive,
    VirtualMachine,
    arguments,
)

BASE = VirtualMachine()
DRIVE = Drive(Path("a,b"), "raw", bus="virtio")


@pytest.mark.parametrize(
    ("machine", "part"),
    [
        (BASE, "qemu-system-x86_64 -smp 1 -m 1024 -machine q35 -accel tcg,thread=single "),
        (BASE, "-nographic -monitor none -serial stdio"),
        (replace(BASE, program="/opt/qemu"), "/opt/qemu -smp"),
        (replace(BASE, defaults=False), " -nodefaults "),
        (replace(BASE, reboot=False), " -no-reboot"),
        (replace(BASE, pid_file=Path("p")), " -pidfile p "),
        (
            replace(BASE, state_disk=Path("a,b")),
            " -blockdev driver=qcow2,node-name=vmstate,file.driver=file,file.filename=a,,b",
        ),
        (
            replace(BASE, console=Path("a,b")),
            "-display none -chardev file,id=console,path=a,,b -serial chardev:console",
        ),
        (
            replace(BASE, drives=(DRIVE,)),
            (
                "-drive if=none,id=drive0,file=a,,b,format=raw,media=disk "
                "-device virtio-blk-pci,drive=drive0,bootindex=1 "
            ),
        ),
        (
            replace(BASE, drives=(replace(DRIVE, bus="usb", snapshot=True),)),
            (
                "media=disk,snapshot=on -device qemu-xhci "
                "-device usb-storage,drive=drive0,removable=on,bootindex=1 "
            ),
        ),
        (
            replace(BASE, drives=(Drive(Path("x.iso"), cd=True, bus="scsi-cd"), DRIVE)),
            "id=drive0,file=x.iso,media=cdrom -device virtio-scsi-pci -device scsi-cd,drive=drive0",
        ),
        (
            replace(BASE, drives=(Drive(Path("x.iso"), cd=True, bus="scsi-cd"), DRIVE)),
            "-device virtio-blk-pci,drive=drive1,bootindex=2 ",
        ),
        (
            replace(BASE, firmware=Firmware(Path("code"), Path("vars"), secure=True)),
            ("-machine q35,smm=on -accel tcg,thread=single "),
        ),
        (
            replace(BASE, firmware=Firmware(Path("code"), Path("vars"), secure=True)),
            (
                "file=code -drive if=pflash,unit=1,format=raw,file=vars "
                "-global driver=cfi.pflash01,property=secure,value=on "
                "-global ICH9-LPC.disable_s3=1 "
            ),
        ),
        (
            replace(BASE, tpm=Path("a,b")),
            (
                "-chardev socket,id=tpmchar,path=a,,b -tpmdev emulator,id=tpm,chardev=tpmchar "
                "-device tpm-crb,tpmdev=tpm "
            ),
        ),
        (replace(BASE, tpm=Path("a"), tpm12=True), "-device tpm-tis,tpmdev=tpm "),
        (
            replace(BASE, architecture="riscv64", drives=(Drive(Path("d"), index=0),)),
            "-drive file=d,index=0,media=disk,if=virtio ",
        ),
    ],
)
def test_arguments(machine: VirtualMachine, part: str) -> None:
    assert part in " ".join([*arguments(machine), ""])


def test_only_what_is_asked_for_is_there() -> None:
    line = arguments(replace(BASE, networking="none", console=Console.WINDOW))
    for name in ("-drive", "-kernel", "-netdev", "-chardev", "-usb", "-daemonize", "-nodefaults"):
        assert name not in line


@pytest.mark.parametrize(
    ("architecture", "bus"),
    [
        *(("x86_64", bus) for bus in BUSES),
        # QEMU's `virt` has no SATA controller.
        *(("aarch64", bus) for bus in BUSES if not bus.startswith("sata")),
    ],
)
def test_qemu_has_every_bus(tmp_path: Path, architecture: str, bus: str) -> None:
    """Stopped at the first instruction, told to quit through its monitor."""
    (tmp_path / "disk").write_bytes(bytes(1 << 20))
    cd = bus.endswith("-cd")
    machine = VirtualMachine(
        architecture,
        drives=(Drive(tmp_path / "disk", "raw", cd=cd, bus=bus, snapshot=True),),
        console=tmp_path / "console",
        defaults=False,
        networking="none",
    )
    line = [*arguments(machine), "-S", "-monitor", "stdio"]
    done = subprocess.run(
        line, input=b"info block\nquit\n", capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"drive0" in done.stdout
