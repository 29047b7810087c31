"""From a configuration and its images to described outputs, with the whole result remembered under
its inputs.

May touch: the store (`RESULT`); host files that `files` entries name (reading).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from compos.compose.host_files import HostFile, read_sources
from compos.compose.inputs import Inputs
from compos.config.digest import digest
from compos.config.images import image_locations, image_marks, layout_volumes
from compos.config.model import Config
from compos.errors import CombinedError, ComposError
from compos.filesystem.compress import encoding, identity
from compos.image.attestation import attested
from compos.image.derived_kinds import DerivedKind
from compos.image.model import Image
from compos.image.platform import Platform
from compos.image.reference import Reference
from compos.image.source import Images, canonical_name
from compos.image.store import Store
from compos.output.formats import machines, make
from compos.output.job import BuildRequest, Job
from compos.output.write import Output
from compos.progress import notice
from compos.tree import record
from compos.tree.packed import packed
from compos.version import __version__

if TYPE_CHECKING:
    from compos.compose.copies import Copies

__all__ = ["describe_outputs", "resolve_inputs"]

KIND = DerivedKind.RESULT

REMEMBERED = 128 << 20
"""Bytes of a description, packed, that are worth keeping: reading a longer one costs as much as
making it again."""


def resolve_inputs(
    source: Images,
    config: Config,
    platform: Platform,
    copies: Copies | None = None,
    tools: Iterable[str] = (),
) -> Inputs:
    """Everything that `config` names, for `platform`, but what is in `copies`; and the images
    `tools`.

    Raises what `Images.images` raises, with the places in the YAML.
    """
    copied = copies.components if copies else ()
    references = list(
        dict.fromkeys(name for location, name in image_locations(config) if location not in copied)
    )
    try:
        found = source.images(
            [(reference, platform) for reference in dict.fromkeys((*references, *tools))]
        )
        layouts = {
            volume.name: source.layout(
                image,
                None if volume.platforms is None else [*map(Platform.parse, volume.platforms)],
                platform,
            )
            for volume, image in layout_volumes(config)
        }
    except ComposError as error:
        for one in error.errors if isinstance(error, CombinedError) else (error,):
            _locate(one, config)
        raise
    return Inputs(
        {reference: found[reference, platform] for reference in references},
        layouts,
        copies,
        {reference: found[reference, platform] for reference in tools},
    )


def _locate(error: ComposError, config: Config) -> None:
    """Put the place in the YAML in front of an image's name, or of a URL on its registry."""
    place = error.place or ""
    marks = image_marks(config)
    for name, mark in marks.items():
        # A mirror's URL has another host, and something in front of the repository.
        reference = Reference.find(name)
        repository = f"/{reference.origin[1]}/" if reference else ""
        if place.startswith((canonical_name(name), name)) or (repository and repository in place):
            error.place = f"{mark}: {place}"
            return
    for name, mark in marks.items():
        reference = Reference.find(name)
        if reference and f"//{reference.origin[0]}/" in place:
            error.place = f"{mark}: {place}"
            return


