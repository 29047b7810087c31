"""A system that is composed to be looked at, not built: for `inspect`, `diff`, `why` and reports.

May touch: the store, and the network for what it lacks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from compos.api.access import Access
from compos.api.load import Description, load
from compos.api.options import ImageOptions, LoadOptions

if TYPE_CHECKING:
    from compos.compose.inputs import Inputs
    from compos.config.model import Config
    from compos.output.job import Job
    from compos.report.facts import Facts

__all__ = ["Composed", "InspectOptions", "compose_described", "composed", "facts_of_system"]


class InspectOptions(NamedTuple):
    """What to look at: a build with these `formats`, which decide the drivers."""

    load: LoadOptions = LoadOptions()
    images: ImageOptions = ImageOptions()
    formats: tuple[str, ...] = ()


class Composed(NamedTuple):
    """A composed system: the merged YAML, its images, and what a build would make formats of."""

    access: Access
    config: Config
    inputs: Inputs
    job: Job


def composed(
    sources: Sequence[str | os.PathLike[str]], options: InspectOptions, *, sbom: bool = False
) -> Composed:
    """Compose the system that `sources` describe, with an SBOM if asked for. Raises as
    `compos.build` does, except for outputs."""
    return compose_described(load(sources, options.load), options, sbom=sbom)


def compose_described(
    described: Description, options: InspectOptions, *, sbom: bool = False
) -> Composed:
    """As `composed`, for YAML that has been read. Raises likewise."""
    from compos.compose.host_files import read_sources
    from compos.compose.sbom import SbomOptions
    from compos.compose.system import compose_system
    from compos.config.dump import metadata_document
    from compos.config.images import image_references, registry_of_bricks
    from compos.image.source import canonical_name
    from compos.output.build import resolve_inputs
    from compos.output.formats import choose, machines
    from compos.output.job import BuildRequest, Job

    formats = choose(options.formats, to_file=False)
    config = described.config
    access = Access(options.images, bricks=registry_of_bricks(config), trust=config.trust)
    access.current_bricks(dict.fromkeys(image_references(config)), described)
    source = access.images_of(described)
    inputs = resolve_inputs(source, config, described.platform)
    wanted = SbomOptions() if sbom else None
    if wanted:
        source.fetch_attestations(inputs.images.values())
    canonical = {
        name: image.name if image.name else canonical_name(name)
        for name, image in inputs.images.items()
    }
    system = compose_system(
        access.store,
        config,
        inputs,
        lambda form: metadata_document(config, form, canonical),
        sources=read_sources(access.store, config.files),
        sbom=wanted,
        machines=machines(formats),
    )
    request = BuildRequest(formats, "zstd", described.platform.architecture, sbom=wanted)
    job = Job(access.store, config, inputs.images, system, request, {}, [], {})
    return Composed(access, config, inputs, job)


def facts_of_system(name: str, found: Composed) -> Facts:
    """What is in a composed system, file by file."""
    from compos.config.dump import resolved_json
    from compos.report.archives import stored_fact
    from compos.report.facts import FileFact, described, documents_of, flattened
    from compos.report.sizes import entry_names
    from compos.tree.contents import Contents
    from compos.tree.node import FILE, Node

    names = entry_names(found.config)
    files: dict[str, FileFact] = {}
    nodes: dict[str, Node] = {}
    digests: dict[object, str] = {}
    with Contents(found.job.store.root) as contents:
        for path, node, component in found.job.system.with_boot():
            digest = ""
            if node.kind == FILE:
                digest = digests.get(node.content) or contents.digest(node.content)
                digests[node.content] = digest
            part = names.get(component.location, component.location.partition("[")[0])
            if path:
                files[path] = stored_fact(node, digest, part)
                nodes[path] = node
        documents = documents_of(files, lambda path: b"".join(contents.chunks(nodes[path].content)))
    settings = flattened(resolved_json(found.config))
    return described(name, files, documents, settings=settings)
