"""`compos.inspect`: the size of each part of a system, and why kernel modules are included.

May touch: the store, and the network for what it lacks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from compos.api.access import Access
from compos.api.load import load
from compos.api.options import ImageOptions, LoadOptions
from compos.progress import Listener, listening

if TYPE_CHECKING:
    from compos.compose.system import Kept
    from compos.report.sizes import Part

__all__ = ["InspectOptions", "Inspection", "inspect"]


class InspectOptions(NamedTuple):
    """What to inspect: a build with these `formats`, which decide the drivers."""

    load: LoadOptions = LoadOptions()
    images: ImageOptions = ImageOptions()
    formats: tuple[str, ...] = ()


class Inspection(NamedTuple):
    """The parts of a system with their sizes, in the order of the YAML, and the kernel modules and
    firmware files that were selected (empty if all are included)."""

    parts: tuple[Part, ...]
    kept: tuple[Kept, ...]


def inspect(
    sources: Sequence[str | os.PathLike[str]],
    options: InspectOptions = InspectOptions(),
    *,
    listener: Listener | None = None,
) -> Inspection:
    """Compose the system that `sources` describe, and measure it. Raises as `compos.build` does,
    except for outputs."""
    from compos.compose.host_files import read_sources
    from compos.compose.system import compose_system
    from compos.config.dump import metadata_document
    from compos.config.images import registry_of_bricks
    from compos.output.build import resolve_inputs
    from compos.output.formats import choose, machines
    from compos.output.job import BuildRequest, Job
    from compos.report.sizes import system_parts

    with listening(listener):
        formats = choose(options.formats, to_file=False)
        described = load(sources, options.load)
        access = Access(
            options.images,
            bricks=registry_of_bricks(described.config),
            trust=described.config.trust,
        )
        source = access.images_of(described)
        config = described.config
        system = compose_system(
            access.store,
            config,
            resolve_inputs(source, config, described.platform),
            lambda form: metadata_document(config, form),
            sources=read_sources(access.store, config.files),
            machines=machines(formats),
        )
        request = BuildRequest(formats, "zstd", described.platform.architecture)
        job = Job(access.store, system, request, {}, [], {})
        return Inspection(tuple(system_parts(job, config)), tuple(system.kept))