def describe_outputs(
    store: Store,
    config: Config,
    inputs: Inputs,
    request: BuildRequest,
    metadata: Callable[[str], bytes],
    *,
    fetch_attestations: Callable[[Iterable[Image]], None] | None = None,
    require: Callable[[Job], None] | None = None,
) -> list[Output]:
    """The outputs of `request`, ready to be written.

    When nothing that goes in has changed since an earlier build, the stored description is taken
    and nothing is composed. `fetch_attestations` is asked to complete what the store lacks for an
    SBOM, and may fail to. `require` raises if the system may not be as it is; what was remembered
    has passed, so it may depend on nothing but `config` and `inputs`.
    Raises `ConfigError`, `ImageError`, `OutputError`.
    """
    sources = read_sources(store, config.files)
    held = _attested(store, inputs, request)
    key = _key(config, inputs, request, sources, held)
    remembered = record.load_groups(store.derived(KIND, key), KIND, store)
    if remembered is not None:
        groups, notes = remembered
        _tell(notes)
        return [Output(suffix, pieces) for suffix, pieces in groups]
    # Not at the top: a build that finds its result imports no composing.
    from compos.compose.image_user import ignored_users
    from compos.compose.scripts import scripts_that_fail
    from compos.compose.system import compose_system
    from compos.image.removal import keep_bound, limit_of

    limit = limit_of(store.root)
    if fetch_attestations and not all(held.values()):
        fetch_attestations(inputs.images.values())
        held = _attested(store, inputs, request)
        key = _key(config, inputs, request, sources, held)
    system = compose_system(
        store,
        config,
        inputs,
        metadata,
        sources=sources,
        decompress_kernel=request.decompress_kernel,
        sbom=request.sbom,
        machines=machines(request.formats),
    )
    findings = [*ignored_users(config, inputs.images), *scripts_that_fail(store, system.root)]
    if inputs.copies:
        from compos.compose.unchanged import unchanged_sections

        findings += unchanged_sections(store, inputs.copies, config, system)
    job = Job(store, config, inputs.images, system, request, inputs.tools, findings, {})
    if require:
        require(job)
    outputs = []
    inline = 0
    made = make(job, request.formats)
    if request.keys and request.keys.later:
        request.keys.later.require()
    for suffix, pieces in made:
        small = packed(pieces)
        inline += small.inline_size
        outputs.append(Output(suffix, small))
    # An SBOM that arrived meanwhile is in the system, and not in the key.
    if inline <= REMEMBERED and (all(held.values()) or held == _attested(store, inputs, request)):
        with store.derive(KIND, key) as path:
            record.save_groups(path, KIND, outputs, job.notes)
    keep_bound(store, limit)
    _tell(job.notes)
    return outputs


def _tell(notes: Iterable[str]) -> None:
    for note in notes:
        notice(note)


def _attested(store: Store, inputs: Inputs, request: BuildRequest) -> dict[str, bool]:
    """Of which images, by reference, the store has all that goes into the SBOM; empty without
    one."""
    return (
        {reference: attested(store, image) for reference, image in inputs.images.items()}
        if request.sbom
        else {}
    )


def _key(
    config: Config,
    inputs: Inputs,
    request: BuildRequest,
    sources: Mapping[str, HostFile | None],
    held: Mapping[str, bool],
) -> str:
    """Every input of a build, as a digest; `held` as `_attested` gives it."""
    hasher = hashlib.sha256()
    names = sorted(
        (reference, image.name, image.digest) for reference, image in inputs.images.items()
    )
    layouts = sorted(
        (name, layout.name, layout.root.digest, [blob.digest for blob in layout.blobs])
        for name, layout in inputs.layouts.items()
    )
    fixed = (
        KIND.version,
        __version__,
        digest(config).hex(),
        names,
        layouts,
        [one.name for one in request.formats],
        # Which of the two depends on what else is named here.
        [
            identity(encoding(request.compression, request.architecture, small=small))
            for small in (False, True)
        ],
        request.architecture,
        request.root,
        request.size,
        (request.reference, "listed") if request.listed else request.reference,
        request.name if any(one.named for one in request.formats) else "",
        sorted((reference, image.digest) for reference, image in inputs.tools.items()),
        request.decompress_kernel,
        request.sbom,
        request.keys and request.keys.identity,
        request.stub.identity,
        # What is lacking now may be there next time.
        sorted(
            (
                inputs.images[name].digest,
                [one.digest for one in inputs.images[name].attestations],
                whole,
            )
            for name, whole in held.items()
        ),
        (inputs.copies.key, sorted(inputs.copies.components)) if inputs.copies else None,
        sorted((name, found and found.digest) for name, found in sources.items()),
    )
    hasher.update(repr(fixed).encode("utf-8", "surrogateescape"))
    return hasher.hexdigest()
