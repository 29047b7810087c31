"""`compos.build`: YAML in, output files out.

May touch: the store, the network for what the store lacks, and the outputs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from compos.api.access import Access
from compos.api.load import Description, load
from compos.api.options import ImageOptions, LoadOptions, RemoteOptions
from compos.compose.sbom import SbomOptions
from compos.config.disk_keys import ESCROW_KEY
from compos.config.images import image_references, layout_volumes, registry_of_bricks
from compos.config.slot_keys import encrypts_roots
from compos.config.sources import default_name
from compos.errors import CacheIncomplete, OutputError
from compos.image.source import canonical_name
from compos.output.build import describe_outputs, resolve_inputs
from compos.output.formats import Format, choose, require, tools
from compos.output.job import EFI_STUB, INSTALLER, BuildRequest, UefiStub
from compos.output.write import Output, update_outputs, write_stream
from compos.package.bricks import is_shipped
from compos.progress import Listener, listening, notice

if TYPE_CHECKING:
    from compos.api.locked import LockedInputs
    from compos.api.remote import Sharing
    from compos.compose.copies import Copies
    from compos.compose.inputs import Inputs
    from compos.config.model import Config
    from compos.output.job import Job
    from compos.trust.guard import Guard
    from compos.trust.key_set import BootKeys, KeySet

__all__ = ["COMPRESSIONS", "BuildOptions", "Buildable", "build", "require_buildable"]

COMPRESSIONS = ("zstd", "gzip", "none", "max")
UPDATE = "update"
"""The format, and the role of the key that signs it."""


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

    With several `architectures`, in place of the one of `load`, outputs are named
    `folder`/`name`-ARCHITECTURE-SUFFIX, but for the format oci, whose one archive has all.

    With `lock`, the path of a lock (docs/lock.md), every image is exactly the one that it names, or
    the build fails; `mirror_from` is a repository that has the lock's parts, in place of its own.
    `keys` is a folder of keys whose `db` signs UEFI programs; with a `sign_command` its private key
    may be elsewhere (`trust.key_set`); with `sign_later`, a folder, signatures are made between two
    builds (`trust.later`). If the folder has a key for PCR policies, it signs the PCR
    11 that is expected in `pcr_phases`. `efi_stub` is a file in place of the brick's stub, `sbat`
    one with entries for the section `.sbat`.
    `remote` shares results with other machines.
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
    lock: Path | None = None
    mirror_from: str | None = None
    keys: Path | None = None
    sign_command: str = ""
    sign_later: Path | None = None
    pcr_phases: tuple[str, ...] = ("enter-initrd",)
    efi_stub: Path | None = None
    sbat: Path | None = None
    remote: RemoteOptions = RemoteOptions()
    architectures: tuple[str, ...] = ()


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
    names = [os.fspath(source) for source in sources]
    with listening(listener):
        try:
            return _build(names, options)
        except CacheIncomplete as error:
            notice(f"WARNING: {error}; building without what remote caches have")
            return _build(names, options._replace(remote=options.remote._replace(sources=())))


class Buildable(NamedTuple):
    """What is known about a build before any image is read: its formats, the system, and what the
    lock says, if there is one."""

    formats: Sequence[Format]
    description: Description
    locked: LockedInputs | None


def require_buildable(sources: Sequence[str], options: BuildOptions) -> Buildable:
    """What to build, if the system's platform supports the formats. Raises as `build` does."""
    formats = choose(options.formats, to_file=options.output is not None)
    locked = _locked(options) if options.lock else None
    description = load(sources, options.load, take=locked.take if locked else None)
    require(formats, description.platform.architecture)
    return Buildable(formats, description, locked)


def _build(sources: Sequence[str], options: BuildOptions) -> list[Path]:
    if options.architectures:
        # Not at the top: most builds are for one architecture.
        from compos.api.architectures import build_each

        return build_each(sources, options)
    return build_one(sources, options)


def build_one(sources: Sequence[str], options: BuildOptions) -> list[Path]:
    """As `build`, for the architecture of `options.load`."""
    target = push_target_of(options.push)
    buildable = require_buildable(sources, options)
    base = base_of(sources, options)
    require_folder(options.output if isinstance(options.output, Path) else base)
    with described(buildable, options, base.name, target) as (access, outputs):
        written = write(access, outputs, base, options)
    if target:
        push_archive(access, base.with_name(f"{base.name}.oci.tar"), target)
    return written


def base_of(sources: Sequence[str], options: BuildOptions) -> Path:
    """What the paths of the outputs begin with."""
    return options.folder / (options.name or default_name(sources[-1]))


