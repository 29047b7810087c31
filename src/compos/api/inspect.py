"""`compos.inspect`: what a system is made of, how large each part is, what containers may do, and
why kernel modules are included.

May touch: the store, and the network for what it lacks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from compos.api.composed import Composed, InspectOptions, composed, facts_of_system
from compos.progress import Listener, listening

if TYPE_CHECKING:
    from compos.compose.system import Kept
    from compos.report.facts import Powers
    from compos.report.overview import Duplicate, ImageUse, Update
    from compos.report.sizes import Part

__all__ = ["Inspection", "inspect", "outstanding"]


class Inspection(NamedTuple):
    """The parts of a system with their sizes, in the order of the YAML, and the kernel modules and
    firmware files that were selected (empty if all are included); its images with their layers;
    files that it has more than once; what containers may do. `updates` is None unless they were
    asked for."""

    parts: tuple[Part, ...]
    kept: tuple[Kept, ...]
    images: tuple[ImageUse, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    powers: tuple[Powers, ...] = ()
    updates: tuple[Update, ...] | None = None


def inspect(
    sources: Sequence[str | os.PathLike[str]],
    options: InspectOptions = InspectOptions(),
    *,
    updates: bool = False,
    listener: Listener | None = None,
) -> Inspection:
    """Compose the system that `sources` describe, and measure it; with `updates`, look for the
    security updates that its bricks lack, in Debian's indexes. Raises as `compos.build` does,
    except for outputs."""
    from compos.report.overview import duplicates, image_uses
    from compos.report.sizes import system_parts

    with listening(listener):
        found = composed(sources, options)
        facts = facts_of_system("", found)
        return Inspection(
            tuple(system_parts(found.job, found.config)),
            tuple(found.job.system.kept),
            image_uses(found.config, found.inputs.images),
            duplicates(found.job, facts.files),
            facts.powers,
            outstanding(found) if updates else None,
        )


def outstanding(found: Composed) -> tuple[Update, ...]:
    """The security updates that the bricks of a system lack. Raises `PackageError`,
    `NetworkError`."""
    from compos.package.outdated import bricks_of
    from compos.package.outdated import outdated as newer
    from compos.report.overview import Update

    digests = {image.digest for image in found.inputs.images.values()}
    updates = []
    for brick in bricks_of(found.access.store):
        if brick.image.digest not in digests:
            continue
        one = newer(found.access.store, found.access.builder.indexes, brick)
        if one.unknown:
            updates.append(Update(brick.name, "", "", ""))
        updates += [
            Update(brick.name, package.package, package.version, package.now)
            for package in one.packages
            if package.security
        ]
    return tuple(updates)
