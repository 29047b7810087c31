"""`compos lock`: exactly which images and Debian packages a system is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compos.cli.complete import complete_file
from compos.cli.debian import DebianMirrors, debian_options, snapshot_option
from compos.cli.outputs import format_option, root_option
from compos.cli.reading import reading_options
from compos.cli.settings import Settings, global_options

if TYPE_CHECKING:
    from compos.api.options import LoadOptions
    from compos.package.lock.currency import Change

__all__ = ["lock"]

OUTDATED = 100
"""Exit status of `--check` when something is listed, as `compos pkg outdated` has it."""


class _Lock(click.Command):
    """A command with a flag that may have a value, `--update[=NAME]`, and never takes the next
    argument for it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["--update=" if one == "--update" else one for one in args])


@click.command(cls=_Lock)
@click.argument("sources", nargs=-1, required=True, metavar="FILE...", shell_complete=complete_file)
@click.option(
    "--lock",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Path of the lock [os.lock beside os.yml].",
)
@format_option("Lock the images that these formats are made with, too [kernel+initrd].")
@root_option("Root of disks and ISOs, as in the build.")
@click.option(
    "--update",
    multiple=True,
    metavar="[=NAME]",
    help="Lock the newest images and packages, of all images or of NAME; repeatable.",
)
@click.option(
    "--check",
    is_flag=True,
    help="List what has changed since the lock was written, and exit with 100 if anything has.",
)
@click.option(
    "--security", is_flag=True, help="With --check, list only packages with security updates."
)
@click.option("--json", "as_json", is_flag=True, help="With --check, print JSON.")
@click.option(
    "--mirror-to",
    metavar="REPOSITORY",
    help="Push all parts to a registry, HOST[:PORT]/PATH, and name it in the lock.",
)
@reading_options
@snapshot_option
@debian_options
@global_options
def lock(
    sources: tuple[str, ...],
    *,
    settings: Settings,
    reading: LoadOptions,
    debian: DebianMirrors,
    path: Path | None,
    formats: tuple[str, ...],
    root: str,
    update: tuple[str, ...],
    check: bool,
    security: bool,
    as_json: bool,
    mirror_to: str | None,
) -> int:
    """Write the lock of a system: every image by its digest, every Debian package by version and
    SHA-256.

    What an existing lock says stays, unless --update is given. `compos build --locked` uses exactly
    what is locked.
    """
    from compos.api.lock import LockOptions, check_lock
    from compos.api.lock import lock as lock_system

    if check and (update or mirror_to):
        raise click.UsageError("--check cannot be combined with --update or --mirror-to")
    if (security or as_json) and not check:
        raise click.UsageError("--security and --json require --check")
    options = LockOptions(
        settings.trusted(reading),
        debian.over(settings),
        path,
        formats,
        root,
        tuple(filter(None, update)) if update else None,
        mirror_to,
    )
    # Those of other architectures stay in the lock.
    each = [
        options._replace(load=options.load._replace(architecture=one and one.strip()))
        for one in (reading.architecture.split(",") if reading.architecture else [None])
    ]
    if not check:
        for one in each:
            lock_system(sources, one)
        return 0
    changes = dict.fromkeys(change for one in each for change in check_lock(sources, one))
    listed = [one for one in changes if one.security or not security]
    if as_json:
        _print_json(listed)
    else:
        _print(listed, security=security)
    return OUTDATED if listed else 0


def _print_json(changes: Iterable[Change]) -> None:
    import json

    document = [
        {
            "name": one.name,
            "platform": one.platform,
            "security": one.security,
            "reasons": list(one.reasons),
            "packages": [package._asdict() for package in one.packages],
        }
        for one in changes
    ]
    click.echo(json.dumps({"changes": document}, indent=2))


def _print(changes: Iterable[Change], *, security: bool) -> None:
    for one in changes:
        click.echo(f"{one.name} {one.platform}".strip() or "lock")
        for line in _lines(one, security=security):
            click.echo(f"  {line}")


def _lines(change: Change, *, security: bool) -> Iterator[str]:
    if not security:
        yield from change.reasons
    for package in change.packages:
        if security and not package.security:
            continue
        now = f"{package.replacement} {package.now}".strip() or "no longer needed"
        origin = f"{package.suite} (security)" if package.security else package.suite
        yield f"{package.package} {package.version} -> {now} {origin}".rstrip()