@contextmanager
def described(
    buildable: Buildable, options: BuildOptions, name: str, target: str, *, listed: bool = False
) -> Iterator[tuple[Access, list[Output]]]:
    """The outputs, called `name`, which can be written in this block; `target` is the name to push
    under. Artifacts are `listed` where an index has those of several architectures, which are then
    part of the names."""
    config, platform, _ = buildable.description
    access = Access(options.images, bricks=registry_of_bricks(config), trust=config.trust)
    of_one = f"{name}-{platform.architecture}"
    sharing = _sharing(access, options.remote, of_one)
    with sharing.joined() if sharing else nullcontext():
        called = of_one if listed else name
        inputs, outputs = _describe(
            access, buildable, options, sharing, (called, target), listed=listed
        )
        yield access, outputs
        if sharing:
            images = (*inputs.images.values(), *inputs.tools.values())
            if access.pins:
                images = tuple(access.pins.as_kept(image, platform) for image in images)
            sharing.finish(images, platform)


def _sharing(access: Access, options: RemoteOptions, tag: str) -> Sharing | None:
    """The remote caches, if there are any."""
    if not options.sources and not options.target:
        return None
    # Not at the top: most builds have none.
    from compos.api.remote import Sharing

    return Sharing(access, options, tag)


def _describe(
    access: Access,
    buildable: Buildable,
    options: BuildOptions,
    sharing: Sharing | None,
    names: tuple[str, str],
    *,
    listed: bool,
) -> tuple[Inputs, list[Output]]:
    """What goes into a build, and its outputs; `names` are what theirs begin with, and what an
    artifact is called in a registry."""
    formats, (config, platform, packages), locked = buildable
    if config.secure:
        # Not at the top: most systems are not.
        from compos.api.secure import secured

        options = secured(config, formats, options)
    for file in config.files:
        if file.path == ESCROW_KEY and file.source:
            # Not at the top: most systems have no escrow.
            from compos.trust.escrow import require_escrow_key

            require_escrow_key(Path(file.source))
    keys = _boot_keys(options, formats, config)
    named = dict.fromkeys(
        (*image_references(config), *(image for _, image in layout_volumes(config)))
    )
    needed = tools(formats, options.root, encrypted=encrypts_roots(config.slots))
    if packages:
        # Not at the top: most systems name no package by its folder.
        from compos.api.package_graph import build_first, named_packages

        named_packages(access, buildable.description)
    pins = locked.pins(access, packages) if locked else None
    current = (
        {name for name in (*named, *needed) if pins.is_built(name)}
        if pins
        else access.current_bricks(
            (*named, *needed), buildable.description, packages=bool(options.input_tar)
        )
    )
    source = access.images(
        pull=options.pull,
        docker=options.docker,
        packages=packages,
        pins=pins,
        sharing=sharing,
    )
    copies = _copies(access, config, options, lambda name: source.at_hand(name, platform))
    if packages and not pins:
        copied = copies.components if copies else ()
        made = build_first(access, buildable.description, copied=copied, pull=options.pull)
        current |= {name for name in named if canonical_name(name) in made}
    inputs = resolve_inputs(source, config, platform, copies, needed)
    if pins and options.sbom:
        pins.require_attested(source, inputs.images.values())
    ours = (lambda _: False) if access.unchecked_bricks else is_shipped
    _look_at_powers(config, inputs, current, ours, allowed=options.label_powers)
    if copies and access.trust is not None:
        _require_copies(access.trust, config, copies)
    if copies and copies.components and options.sbom:
        notice("The SBOM does not cover the sections that are copied from the earlier build.")
    request = BuildRequest(
        formats,
        options.compression,
        platform.architecture,
        options.root,
        options.size,
        *names,
        decompress_kernel=options.decompress_kernel,
        sbom=options.sbom,
        keys=keys,
        secure=bool(config.secure),
        stub=_stub(options, platform.architecture),
        listed=listed,
        slots=config.slots,
        update=config.update,
    )
    with sharing.recording() if sharing else nullcontext():
        outputs = describe_outputs(
            access.store,
            config,
            inputs,
            request,
            lambda form: _metadata(config, form, named, inputs),
            fetch_attestations=source.fetch_attestations,
            require=_budget(config, inputs) if config.budget else None,
        )
    return inputs, outputs


def _budget(config: Config, inputs: Inputs) -> Callable[[Job], None]:
    # Not at the top: most systems have no budget.
    from compos.report.budget import require_budget

    return lambda job: require_budget(job, config, inputs.images)


def _locked(options: BuildOptions) -> LockedInputs:
    # Not at the top: most builds have no lock.
    from compos.api.locked import LockedInputs

    return LockedInputs(options.lock or Path(), options.images, options.mirror_from)


