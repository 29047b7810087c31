"""`compos.diff`: how two systems differ, each given as YAML or as what a build wrote.

May touch: the store, the network for what it lacks, and the outputs (reading).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from compos.api.composed import InspectOptions
from compos.progress import Listener, listening

if TYPE_CHECKING:
    from compos.report.difference import Difference
    from compos.report.facts import Facts

__all__ = ["diff", "facts_of"]

_YAML = (".yml", ".yaml")


def diff(
    before: str | os.PathLike[str],
    after: str | os.PathLike[str],
    options: InspectOptions = InspectOptions(),
    *,
    listener: Listener | None = None,
) -> Difference:
    """How the system `after` differs from `before`. Each is a YAML file, which is composed, or an
    output.

    Raises as `compos.build` does, and `OutputError` (`output-unreadable`).
    """
    from compos.report.difference import compare

    with listening(listener):
        return compare(facts_of(before, options), facts_of(after, options))


def facts_of(source: str | os.PathLike[str], options: InspectOptions) -> Facts:
    """What is in the system that `source` is. Raises as `diff` does."""
    name = os.fspath(source)
    if name.endswith(_YAML) or name == "-":
        from compos.api.composed import composed, facts_of_system

        return facts_of_system(name, composed([name], options, sbom=True))
    from compos.api.outputs import facts_of_output

    return facts_of_output(Path(name))
