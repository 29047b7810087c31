"""`compos run`: boot a system."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import click

from compos.cli.settings import global_options, settings_of

__all__ = ["run"]


class BackEnds(click.Group):
    """`run PATH` is `run qemu PATH`: a word that is no back end is a path, as in LinuxKit."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Put the default back end in front of anything that names none."""
        if not args:
            raise click.UsageError("a path is missing: run [qemu] PATH", context)
        if args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["qemu", *args]
        return super().parse_args(context, args)


@click.group(cls=BackEnds)
def run() -> None:
    """Boot a system; without a back end's name in QEMU."""


@run.command
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--kernel", is_flag=True, help="Boot PATH-kernel and PATH-initrd.img.")
@click.option("--squashfs", is_flag=True, help="Boot PATH-kernel with PATH-squashfs.img as root disk.")
@click.option("--iso", is_flag=True, help="Boot PATH as a CD.")
@click.option("--cpus", type=click.IntRange(1), default=1, show_default=True, help="Number of CPUs.")
@click.option("--mem", type=click.IntRange(16), default=1024, show_default=True, metavar="MB", help="Memory in MiB.")
@click.option("--disk", multiple=True, metavar="SPEC", help="Disk: [file=]PATH[,size=2G][,format=qcow2]; repeatable.")
@click.option(
    "--publish",
    multiple=True,
    metavar="[ADDR:]HOST:GUEST[/udp]",
    help="Publish a port, on 127.0.0.1 by default; repeatable.",
)
@click.option(
    "--networking", default="user", show_default=True, metavar="MODE", help="user, bridge,NAME, tap,NAME or none."
)
@click.option("--accel", metavar="NAME", help="QEMU's accelerator; default: kvm where a guest truly runs, else tcg.")
@click.option("--arch", metavar="ARCH", help="x86_64, aarch64 or riscv64 [this machine's].")
@click.option("--state", type=click.Path(path_type=Path), metavar="DIR", help="State directory [PATH-state].")
@click.option("--uefi", is_flag=True, help="Boot with UEFI firmware (--fw).")
@click.option(
    "--fw",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default=Path("/usr/share/OVMF/OVMF_CODE_4M.fd"),
    help="Firmware for --uefi.",
)
@click.option("--gui", is_flag=True, help="Open QEMU's window.")
@click.option("--usb", is_flag=True, help="Add a USB controller.")
@click.option("--device", multiple=True, metavar="TEXT", help="Passed to QEMU's -device; repeatable.")
@click.option("--qemu", metavar="PROGRAM", help="The QEMU program.")
@click.option("--no-reboot", is_flag=True, help="End instead of rebooting.")
@global_options
def qemu(path: Path, **options: Any) -> int:
    """Boot PATH in QEMU: the prefix of built files, an ISO, or a disk image. The console is the terminal (ctrl-a x ends it)."""
    settings = settings_of(options)
    from compos.errors import RunError
    from compos.run.accel import choose_accel
    from compos.run.boot import find_boot
    from compos.run.disks import make_disks, parse_disk
    from compos.run.network import check_free, mac_address, parse_networking, parse_publish
    from compos.run.qemu import Options, find_qemu, launch

    arch = options["arch"] or platform.machine()
    boot = find_boot(path, kernel=options["kernel"], squashfs=options["squashfs"], iso=options["iso"])
    disks = tuple(map(parse_disk, options["disk"]))
    publish = tuple(map(parse_publish, options["publish"]))
    networking = parse_networking(options["networking"])
    if publish and networking != "user":
        raise RunError("publish-networking", "ports can be published with user networking only")
    program = find_qemu(arch, options["qemu"])
    for rule in publish:
        check_free(rule)
    if options["uefi"] and not options["fw"].is_file():
        raise RunError(
            "firmware-missing", "the firmware does not exist", place=str(options["fw"]), hint="Install ovmf."
        )
    state = options["state"] or boot.prefix.with_name(f"{boot.prefix.name}-state")
    state.mkdir(mode=0o755, parents=True, exist_ok=True)
    accel = options["accel"] or choose_accel(program, boot.kernel, arch, settings.store_root / "derived" / "accel")
    machine = launch(
        Options(
            boot,
            state,
            None if networking == "none" else mac_address(state),
            arch=arch,
            accel=accel,
            cpus=options["cpus"],
            mem=options["mem"],
            disks=make_disks(disks, state),
            publish=publish,
            networking=networking,
            firmware=options["fw"] if options["uefi"] else None,
            gui=options["gui"],
            usb=options["usb"],
            no_reboot=options["no_reboot"],
            devices=options["device"],
            qemu=program,
        )
    )
    status = machine.wait()
    if status:
        raise RunError("qemu-failed", f"QEMU ended with status {status}", place=program, hint="See its message above.")
    return 0
