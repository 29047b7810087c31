"""`api.report`: everything about a system, for a page or as JSON.

May touch: the store, and the network for what it lacks; a record of a boot, an earlier output
(reading).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from compos.api.composed import InspectOptions, composed, facts_of_system
from compos.progress import Listener, listening

if TYPE_CHECKING:
    from compos.report.document import Report

__all__ = ["ReportOptions", "report"]

MAX_CONSOLE = 64 << 20
"""Bytes of a console's text that are read."""


class ReportOptions(NamedTuple):
    """What a report is about besides the system: `console` is a file with what a guest's console
    has shown, `since` an earlier system, as YAML or as an output, to compare with. With `updates`
    Debian's indexes are asked for security updates that its bricks lack."""

    inspect: InspectOptions = InspectOptions()
    console: Path | None = None
    since: str = ""
    updates: bool = False


def report(
    sources: Sequence[str | os.PathLike[str]],
    options: ReportOptions,
    *,
    listener: Listener | None = None,
) -> Report:
    """What is to be said of the system that `sources` describe. Raises as `compos.diff` does, and
    `OSError` for the console's file."""
    from compos.api.diff import facts_of
    from compos.api.inspect import outstanding
    from compos.report.difference import compare
    from compos.report.document import Report, containers_of
    from compos.report.overview import duplicates, image_uses
    from compos.report.sizes import system_parts
    from compos.report.timeline import boot_stages

    with listening(listener):
        console = b""
        record = options.console or _latest_boot(Path(os.fspath(sources[-1])))
        if record:
            with record.open("rb") as stream:
                console = stream.read(MAX_CONSOLE)
        found = composed(sources, options.inspect, sbom=True)
        name = Path(os.fspath(sources[-1])).name
        facts = facts_of_system(name, found)
        since = compare(facts_of(options.since, options.inspect), facts) if options.since else None
        return Report(
            name,
            found.job.request.architecture,
            facts.cmdline,
            tuple(system_parts(found.job, found.config)),
            facts.files,
            image_uses(found.config, found.inputs.images),
            tuple(containers_of(found.config)),
            facts.powers,
            facts.packages,
            duplicates(found.job, facts.files),
            tuple(found.job.system.kept),
            boot_stages(console.decode("utf-8", "replace")),
            since,
            outstanding(found) if options.updates else None,
        )


def _latest_boot(source: Path) -> Path | None:
    """What the console of the last guest has shown that `compos run --detach` or `compos test
    --keep` has started beside the YAML; None if there is none."""
    found = []
    for folder in (f"{source.stem}-state", f"{source.stem}-test-state"):
        with suppress(OSError):
            path = source.with_name(folder) / "console.log"
            found.append((path.stat().st_mtime_ns, path))
    return max(found)[1] if found else None
