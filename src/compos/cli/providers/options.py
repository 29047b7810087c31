"""Flags that all clouds share, and what they print."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from compos.cli.complete import complete_file
from compos.cli.reading import reading_options
from compos.cli.settings import Settings, global_options, with_flags

if TYPE_CHECKING:
    from compos.api.options import LoadOptions
    from compos.api.push import PushOptions
    from compos.cloud.machine import Machine, MachineRequest, Machines
    from compos.cloud.model import Provider

__all__ = ["PushCommand", "RunCommand", "push_options", "push_to", "run_on", "run_options"]

Result = TypeVar("Result")

_FLAGS = (
    click.argument(
        "sources", nargs=-1, required=True, metavar="SOURCE...", shell_complete=complete_file
    ),
    click.option(
        "--dir",
        "folder",
        metavar="DIR",
        default=".",
        help="Folder for what is built [the current folder].",
    ),
    click.option("--size", metavar="SIZE", help="Disk size, if it is built: 512M, 2G."),
    click.option("--no-check", is_flag=True, help="Push the disk even if it would not run there."),
    click.option("--dry-run", is_flag=True, help="Print every call instead of making it."),
    click.option("--json", "as_json", is_flag=True, help="Print the ids as JSON."),
)


class PushCommand(NamedTuple):
    """What is pushed, and how that is shown."""

    sources: tuple[str, ...]
    dry_run: bool
    as_json: bool

    @property
    def show(self) -> Callable[[str], None] | None:
        """What prints the calls of a dry run."""
        return click.echo if self.dry_run else None


class RunCommand(NamedTuple):
    """For how long a machine is wanted, and how that is shown."""

    until_stopped: bool
    remove: bool
    dry_run: bool
    as_json: bool

    @property
    def show(self) -> Callable[[str], None] | None:
        """What prints the calls of a dry run."""
        return click.echo if self.dry_run else None


def push_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Add what all pushes have; the command gets it as `push` and `command`."""

    @wraps(function)
    def command(
        *,
        settings: Settings,
        reading: LoadOptions,
        folder: str,
        size: str | None,
        no_check: bool,
        sources: tuple[str, ...],
        dry_run: bool,
        as_json: bool,
        **others: object,
    ) -> Result:
        from compos.api.build import BuildOptions
        from compos.api.push import PushOptions
        from compos.cli.build import disk_size

        build = BuildOptions(
            settings.trusted(reading), settings.images, folder=Path(folder), size=disk_size(size)
        )
        push = PushOptions(build, check=not no_check)
        return function(push=push, command=PushCommand(sources, dry_run, as_json), **others)

    return global_options(reading_options(with_flags(command, _FLAGS)))


def push_to(
    provider: str,
    push: PushOptions,
    command: PushCommand,
    connect: Callable[[Path], Provider],
) -> None:
    """Push, and print the image's id, or all ids as JSON."""
    from compos.api.push import push as push_system
    from compos.progress import notice

    image, outcome = push_system(provider, command.sources, push, connect)
    if command.dry_run:
        return
    for kind, id in outcome.pushed.ids.items():
        notice(f"{kind}: {id}")
    notice(f"{'found' if outcome.found else 'pushed'} {image.name} sha256:{image.digest}")
    if command.as_json:
        document = {
            "provider": provider,
            "name": image.name,
            "digest": f"sha256:{image.digest}",
            "id": outcome.pushed.id,
            "ids": dict(outcome.pushed.ids),
            "found": outcome.found,
        }
        click.echo(json.dumps(document))
    else:
        click.echo(outcome.pushed.id)


