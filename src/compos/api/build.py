"""`compos.build`: YAML in, output files out.

May touch: the store, the network for what the store lacks, and the outputs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from compos.api.access import Access
from compos.api.load import Description, load
from compos.api.options import ImageOptions, LoadOptions
from compos.compose.sbom import SbomOptions
from compos.config.images import image_references, layout_volumes
from compos.config.sources import default_name
from compos.errors import OutputError
from compos.image.source import canonical_name
from compos.output.build import describe_outputs, resolve_inputs
from compos.output.formats import Format, choose, require, tools
from compos.output.job import BuildRequest
from compos.output.write import Output, update_outputs, write_stream
from compos.package.bricks import current_bricks, is_shipped
from compos.progress import Listener, listening, notice

if TYPE_CHECKING:
    from compos.compose.copies import Copies
    from compos.compose.inputs import Inputs
    from compos.config.model import Config

__all__ = ["COMPRESSIONS", "BuildOptions", "Buildable", "build", "require_buildable"]

COMPRESSIONS = ("zstd", "gzip", "none", "max")


class BuildOptions(NamedTuple):
    """What to build, from which images, and where to write it.

    `formats` are names of output formats; the default is kernel+initrd. Outputs are named
    `folder`/`name`-SUFFIX; the default of `name` is that of the last source. `output` replaces them
    with a single file, or the descriptor of an open file, for one format that can be streamed.
    `compression` is one of COMPRESSIONS, `root` is auto or a kind from `output.roots`, and `size`
    is the size of disks in bytes.

    `pull` asks registries for every image; `docker` asks the Docker engine first. `push` is the
    name in a registry for the format oci. `input_tar` is the tar of an earlier build. If
    `label_powers` is False, images whose labels grant power over the machine are refused. `sbom` is
    None for a system without an SBOM. Unchanged outputs are left alone unless `force` is set.
    """

    load: LoadOptions = LoadOptions()
    images: ImageOptions = ImageOptions()
    formats: tuple[str, ...] = ()
    folder: Path = Path()
    name: str = ""
    output: Path | int | None = None
    compression: Literal["zstd", "gzip", "none", "max"] = "zstd"
    root: str = "auto"
    size: int | None = None
    pull: bool = False
    docker: bool = False
    push: str | None = None
    decompress_kernel: bool = False
    input_tar: Path | None = None
    label_powers: bool = True
    sbom: SbomOptions | None = SbomOptions()
    force: bool = False


def build(
    sources: Sequence[str | os.PathLike[str]],
    options: BuildOptions = BuildOptions(),
    *,
    listener: Listener | None = None,
) -> list[Path]:
    """Build the system that `sources` describe, write it in each format, and return the paths of
    the files (none for an open file).

    Progress is reported to `listener`, from several threads. Raises `ComposError`: `ConfigError`
    for the YAML, `ImageError` and `NetworkError` for images, `PackageError` for bricks,
    `OutputError` for formats and outputs, and `CombinedError` for several errors.
    """
    with listening(listener):
        return _build([os.fspath(source) for source in sources], options)


class Buildable(NamedTuple):
    """What is known about a build before any image is read: its formats and the system."""

    formats: Sequence[Format]
    description: Description


def require_buildable(sources: Sequence[str], options: BuildOptions) -> Buildable:
    """What to build, if the system's platform supports the formats. Raises as `build` does."""
    formats = choose(options.formats, to_file=options.output is not None)
    description = load(sources, options.load)
    require(formats, description.platform.architecture)
    return Buildable(formats, description)


