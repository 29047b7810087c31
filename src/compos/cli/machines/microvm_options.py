"""The options of small hypervisors, which boot a kernel by themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compos.cli.machines.options import CPUS, MEM
from compos.cli.settings import Settings, global_options, with_flags

if TYPE_CHECKING:
    from compos.run.hypervisors.microvm import MicroVm

__all__ = ["microvm_options"]

_FLAGS = (
    click.argument("prefix", metavar="PREFIX", type=click.Path(path_type=Path)),
    CPUS,
    MEM,
    click.option(
        "--disk",
        multiple=True,
        metavar="SPEC",
        help="Raw disk: PATH[,size=2G,format=raw]; repeatable.",
    ),
    click.option("--tap", default="", metavar="NAME", help="Network card, on this tap interface."),
    click.option("--vsock", type=click.IntRange(3), metavar="CID", help="Address for vsock(7)."),
    click.option(
        "--state",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="State directory [PREFIX-state].",
    ),
)


def microvm_options(function: Callable[[MicroVm], int]) -> Callable[..., int]:
    """Add the options to a command, which gets the machine that they describe."""

    @wraps(function)
    def command(
        *,
        settings: Settings,
        prefix: Path,
        cpus: int,
        mem: int,
        disk: tuple[str, ...],
        tap: str,
        vsock: int | None,
        state: Path | None,
    ) -> int:
        from compos.run.disks import make_disks, parse_disk
        from compos.run.hypervisors.microvm import MicroVm
        from compos.run.network import mac_address

        folder = state or prefix.with_name(f"{prefix.name}-state")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        disks = make_disks(tuple(map(parse_disk, disk)), folder)
        mac = mac_address(folder) if tap else ""
        return function(MicroVm(prefix, folder, cpus, mem, disks, tap, mac, vsock))

    return with_flags(global_options(command), _FLAGS)
