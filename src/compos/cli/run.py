"""`compos run`: boot a system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compos.cli.settings import Settings, global_options

__all__ = ["run"]

SAME = (
    "arch",
    "accel",
    "qemu",
    "state",
    "cpus",
    "mem",
    "uefi",
    "gui",
    "usb",
    "no_reboot",
    "detached",
    "virtiofsd",
)
"""Options that the library takes under the same name and as they are."""

OTHERS = (
    "aws azure equinixmetal gcp hyperkit hyperv openstack scaleway vbox vcenter "
    "virtualization vmware"
)
"""LinuxKit's other back ends: followed by more words, none of them is a path."""


class BackEnds(click.Group):
    """`run PATH` is `run qemu PATH`: a word that is no back end is a path, as in LinuxKit."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Put the default back end in front of anything that names none."""
        if not args:
            raise click.UsageError("missing path: run [qemu] PATH", context)
        if args[0] in OTHERS.split() and len(args) > 1:
            raise click.UsageError(
                f"no back end {args[0]!r}; supported: {', '.join(self.commands)}", context
            )
        if args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = ["qemu", *args]
        return super().parse_args(context, args)


@click.group(cls=BackEnds)
def run() -> None:
    """Boot a system, in QEMU unless another back end is named."""


@run.command
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--kernel", is_flag=True, help="Boot PATH-kernel and PATH-initrd.img.")
@click.option(
    "--squashfs", is_flag=True, help="Boot PATH-kernel with PATH-squashfs.img as root disk."
)
@click.option("--erofs", is_flag=True, help="Boot PATH-kernel with PATH-erofs.img as root disk.")
@click.option("--iso", is_flag=True, help="Boot PATH as a CD.")
@click.option(
    "--cpus", type=click.IntRange(1), default=1, show_default=True, help="Number of CPUs."
)
@click.option(
    "--mem",
    type=click.IntRange(16),
    default=1024,
    show_default=True,
    metavar="MB",
    help="Memory in MiB.",
)
@click.option(
    "--disk",
    multiple=True,
    metavar="SPEC",
    help="Disk: [file=]PATH[,size=2G][,format=qcow2]; repeatable.",
)
@click.option("--data", metavar="TEXT", help="Metadata for the guest, attached as a CD.")
@click.option(
    "--data-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Metadata for the guest from a file.",
)
@click.option(
    "--publish",
    multiple=True,
    metavar="[ADDR:]HOST:GUEST[/udp]",
    help="Publish a port; repeatable. Binds to 127.0.0.1 unless ADDR is set; LinuxKit binds to "
    "0.0.0.0.",
)
@click.option(
    "--networking",
    default="user",
    show_default=True,
    metavar="MODE",
    help="Network of the guest: user, bridge,NAME, tap,NAME or none.",
)
@click.option(
    "--accel",
    default="",
    metavar="NAME",
    envvar="LINUXKIT_QEMU_ACCEL",
    help="QEMU's accelerator [LINUXKIT_QEMU_ACCEL; kvm or hvf if a guest really runs with it, else "
    "tcg].",
)
@click.option(
    "--arch",
    default="",
    metavar="ARCH",
    help="Architecture of the guest: x86_64, aarch64 or riscv64 [this machine's].",
)
@click.option(
    "--state", type=click.Path(path_type=Path), metavar="DIR", help="State directory [PATH-state]."
)
@click.option("--uefi", is_flag=True, help="Boot with UEFI firmware.")
@click.option(
    "--fw",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="UEFI firmware [the system's]; implies --uefi.",
)
@click.option("--gui", is_flag=True, help="Open QEMU's window.")
@click.option("--usb", is_flag=True, help="Add a USB controller.")
@click.option(
    "--device", multiple=True, metavar="TEXT", help="Argument for QEMU's -device; repeatable."
)
@click.option(
    "--virtiofs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Share a folder with the guest, which mounts it by its tag: virtiofs0, virtiofs1, ...; "
    "repeatable.",
)
@click.option(
    "--virtiofsd",
    default="",
    metavar="PROGRAM",
    help="The virtiofsd program [in PATH, or next to QEMU].",
)
@click.option(
    "--detached",
    is_flag=True,
    help="Return as soon as the guest runs; its console is written to the state directory.",
)
@click.option(
    "--qemu", default="", metavar="PROGRAM", help="The QEMU program [the architecture's, in PATH]."
)
@click.option("--no-reboot", is_flag=True, help="Exit instead of rebooting.")
@global_options
def qemu(path: Path, *, settings: Settings, **options: Any) -> int:
    """Boot PATH in QEMU: the prefix of built files, an ISO, or a disk image.

    The guest's console is your terminal. ctrl-a x ends QEMU; ctrl-c is passed to the guest.
    """
    kind = _kind(options)
    metadata = _metadata(options)
    from compos.api.access import Access
    from compos.errors import RunError
    from compos.run.disks import parse_disk
    from compos.run.machine import launch
    from compos.run.network import parse_networking, parse_publish
    from compos.run.prepare import RunRequest, prepare

    access = Access(settings.images)
    prepared = prepare(
        RunRequest(
            path,
            lambda: access.store,
            kind=kind,
            metadata=metadata,
            disks=tuple(map(parse_disk, options["disk"])),
            publish=tuple(map(parse_publish, options["publish"])),
            networking=parse_networking(options["networking"]),
            firmware=options["fw"],
            devices=options["device"],
            shares=options["virtiofs"],
            **{name: options[name] for name in SAME},
        )
    )
    with launch(prepared) as machine:
        status = machine.wait()
    if status == 0 and prepared.detached:
        from compos.progress import notice

        pid = prepared.pid_file.read_text().strip()
        notice(
            f"QEMU runs as process {pid} until the guest powers off or you run `kill {pid}`. "
            f"Console: {prepared.console}"
        )
    if status:
        ended = f"ended with status {status}" if status > 0 else f"was killed by signal {-status}"
        raise RunError(
            "qemu-failed",
            f"QEMU {ended}",
            place=prepared.qemu,
            hint="See the message from QEMU above.",
        )
    return 0


def _kind(options: dict[str, Any]) -> str:
    kinds = [kind for kind in ("kernel", "squashfs", "erofs", "iso") if options[kind]]
    if len(kinds) > 1:
        raise click.UsageError(f"{' and '.join(f'--{kind}' for kind in kinds)} cannot be combined")
    return "".join(kinds)


def _metadata(options: dict[str, Any]) -> bytes:
    if options["data"] and options["data_file"]:
        raise click.UsageError("--data and --data-file cannot be combined")
    return (
        options["data_file"].read_bytes()
        if options["data_file"]
        else (options["data"] or "").encode()
    )
