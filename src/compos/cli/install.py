"""`compos install`: a system onto a disk of this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compos.cli.build import disk_size
from compos.cli.complete import complete_file
from compos.cli.debian import DebianMirrors, debian_options
from compos.cli.outputs import root_option
from compos.cli.reading import reading_options
from compos.cli.settings import Settings, global_options
from compos.cli.text import visible

if TYPE_CHECKING:
    from compos.api.install import Plan
    from compos.api.options import LoadOptions

__all__ = ["install"]


@click.command
@click.argument("disk", type=click.Path(path_type=Path), metavar="DISK")
@click.argument("sources", nargs=-1, required=True, metavar="FILE...", shell_complete=complete_file)
@click.option("--erase", is_flag=True, help="Take the disk whatever is on it, unless it is in use.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--size", metavar="SIZE", help="Make a disk image of this size: 512M, 2 or 2G.")
@root_option("Root of the system: unpacked into memory (initrd), or a file system on the disk.")
@click.option(
    "--keys",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Sign UEFI programs for Secure Boot with the set of keys in DIR (compos keys new).",
)
@reading_options
@debian_options
@global_options
def install(
    disk: Path,
    sources: tuple[str, ...],
    *,
    settings: Settings,
    reading: LoadOptions,
    debian: DebianMirrors,
    erase: bool,
    yes: bool,
    size: str | None,
    root: str,
    keys: Path | None,
) -> int:
    """Put a system on DISK, a disk of this machine or a file that stands for one, as an installer
    would.

    A disk that holds something is refused without --erase, and one in use always. The exit status
    is 1 if nothing was done.
    """
    from compos.api.build import BuildOptions
    from compos.api.install import install as install_system

    options = BuildOptions(
        settings.trusted(reading),
        debian.over(settings),
        root=root,
        size=disk_size(size),
        keys=keys,
    )

    def agreed(plan: Plan) -> bool:
        mib = 1 << 20
        holds = f"it holds {plan.holds}, which is lost" if plan.holds else "it holds nothing"
        click.echo(
            f"{visible(str(plan.path))} has {plan.size // mib:,} MiB, and {holds}; "
            f"{plan.written // mib:,} MiB are written.",
            err=True,
        )
        return yes or _confirmed()

    done = install_system(disk, sources, options, erase=erase, agreed=agreed)
    text = "The system is installed." if done else "Nothing is changed."
    click.echo(text, err=True)
    return 0 if done else 1


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("there is nobody to ask: use --yes")
    return click.confirm("Install?", err=True)