def run_options(
    *,
    size: str,
    zone: str = "",
    size_flag: str = "--machine",
    zone_flag: str = "--zone",
    certified: bool = False,
    variables: tuple[str, str] = ("", ""),
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Add the flags of all machines; the command gets them as `request` and `command`. `size` and
    `zone` are defaults, which `variables` override; without a `size_flag` or `zone_flag`, the cloud
    has no such words. One that is `certified` gets the files of --cert-file as `certificates`."""
    flags = (
        click.argument("image", metavar="IMAGE"),
        click.option("--name", metavar="NAME", help="Name of the machine [the image's]."),
        *_place_flags((size_flag, zone_flag), (size, zone), variables),
        click.option("--data", metavar="TEXT", help="User data for the machine."),
        click.option(
            "--data-file", type=click.Path(path_type=Path), metavar="FILE", help="From a file."
        ),
        click.option(
            "--disk",
            "disks",
            multiple=True,
            metavar="size=SIZE",
            help="One more disk: size=10G; repeatable.",
        ),
        click.option("--no-public", is_flag=True, help="Without an address of the internet."),
        click.option(
            "--wait",
            "until_stopped",
            is_flag=True,
            help="Wait until the machine has powered off, and print its console.",
        ),
        click.option(
            "--rm", "remove", is_flag=True, help="Delete the machine at the end; implies --wait."
        ),
        click.option("--dry-run", is_flag=True, help="Print every call instead of making it."),
        click.option("--json", "as_json", is_flag=True, help="Print the machine as JSON."),
    )

    def decorate(function: Callable[..., Result]) -> Callable[..., Result]:
        @wraps(function)
        def command(
            *,
            settings: Settings,
            image: str,
            name: str | None,
            size: str = "",
            zone: str = "",
            data: str | None,
            data_file: Path | None,
            disks: tuple[str, ...],
            no_public: bool,
            until_stopped: bool,
            remove: bool,
            dry_run: bool,
            as_json: bool,
            **others: object,
        ) -> Result:
            from compos.cloud.machine import MachineRequest

            if data and data_file:
                raise click.UsageError("--data and --data-file cannot be combined")
            content = data_file.read_bytes() if data_file else (data or "").encode()
            request = MachineRequest(
                image,
                name or image.rpartition("/")[2],
                size,
                zone,
                content,
                "",
                tuple(map(_gibibytes, disks)),
                not no_public,
            )
            if certified:
                others["certificates"] = settings.images.certificates
            shown = RunCommand(until_stopped, remove, dry_run, as_json)
            return function(request=request, command=shown, **others)

        return global_options(with_flags(command, flags))

    return decorate


def _place_flags(
    names: tuple[str, str], defaults: tuple[str, str], variables: tuple[str, str]
) -> list[Callable[..., Any]]:
    """The flags for a machine's type and zone."""
    rows = zip(
        names, ("size", "zone"), ("TYPE", "ZONE"), ("Type of the machine", "Zone"), defaults,
        variables, strict=True,
    )  # fmt: skip
    return [
        click.option(
            name,
            parameter,
            metavar=metavar,
            default=default,
            envvar=variable or None,
            show_default=bool(default),
            help=meaning + (f" [{variable}]." if variable else "."),
        )
        for name, parameter, metavar, meaning, default, variable in rows
        if name
    ]


def _gibibytes(text: str) -> int:
    """The size of a disk, given as LinuxKit has it, in whole GiB."""
    from compos.arithmetic import ceil_div
    from compos.run.disks import parse_disk

    size = parse_disk(text).size  # MiB
    if not size:
        raise click.UsageError(f"--disk needs a size, as in size=10G, not {text!r}")
    return ceil_div(size, 1024)


def run_on(
    provider: str,
    machines: Machines,
    request: MachineRequest,
    command: RunCommand,
) -> None:
    """Run a machine; print its id, or all of it as JSON, and its address."""
    from compos.cloud.machine import run_machine
    from compos.progress import notice

    def show(machine: Machine) -> None:
        if command.dry_run:
            return
        notice(f"{machine.name} runs at {machine.address or 'no address'}")
        document = {"provider": provider, **machine._asdict()}
        click.echo(json.dumps(document) if command.as_json else machine.id)

    run_machine(
        machines,
        request,
        show=show,
        print_console=lambda text: click.echo(text, nl=False),
        until_stopped=command.until_stopped or command.remove,
        remove=command.remove,
    )
