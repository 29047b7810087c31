"""`compos.inspect`: the size of each part of a system, and why kernel modules are included.

May touch: the store, and the network for what it lacks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from compos.api.composed import InspectOptions, composed
from compos.progress import Listener, listening

if TYPE_CHECKING:
    from compos.compose.system import Kept
    from compos.report.sizes import Part

__all__ = ["InspectOptions", "Inspection", "inspect"]


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
    from compos.report.sizes import system_parts

    with listening(listener):
        found = composed(sources, options)
        parts = system_parts(found.job, found.config)
        return Inspection(tuple(parts), tuple(found.job.system.kept))
