"""`compos build`: YAML in, output files out."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from compos.cli.complete import complete_file
from compos.cli.debian import DebianMirrors, debian_options, snapshot_option
from compos.cli.outputs import format_option, root_option
from compos.cli.reading import reading_options
from compos.cli.remote import remote_options
from compos.cli.settings import Settings, global_options
from compos.cli.switches import Command

if TYPE_CHECKING:
    from compos.api.build import BuildOptions
    from compos.api.options import LoadOptions, RemoteOptions
    from compos.compose.sbom import SbomOptions

__all__ = ["build", "disk_size"]

COMPRESSIONS = ("zstd", "gzip", "none", "max")
SBOM_FORMATS = ("spdx", "cyclonedx")


@click.command(cls=Command)
@click.argument("sources", nargs=-1, required=True, metavar="FILE...", shell_complete=complete_file)
@format_option("Output formats, separated by commas; repeatable [kernel+initrd].")
@click.option(
    "--name", metavar="NAME", help="Base name of the outputs [the last file's, without extension]."
)
@click.option("--dir", "folder", metavar="DIR", help="Folder for the outputs [the current folder].")
@click.option(
    "--o",
    "output",
    metavar="FILE|-",
    help="Write one streamable output (tar) to a file or standard output.",
)
@reading_options
@click.option(
    "--pull", is_flag=True, help="Ask the registry for every image, even if the store has it."
)
@click.option(
    "--compress",
    type=click.Choice(COMPRESSIONS),
    default="zstd",
    show_default=True,
    help="Compression of the initrd.",
)
@click.option(
    "--size",
    metavar="SIZE",
    help="Disk size: 512M in MiB, 2 or 2G in GiB [depends on the format].",
)
@root_option(
    "Root of disks and ISOs: unpacked into memory (initrd), or a file system on the medium."
)
@click.option(
    "--keys",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Sign UEFI programs for Secure Boot with the set of keys in DIR (compos keys new).",
)
@click.option(
    "--sign-command",
    metavar="COMMAND",
    help="Let this command sign in place of DIR/db.key: from standard input to standard output.",
)
@click.option(
    "--sign-later",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Write what is to be signed into FOLDER, and take signatures from there: build again when "
    "they are there.",
)
@click.option(
    "--pcr-phases",
    metavar="LIST",
    default="enter-initrd",
    show_default=True,
    help="Phases of the boot in which secrets bound to the PCR key of --keys may be unsealed.",
)
@click.option(
    "--efi-stub",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Make UEFI programs of this stub [that of compos/efi-stub].",
)
@click.option(
    "--sbat",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Add these SBAT entries to UEFI programs, for machines that start them with shim.",
)
@click.option("--push", metavar="NAME", help="Push the oci format to a registry under this name.")
@click.option(
    "--docker", is_flag=True, help="Look for images in the local Docker engine first, if it runs."
)
@click.option("--decompress-kernel", is_flag=True, help="Write the kernel uncompressed.")
@click.option(
    "--input-tar",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Tar of an earlier build, from which unchanged sections are copied if the store does not "
    "have their images.",
)
@click.option(
    "--locked",
    is_flag=True,
    help="Use exactly the images and packages of the system's lock, such as os.lock for os.yml, or "
    "fail.",
)
@click.option(
    "--lock",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Likewise, of this lock.",
)
@click.option(
    "--mirror-from",
    metavar="REPOSITORY",
    help="Take a lock's parts from a registry, HOST[:PORT]/PATH [the lock's own].",
)
@snapshot_option
@debian_options
@click.option(
    "--no-label-powers",
    is_flag=True,
    help="Refuse images whose labels grant power over the machine.",
)
@click.option("--no-sbom", is_flag=True, help="Leave out the SBOM (software bill of materials).")
@click.option(
    "--sbom-output",
    metavar="NAME",
    help="Path of the SBOM in the system [sbom.spdx.json, sbom.cdx.json].",
)
@click.option(
    "--sbom-format",
    type=click.Choice(SBOM_FORMATS),
    default="spdx",
    show_default=True,
    help="Format of the SBOM.",
)
@click.option(
    "--sbom-current-time",
    is_flag=True,
    help="Date the SBOM now (or SOURCE_DATE_EPOCH) instead of with the fixed date.",
)
@remote_options
@click.option(
    "--force", is_flag=True, help="Write the outputs even if they exist and are unchanged."
)
@click.option("--dry-run", is_flag=True, help="Print the merged YAML and stop.")
@global_options
def build(
    sources: tuple[str, ...],
    *,
    settings: Settings,
    reading: LoadOptions,
    debian: DebianMirrors,
    formats: tuple[str, ...],
    name: str | None,
    folder: str | None,
    output: str | None,
    pull: bool,
    compress: Literal["zstd", "gzip", "none", "max"],
    root: str,
    size: str | None,
    keys: Path | None,
    sign_command: str | None,
    sign_later: Path | None,
    pcr_phases: str,
    efi_stub: Path | None,
    sbat: Path | None,
    push: str | None,
    docker: bool,
    decompress_kernel: bool,
    input_tar: Path | None,
    locked: bool,
    lock: Path | None,
    mirror_from: str | None,
    no_label_powers: bool,
    no_sbom: bool,
    sbom_output: str | None,
    sbom_format: str,
    sbom_current_time: bool,
    remote: RemoteOptions,
    force: bool,
    dry_run: bool,
) -> None:
    """Build a system from YAML files and write it in one or more formats.

    Files are merged from left to right. - is standard input; http(s) URLs are fetched.
    """
    from compos.api.build import BuildOptions
    from compos.api.build import build as build_system

    _check_output(output, name, folder)
    _check_input_tar(input_tar, output, pull=pull, no_label_powers=no_label_powers)
    if sbom_output == "" and not no_sbom:
        raise click.UsageError("--sbom-output needs a name; to leave out the SBOM, use --no-sbom")
    _check_push(push, formats)
    _check_lock(lock, mirror_from, locked=locked, moving=pull or docker)
    if sign_command and keys is None:
        raise click.UsageError("--sign-command needs --keys, which has the certificate")
    if sign_later and (keys is None or sign_command):
        raise click.UsageError("--sign-later needs --keys, and no --sign-command")
    architectures = _several(reading.architecture)
    options = BuildOptions(
        settings.trusted(reading._replace(architecture=None) if architectures else reading),
        debian.over(settings),
        formats,
        Path(folder or "."),
        name or "",
        _target(output),
        compress,
        root,
        disk_size(size),
        pull=pull,
        docker=docker,
        push=push,
        decompress_kernel=decompress_kernel,
        input_tar=input_tar,
        label_powers=not no_label_powers,
        sbom=None if no_sbom else _sbom(sbom_output, sbom_format, current_time=sbom_current_time),
        force=force,
        lock=_lock(lock, sources, locked=locked),
        mirror_from=mirror_from,
        keys=keys,
        sign_command=sign_command or "",
        sign_later=sign_later,
        pcr_phases=_listed(pcr_phases),
        efi_stub=efi_stub,
        sbat=sbat,
        remote=remote,
        architectures=architectures,
    )
    if dry_run:
        _show(sources, options)
        return
    build_system(sources, options)


def _show(sources: Sequence[str], options: BuildOptions) -> None:
    """Print the merged YAML, one document for each of several architectures."""
    from compos.api.architectures import buildable_each
    from compos.api.build import require_buildable
    from compos.config.dump import to_yaml

    found = (
        [*buildable_each(sources, options).values()]
        if options.architectures
        else [require_buildable(sources, options)]
    )
    click.echo("---\n".join(to_yaml(one.description.config) for one in found))


def _several(architecture: str | None) -> tuple[str, ...]:
    """The architectures of a list; empty for one."""
    if architecture is None or "," not in architecture:
        return ()
    return _listed(architecture)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _lock(path: Path | None, sources: Sequence[str], *, locked: bool) -> Path | None:
    """The lock to use, if any."""
    if path is not None or not locked:
        return path
    from compos.package.lock.document import lock_path

    return lock_path(sources)


def _check_lock(path: Path | None, mirror_from: str | None, *, locked: bool, moving: bool) -> None:
    if path is None and not locked:
        if mirror_from:
            raise click.UsageError("--mirror-from requires --locked or --lock")
        return
    if moving:
        raise click.UsageError("--locked and --lock cannot be combined with --pull or --docker")


def _target(output: str | None) -> Path | int | None:
    """One file, or standard output's descriptor."""
    if output != "-":
        return None if output is None else Path(output)
    sys.stdout.flush()
    return sys.stdout.fileno()