def _build(sources: Sequence[str], options: BuildOptions) -> list[Path]:
    target = _push_target(options.push)
    formats, (config, platform, packages) = require_buildable(sources, options)
    base = options.folder / (options.name or default_name(sources[-1]))
    _require_folder(options.output if isinstance(options.output, Path) else base)
    access = Access(options.images)
    named = dict.fromkeys(
        (*image_references(config), *(image for _, image in layout_volumes(config)))
    )
    needed = tools(formats, options.root)
    current = current_bricks(access.store, (*named, *needed), platform, packages.recipes)
    source = access.images(pull=options.pull, docker=options.docker, packages=packages)
    copies = _copies(access, config, options, lambda name: source.at_hand(name, platform))
    inputs = resolve_inputs(source, config, platform, copies, needed)
    _look_at_powers(config, inputs, current, allowed=options.label_powers)
    if copies and copies.components and options.sbom:
        notice("The SBOM does not cover the sections that are copied from the earlier build.")
    outputs = describe_outputs(
        access.store,
        config,
        inputs,
        BuildRequest(
            formats,
            options.compression,
            platform.architecture,
            options.root,
            options.size,
            base.name,
            target,
            decompress_kernel=options.decompress_kernel,
            sbom=options.sbom,
        ),
        lambda form: _metadata(config, form, named, inputs),
        fetch_attestations=source.fetch_attestations,
    )
    written = _write(access, outputs, base, options)
    if target:
        _push(access, base.with_name(f"{base.name}.oci.tar"), target)
    return written


def _metadata(config: Config, form: str, named: Iterable[str], inputs: Inputs) -> bytes:
    """The system's description for its own `files`, with the full names of the images `named`."""
    from compos.config.dump import metadata_document

    canonical = {
        name: inputs.images[name].name if name in inputs.images else canonical_name(name)
        for name in named
    }
    return metadata_document(config, form, canonical)


def _look_at_powers(config: Config, inputs: Inputs, current: set[str], *, allowed: bool) -> None:
    """Name the images whose labels grant them power over the machine; our bricks are known, and
    `current` are some."""
    from compos.config.load import SETTINGS_LABEL

    images = {
        name: image
        for name, image in inputs.images.items()
        if image.config.labels.get(SETTINGS_LABEL) and name not in current and not is_shipped(name)
    }
    if not images:
        return
    from compos.compose.powers import grant_message, label_powers, refuse_powers

    found = label_powers(config, images)
    if not allowed:
        refuse_powers(found)
    for power in found:
        notice(grant_message(*power))


def _copies(
    access: Access, config: Config, options: BuildOptions, has: Callable[[str], bool]
) -> Copies | None:
    """What is taken from the earlier build's tar; None without one that can be used."""
    if options.input_tar is None:
        return None
    from compos.compose.copies import choose_copies
    from compos.compose.input_tar import read_input_tar

    earlier = read_input_tar(access.store, options.input_tar, config)
    if earlier is None:
        return None
    sbom = [options.sbom.path.strip("/")] if options.sbom else []
    return choose_copies(earlier, config, sbom, has, kernel=not options.decompress_kernel)


def _require_folder(output: Path) -> None:
    """See that the output's folder is there, before any work is done."""
    if not output.parent.is_dir():
        raise OutputError(
            "output-folder",
            "the output folder does not exist",
            place=str(output.parent),
            hint="Create it, or choose another one with --dir.",
        )


def _write(access: Access, outputs: list[Output], base: Path, options: BuildOptions) -> list[Path]:
    if isinstance(options.output, int):
        write_stream(access.store.root, options.output, outputs[0].pieces)
        return []
    if options.output is not None:
        outputs, base = [Output("", outputs[0].pieces)], options.output
    updated = update_outputs(access.store, base, outputs, force=options.force)
    if updated.written:
        notice("Create outputs:")
    for path in updated.written:
        notice(f"  {os.fspath(path)}")
    if updated.unchanged:
        notice(f"Unchanged outputs: {' '.join(map(os.fspath, updated.unchanged))}")
    return [base.with_name(base.name + output.suffix) for output in outputs]


def _push_target(name: str | None) -> str:
    """The whole name to push under; empty when nothing is pushed. Looked at before anything else:
    a build may take long."""
    if name is None:
        return ""
    from compos.image.registries.push import push_target

    return str(push_target(name))


def _push(access: Access, archive: Path, name: str) -> None:
    """The artifact goes through the store, which knows what the registry has already."""
    from compos.image.archives.archive import opened
    from compos.image.archives.import_archive import import_archive
    from compos.image.names import Origin
    from compos.image.registries.push import push

    with opened(archive) as stream:
        import_archive(access.store, stream, Origin("archive", archive.name), reserved=True)
    pushed = push(access.store, name, registry=access.registry)
    notice(f"pushed {name} {pushed.digest}")
