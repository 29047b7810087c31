"""`compos build`: YAML in, output files out."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compos.cli.debian import debian_mirrors, debian_options
from compos.cli.reading import read_system, reading_options
from compos.cli.settings import global_options, settings_of

if TYPE_CHECKING:
    from compos.cli.settings import Settings
    from compos.compose.copies import Copies
    from compos.compose.parts import Parts
    from compos.compose.sbom import SbomOptions
    from compos.config.model import Config
    from compos.image.platform import Platform
    from compos.image.source import Images
    from compos.image.store import Store

__all__ = ["build"]

COMPRESSIONS = ("zstd", "gzip", "none", "max")
SBOM_FORMATS = ("spdx", "cyclonedx")
ROOTS = ("auto", "initrd", "erofs", "erofs-zstd", "squashfs", "ext4")


@click.command
@click.argument("sources", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "-f",
    "--format",
    "formats",
    multiple=True,
    metavar="LIST",
    help="Output formats [kernel+initrd].",
)
@click.option(
    "--name", metavar="NAME", help="Base of the output names [the last file's, without extension]."
)
@click.option("--dir", "folder", metavar="DIR", help="Where the outputs go [the current folder].")
@click.option(
    "--o",
    "output",
    metavar="FILE|-",
    help="One streamable output (tar) to a file or standard output.",
)
@reading_options
@click.option(
    "--pull", is_flag=True, help="Ask the registry for every image, whatever the store has."
)
@click.option(
    "--compress",
    type=click.Choice(COMPRESSIONS),
    default="zstd",
    show_default=True,
    help="How the initrd is compressed.",
)
@click.option(
    "--size",
    metavar="SIZE",
    help="Size of disks: nM MiB, n or nG GiB [what the format's target takes].",
)
@click.option(
    "--root",
    type=click.Choice(ROOTS),
    default="auto",
    show_default=True,
    help="Where disks and ISOs keep the root: unpacked into memory, or as a file system on the "
    "medium.",
)
@click.option("--push", metavar="NAME", help="Push the format oci to a registry under this name.")
@click.option(
    "--docker", is_flag=True, help="Ask the local Docker engine for images first, if there is one."
)
@click.option("--decompress-kernel", is_flag=True, help="Write the kernel uncompressed.")
@click.option(
    "--input-tar",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="An earlier build's tar: unchanged sections whose images are not in the store are taken "
    "from it.",
)
@debian_options
@click.option(
    "--no-label-powers",
    is_flag=True,
    help="Refuse images whose labels grant them power over the machine.",
)
@click.option(
    "--no-sbom", is_flag=True, help="Put no SBOM (software bill of materials) into the system."
)
@click.option(
    "--sbom-output",
    metavar="NAME",
    help="The SBOM's path in the system [sbom.spdx.json, sbom.cdx.json].",
)
@click.option(
    "--sbom-format",
    type=click.Choice(SBOM_FORMATS),
    default="spdx",
    show_default=True,
    help="Its format.",
)
@click.option(
    "--sbom-current-time",
    is_flag=True,
    help="Date it now (SOURCE_DATE_EPOCH), not as all builds the same.",
)
@click.option("--dry-run", is_flag=True, help="Print the merged YAML and stop.")
@global_options
def build(sources: tuple[str, ...], **options: Any) -> None:
    """Compose a system from YAML files and write it in the formats asked for.

    Files are merged from left to right; - is standard input, http(s) URLs are fetched.
    """
    settings = settings_of(options)
    _check(options)
    from compos.cli.images import images, open_store
    from compos.config.dump import metadata_document, to_yaml
    from compos.config.images import image_references, layout_volumes
    from compos.config.sources import default_name
    from compos.image.source import canonical_name
    from compos.output.build import described_outputs, find_parts
    from compos.output.formats import choose, require, tools
    from compos.output.job import Request
    from compos.package.bricks import current_bricks
    from compos.progress import notice

    target = _push_target(options["push"])
    formats = choose(options["formats"], to_file=options["output"] is not None)
    config, platform, local = read_system(sources, options)
    require(formats, platform.architecture)
    if options["dry_run"]:
        click.echo(to_yaml(config))
        return
    base = Path(options["folder"] or ".") / (options["name"] or default_name(sources[-1]))
    _check_folder(base if options["output"] in (None, "-") else Path(options["output"]))
    store = open_store(settings)
    named = (*image_references(config), *(image for _, image in layout_volumes(config)))
    needed = tools(formats, options["root"])
    current = current_bricks(store, (*named, *needed), platform, local.recipes)
    source = images(
        store,
        settings,
        debian_mirrors(options),
        pull=options["pull"],
        local=local,
        docker=options["docker"],
    )
    sbom = _sbom(options)
    copies = (
        _copies(store, config, source, platform, options, sbom) if options["input_tar"] else None
    )
    parts = find_parts(source, config, platform, copies, needed)
    _powers(config, parts, current, refused=options["no_label_powers"])
    if copies and copies.components and sbom:
        notice("The SBOM leaves out what is taken from the earlier build.")
    canonical = {
        name: parts.images[name].name if name in parts.images else canonical_name(name)
        for name in named
    }
    outputs = described_outputs(
        store,
        config,
        parts,
        Request(
            formats,
            options["compress"],
            platform.architecture,
            options["root"],
            _size(options["size"]),
            base.name,
            target,
            decompress_kernel=options["decompress_kernel"],
            sbom=sbom,
        ),
        lambda form: metadata_document(config, form, canonical),
        fetch_attestations=source.fetch_attestations,
    )
    _write(store.root, outputs, base, options["output"])
    if target:
        _push(store, settings, base.with_name(f"{base.name}.oci.tar"), target)


def _powers(config: Config, parts: Parts, current: set[str], *, refused: bool) -> None:
    """Name the images whose labels grant them power over the machine; our bricks are known, and
    `current` are some."""
    from compos.compose.settings import LABEL
    from compos.package.bricks import is_shipped

    labelled = {
        name: image for name, image in parts.images.items() if image.config.labels.get(LABEL)
    }
    images = {
        name: image
        for name, image in labelled.items()
        if name not in current and not is_shipped(name)
    }
    if not images:
        return
    from compos.compose.powers import label_powers, refuse_powers, told
    from compos.progress import notice

    found = label_powers(config, images)
    if refused:
        refuse_powers(found)
    for power in found:
        notice(told(*power))


def _push_target(name: str | None) -> str:
    """The whole name to push under; empty when nothing is pushed. Before anything else: a build may
    take long."""
    if name is None:
        return ""
    from compos.image.push import push_target

    return str(push_target(name))


def _push(store: Store, settings: Settings, archive: Path, name: str) -> None:
    """The artifact goes through the store, which knows what the registry has already."""
    from compos.cli.images import registry_of
    from compos.image.archive import opened
    from compos.image.local import import_archive
    from compos.image.names import Origin
    from compos.image.push import push
    from compos.progress import notice

    with opened(archive) as stream:
        import_archive(store, stream, Origin("archive", archive.name), reserved=True)
    pushed = push(store, name, registry=registry_of(settings))
    notice(f"pushed {name} {pushed.digest}")


def _sbom(options: dict[str, Any]) -> SbomOptions | None:
    if options["no_sbom"]:
        return None
    from compos.compose.sbom import FORMATS, SbomOptions

    created = None
    if options["sbom_current_time"]:
        import time

        given = os.environ.get("SOURCE_DATE_EPOCH")
        if given and not re.fullmatch("[0-9]{1,11}", given):
            raise click.UsageError(f"SOURCE_DATE_EPOCH is a number of seconds, not {given!r}")
        created = int(given or time.time())
    form = options["sbom_format"]
    return SbomOptions(options["sbom_output"] or FORMATS[form], form, created)


def _copies(
    store: Store,
    config: Config,
    source: Images,
    platform: Platform,
    options: dict[str, Any],
    sbom: SbomOptions | None,
) -> Copies | None:
    from compos.compose.copies import choose_copies
    from compos.compose.input_tar import read_input_tar

    earlier = read_input_tar(store, options["input_tar"], config)
    if earlier is None:
        return None
    return choose_copies(
        earlier,
        config,
        [sbom.path.strip("/")] if sbom else [],
        lambda name: source.at_hand(name, platform),
        kernel=not options["decompress_kernel"],
    )


def _check(options: dict[str, Any]) -> None:
    if options["output"] is not None and (options["name"] or options["folder"]):
        raise click.UsageError("--o goes neither with --name nor with --dir")
    if options["input_tar"] and options["pull"]:
        raise click.UsageError("--input-tar and --pull exclude each other")
    if (
        options["input_tar"]
        and options["output"]
        and Path(options["output"]).resolve() == options["input_tar"].resolve()
    ):
        raise click.UsageError("--input-tar and --o name the same file")
    if options["input_tar"] and options["no_label_powers"]:
        raise click.UsageError(
            "--no-label-powers looks at images, of which --input-tar has no labels: leave one out"
        )
    if options["sbom_output"] == "" and not options["no_sbom"]:
        raise click.UsageError("--sbom-output needs a name; --no-sbom leaves the SBOM out")
    _size(options["size"])
    if options["push"] is not None and not any(
        "oci" in part.split(",") for part in options["formats"]
    ):
        raise click.UsageError("--push needs --format oci")


def _size(text: str | None) -> int | None:
    """Bytes: a bare number means GiB, as in LinuxKit."""
    if text is None:
        return None
    match = re.fullmatch("([0-9]+)([MG]?)", text)
    if match is None or int(match[1]) == 0:
        raise click.UsageError(f"--size is a number of MiB (512M) or GiB (2G), not {text!r}")
    return int(match[1]) << (20 if match[2] == "M" else 30)


def _check_folder(base: Path) -> None:
    """Say that the output's folder is missing before any work is done."""
    from compos.errors import OutputError

    if not base.parent.is_dir():
        raise OutputError(
            "output-folder",
            "the output folder does not exist",
            place=str(base.parent),
            hint="Make it, or choose --dir.",
        )


def _write(root: Path, outputs: list[Any], base: Path, output: str | None) -> None:
    from compos.output.write import Output, write_outputs, write_stream
    from compos.progress import notice

    if output == "-":
        sys.stdout.flush()
        write_stream(root, sys.stdout.fileno(), outputs[0].pieces)
        return
    if output is not None:
        path = Path(output)
        outputs, base = [Output("", outputs[0].pieces)], path
    notice("Create outputs:")
    for path in write_outputs(root, base, outputs):
        notice(f"  {os.fspath(path)}")
