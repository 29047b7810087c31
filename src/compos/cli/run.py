"""`compos run`: boot a system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compos.cli.complete import complete_file
from compos.cli.machines import MACHINES, machine_command
from compos.cli.machines.options import ACCEL, CPUS, DATA, MEM, VIRTIOFS
from compos.cli.providers import CLOUDS, provider_command
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
    "tpm",
    "tpm12",
    "vsock",
    "snapshot",
    "name",
)
"""Options that the library takes under the same name and as they are."""

OTHERS = "equinixmetal hyperkit"
"""LinuxKit's other back ends: followed by more words, none of them is a path."""


class BackEnds(click.Group):
    """`run PATH` is `run qemu PATH`: a word that is no back end is a path, as in LinuxKit."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Put the default back end in front of anything that names none."""
        if not args:
            raise click.UsageError("missing path: run [qemu] PATH", context)
        if args[0] in OTHERS.split() and len(args) > 1:
            supported = ", ".join(self.list_commands(context))
            raise click.UsageError(f"no back end {args[0]!r}; supported: {supported}", context)
        known = (*self.list_commands(context), "-h", "--help")
        return super().parse_args(context, args if args[0] in known else ["qemu", *args])

    def list_commands(self, context: click.Context) -> list[str]:
        """QEMU, the other hypervisors, and clouds."""
        return sorted([*self.commands, *MACHINES, *CLOUDS])

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """A back end's command, imported now."""
        if name in CLOUDS:
            return provider_command(name, "run")
        return machine_command(name) if name in MACHINES else super().get_command(context, name)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of back ends: help must not import them."""
        shown = {"qemu": "QEMU: the default.", **MACHINES, **CLOUDS}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(shown.items()))


@click.group(cls=BackEnds)
def run() -> None:
    """Boot a system, in QEMU unless another back end is named."""


@run.command
@click.argument("path", metavar="PATH", shell_complete=complete_file)
@click.option("--kernel", is_flag=True, help="Boot PATH-kernel and PATH-initrd.img.")
@click.option(
    "--squashfs", is_flag=True, help="Boot PATH-kernel with PATH-squashfs.img as root disk."
)
@click.option("--erofs", is_flag=True, help="Boot PATH-kernel with PATH-erofs.img as root disk.")
@click.option("--iso", is_flag=True, help="Boot PATH as a CD.")
@CPUS
@MEM
@click.option(
    "--disk",
    multiple=True,
    metavar="SPEC",
    help="Disk: [file=]PATH[,size=2G][,format=qcow2]; repeatable.",
)
@DATA
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
    "--link",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="One more network card, connected to the guest that is started with the same DIR; "
    "repeatable.",
)
@click.option(
    "--network",
    multiple=True,
    metavar="NAME",
    help="One more network card, in a network with all guests of yours that are started with the "
    "same NAME; it does not leave this machine; repeatable.",
)
@ACCEL
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
@click.option(
    "--secure-boot",
    type=click.Path(path_type=Path),
    metavar="KEYS",
    help="Boot with UEFI firmware in which the keys in this folder are enrolled (compos keys new), "
    "and which starts nothing that they did not sign.",
)
@click.option(
    "--tpm", is_flag=True, help="Add a TPM 2.0 (swtpm); its state is kept with the guest's."
)
@click.option("--tpm12", is_flag=True, help="The same with a TPM 1.2, as older machines have it.")
@click.option("--gui", is_flag=True, help="Open QEMU's window.")
@click.option("--usb", is_flag=True, help="Add a USB controller.")
@click.option(
    "--device", multiple=True, metavar="TEXT", help="Argument for QEMU's -device; repeatable."
)
@VIRTIOFS
@click.option(
    "--virtiofsd",
    default="",
    metavar="PROGRAM",
    help="The virtiofsd program [in PATH, or next to QEMU].",
)
@click.option(
    "--9p",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Share a folder without virtiofsd; the guest mounts it as 9p by its tag: 9p0, 9p1, ...; "
    "repeatable.",
)
@click.option(
    "--vsock",
    type=click.IntRange(3, 0xFFFFFFFE),
    metavar="CID",
    help="Give the guest this address for vsock(7).",
)
@click.option(
    "--snapshot",
    is_flag=True,
    help="Leave disks and CDs as they are: what the guest writes is gone when it ends.",
)
@click.option(
    "--detached",
    "--detach",
    is_flag=True,
    help="Return as soon as the guest runs; its console is written to the state directory "
    "(compos logs, compos console).",
)
@click.option(
    "--name",
    default="",
    metavar="NAME",
    help="Name of the running guest, for compos ps, stop and others [the last part of PATH].",
)
@click.option(
    "--exec/--no-exec",
    "can_exec",
    default=None,
    help="Whether compos exec can run commands in the guest [with --detached].",
)
@click.option(
    "--qemu", default="", metavar="PROGRAM", help="The QEMU program [the architecture's, in PATH]."
)
@click.option("--no-reboot", is_flag=True, help="Exit instead of rebooting.")
@global_options
def qemu(path: str, *, settings: Settings, **options: Any) -> int:
    """Boot PATH in QEMU: the prefix of built files, an ISO, a disk image, or YAML, which is built;
    or a URL from the network.

    The guest's console is your terminal. ctrl-a x ends QEMU; ctrl-c is passed to the guest.
    """
    kind = _kind(options)
    metadata = _metadata(options)
    from compos.api.access import Access
    from compos.api.options import LoadOptions
    from compos.errors import RunError
    from compos.run.disks import parse_disk
    from compos.run.machine import launch
    from compos.run.network import parse_networking, parse_publish
    from compos.run.prepare import RunRequest, prepare

    access = Access(settings.images)
    disks = tuple(map(parse_disk, options["disk"]))
    if path.endswith((".yml", ".yaml")) and Path(path).is_file() and not kind:
        from compos.api.run import build_to_run
        from compos.run.data_disk import with_data_disk

        source = Path(path)
        options["state"] = options["state"] or source.with_name(f"{source.stem}-state")
        built = build_to_run(
            source,
            options["state"],
            architecture=options["arch"] or None,
            images=settings.images,
            load=settings.trusted(LoadOptions()),
        )
        path = str(built.prefix)
        disks = with_data_disk(built.config, disks, options["state"])
    prepared = prepare(
        RunRequest(
            Path(path),
            lambda: access.store,
            url=path if path.startswith(("http://", "https://")) else "",
            kind=kind,
            metadata=metadata,
            disks=disks,
            publish=tuple(map(parse_publish, options["publish"])),
            networking=parse_networking(options["networking"]),
            links=options["link"],
            networks=options["network"],
            folders=options["folders"],
            firmware=options["fw"],
            secure_boot=options["secure_boot"],
            devices=options["device"],
            shares=options["virtiofs"],
            exec=options["detached"] if options["can_exec"] is None else options["can_exec"],
            **{name: options[name] for name in SAME},
        )
    )
    with launch(prepared) as machine:
        status = machine.wait()
    if status == 0 and prepared.detached:
        from compos.progress import notice

        pid = prepared.pid_file.read_text().strip()
        name = prepared.slot.name if prepared.slot else ""
        notice(
            f"The guest {name} runs in QEMU, process {pid}, until it powers off or you run "
            f"`compos stop {name}`. Console: {prepared.console}"
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