def _sbom(output: str | None, form: str, *, current_time: bool) -> SbomOptions:
    from compos.compose.sbom import FORMATS, SbomOptions

    created = None
    if current_time:
        import time

        given = os.environ.get("SOURCE_DATE_EPOCH")
        if given and not re.fullmatch("[0-9]{1,11}", given):
            raise click.UsageError(f"SOURCE_DATE_EPOCH must be a number of seconds, not {given!r}")
        created = int(given or time.time())
    return SbomOptions(output or FORMATS[form], form, created)


def _check_output(output: str | None, name: str | None, folder: str | None) -> None:
    if output is not None and (name or folder):
        raise click.UsageError("--o cannot be combined with --name or --dir")


def _check_input_tar(
    input_tar: Path | None, output: str | None, *, pull: bool, no_label_powers: bool
) -> None:
    if input_tar is None:
        return
    if pull:
        raise click.UsageError("--input-tar and --pull cannot be combined")
    if output and Path(output).resolve() == input_tar.resolve():
        raise click.UsageError("--input-tar and --o name the same file")
    if no_label_powers:
        raise click.UsageError(
            "--no-label-powers and --input-tar cannot be combined, because a tar has no labels"
        )


def _check_push(name: str | None, formats: tuple[str, ...]) -> None:
    if name is not None and not any("oci" in part.split(",") for part in formats):
        raise click.UsageError("--push requires --format oci")


def disk_size(text: str | None) -> int | None:
    """Bytes: a bare number means GiB, as in LinuxKit."""
    if text is None:
        return None
    match = re.fullmatch("([0-9]+)([MG]?)", text)
    if match is None or int(match[1]) == 0:
        raise click.UsageError(f"--size must be a number of MiB (512M) or GiB (2G), not {text!r}")
    return int(match[1]) << (20 if match[2] == "M" else 30)