def _metadata(config: Config, form: str, named: Iterable[str], inputs: Inputs) -> bytes:
    """The system's description for its own `files`, with the full names of the images `named`."""
    from compos.config.dump import metadata_document

    canonical = {
        name: inputs.images[name].name if name in inputs.images else canonical_name(name)
        for name in named
    }
    return metadata_document(config, form, canonical)


def _look_at_powers(
    config: Config,
    inputs: Inputs,
    current: set[str],
    ours: Callable[[str], bool],
    *,
    allowed: bool,
) -> None:
    """Name the images whose labels grant them power over the machine; our bricks are known: those
    in `current`, and those whose names are `ours`."""
    from compos.config.load import SETTINGS_LABEL

    images = {
        name: image
        for name, image in inputs.images.items()
        if image.config.labels.get(SETTINGS_LABEL) and name not in current and not ours(name)
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


def _require_copies(trust: Guard, config: Config, copies: Copies) -> None:
    """See that what is copied from the earlier build's tar need not be signed."""
    from compos.config.images import image_locations

    for location, name in image_locations(config):
        if location in copies.components:
            trust.require_copy(name)


def _stub(options: BuildOptions, architecture: str) -> UefiStub:
    """What UEFI programs are made with. Raises `OutputError` (`uki-stub`, `sbat-invalid`)."""
    if options.efi_stub is None and options.sbat is None:
        return UefiStub()
    # Not at the top: most builds take what the brick has.
    from compos.api.efi_stub import read_stub

    return read_stub(options.efi_stub, options.sbat, architecture)


def _boot_keys(options: BuildOptions, formats: Sequence[Format], config: Config) -> BootKeys | None:
    """Who signs UEFI programs. Raises `OutputError`: `keys-unused` when no format has one."""
    if options.keys is None:
        return None
    unsigned = [one.name for one in formats if EFI_STUB not in one.tools]
    if len(unsigned) == len(formats):
        raise OutputError(
            "keys-unused",
            f"nothing in {', '.join(unsigned)} can be signed",
            place=str(options.keys),
            hint="Add a format for UEFI, such as uki or raw-efi, or remove --keys.",
        )
    if unsigned:
        notice(f"Only UEFI programs are signed: not {', '.join(unsigned)}.")
    from compos.boot.measurements import require_phases
    from compos.trust.key_set import BootKeys, KeySet
    from compos.trust.later import Later
    from compos.trust.roles import PREVIOUS

    require_phases(options.pcr_phases)
    later = Later(options.sign_later) if options.sign_later else None
    keys = KeySet(options.keys, options.sign_command, later)
    update = keys.certified(UPDATE) if any(one.name == UPDATE for one in formats) else None
    return BootKeys(
        keys.certified("db"),
        keys.policy_key(),
        options.pcr_phases,
        later,
        update,
        keys.policy_key(PREVIOUS),
        _enrolment(keys, config) if any(INSTALLER in one.tools for one in formats) else (),
    )


def _enrolment(keys: KeySet, config: Config) -> tuple[tuple[str, bytes], ...]:
    """What an installer of this system has for the machine's firmware."""
    if not config.secure or (config.install and config.install.enrol is False):
        return ()
    from compos.boot.enrolment import prepared_updates

    updates = prepared_updates(keys)
    if not updates:
        notice(f"The installer enrols no keys: {keys.folder} has no db.auth, KEK.auth and PK.auth.")
    return (("db.der", keys.certified("db").certificate), *updates.items())


def require_folder(output: Path) -> None:
    """See that the output's folder is there, before any work is done."""
    if not output.parent.is_dir():
        raise OutputError(
            "output-folder",
            "the output folder does not exist",
            place=str(output.parent),
            hint="Create it, or choose another one with --dir.",
        )


def write(access: Access, outputs: list[Output], base: Path, options: BuildOptions) -> list[Path]:
    """Write all outputs, or none; returns their paths, none for an open file."""
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


def push_target_of(name: str | None) -> str:
    """The whole name to push under; empty when nothing is pushed. Looked at before anything else:
    a build may take long."""
    if name is None:
        return ""
    from compos.image.registries.push import push_target

    return str(push_target(name))


def push_archive(access: Access, archive: Path, name: str) -> None:
    """The artifact goes through the store, which knows what the registry has already."""
    from compos.image.archives.archive import opened
    from compos.image.archives.import_archive import import_archive
    from compos.image.names import Origin
    from compos.image.registries.push import push

    with opened(archive) as stream:
        import_archive(access.store, stream, Origin("archive", archive.name), reserved=True)
    pushed = push(access.store, name, registry=access.registry)
    notice(f"pushed {name} {pushed.digest}")
