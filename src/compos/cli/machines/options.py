"""Flags that hypervisors share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from compos.cli.settings import global_options, with_flags

if TYPE_CHECKING:
    from compos.run.hypervisors.prepare import Wanted

__all__ = [
    "ACCEL",
    "CPUS",
    "DATA",
    "GUI",
    "KEEP",
    "MEM",
    "NAME",
    "UEFI",
    "VIRTIOFS",
    "machine_options",
]

Result = TypeVar("Result")

CPUS = click.option(
    "--cpus", type=click.IntRange(1), default=1, show_default=True, help="Number of CPUs."
)
MEM = click.option(
    "--mem",
    type=click.IntRange(16),
    default=1024,
    show_default=True,
    metavar="MB",
    help="Memory in MiB.",
)
ACCEL = click.option(
    "--accel",
    default="",
    metavar="NAME",
    envvar="LINUXKIT_QEMU_ACCEL",
    help="QEMU's accelerator [LINUXKIT_QEMU_ACCEL; kvm or hvf if a guest really runs with it, else "
    "tcg].",
)
VIRTIOFS = click.option(
    "--virtiofs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Share a folder with the guest, which mounts it by its tag: virtiofs0, virtiofs1, ...; "
    "repeatable.",
)

_SHARED = (
    click.argument("path", metavar="PATH", type=click.Path(path_type=Path)),
    CPUS,
    MEM,
    click.option(
        "--disk",
        multiple=True,
        metavar="SPEC",
        help="Disk: [file=]PATH[,size=2G][,format=F]; repeatable.",
    ),
    click.option(
        "--state",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="State directory [PATH-state].",
    ),
)

NAME = click.option(
    "--name", default="", metavar="NAME", help="The machine's name [PATH's, without its suffix]."
)
KEEP = click.option("--keep", is_flag=True, help="Keep the machine when its console ends.")
GUI = click.option("--gui", is_flag=True, help="Open the machine's window.")
UEFI = click.option("--uefi", is_flag=True, help="Boot with UEFI firmware.")

_DATA = (
    click.option("--data", metavar="TEXT", help="Metadata for the guest, attached as a CD."),
    click.option(
        "--data-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Metadata for the guest from a file.",
    ),
)


def DATA(function: Callable[..., Result]) -> Callable[..., Result]:  # noqa: N802  with the others
    """The flags of metadata."""
    return with_flags(function, _DATA)


def machine_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Add what all have; the command gets it as `wanted`, with those of the flags above that it
    has."""

    @wraps(function)
    def command(**options: Any) -> Result:
        from compos.run.disks import parse_disk
        from compos.run.hypervisors.prepare import Wanted

        data, file = options.pop("data", None), options.pop("data_file", None)
        if data and file:
            raise click.UsageError("--data and --data-file cannot be combined")
        same = ("path", "name", "state", "cpus", "mem", "uefi", "gui", "keep")
        wanted: Wanted = Wanted(
            **{name: options.pop(name) for name in same if name in options},
            kind="iso" if options.pop("iso", False) else "",
            disks=tuple(map(parse_disk, options.pop("disk"))),
            metadata=file.read_bytes() if file else (data or "").encode(),
        )
        return function(wanted=wanted, **options)

    return global_options(with_flags(command, _SHARED))
