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
from compos.api.last_build import last_build
from compos.errors import ComposError
from compos.output.formats import choose, machines
from compos.progress import Listener, listening, notice

if TYPE_CHECKING:
    from compos.output.formats import Format
    from compos.report.difference import Difference
    from compos.report.document import Report
    from compos.report.facts import Facts

__all__ = ["ReportOptions", "report"]

MAX_CONSOLE = 64 << 20
"""Bytes of a console's text that are read."""

MAX_OUTPUT = 1 << 30
"""Bytes of an output that is compared with unasked."""

INITRD = "-initrd.img"


class ReportOptions(NamedTuple):
    """What a report is about besides the system: `console` is a file with what a guest's console
    has shown, `since` an earlier system, as YAML or as an output, to compare with. Without it, the
    last build is compared with whose outputs' paths begin with `base`; without that, nothing is.
    With `updates` Debian's indexes are asked for security updates that its bricks lack."""

    inspect: InspectOptions = InspectOptions()
    console: Path | None = None
    since: str = ""
    updates: bool = False
    base: Path | None = None


class _Comparison(NamedTuple):
    """With what a system is compared, the difference, and why there is none."""

    name: str = ""
    since: Difference | None = None
    failure: str = ""


def report(
    sources: Sequence[str | os.PathLike[str]],
    options: ReportOptions,
    *,
    listener: Listener | None = None,
) -> Report:
    """What is to be said of the system that `sources` describe. Raises as `compos.diff` does, and
    `OSError` for the console's file."""
    from compos.api.inspect import outstanding
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
        compared = _compared(sources, options, found.job.request.formats, facts)
        if compared.failure:
            notice(compared.failure)
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
            compared.since,
            outstanding(found) if options.updates else None,
            compared.name,
            compared.failure,
        )


def _compared(
    sources: Sequence[str | os.PathLike[str]],
    options: ReportOptions,
    formats: Sequence[Format],
    facts: Facts,
) -> _Comparison:
    """How the system with these `facts` differs from an earlier one. Whatever is wrong with a last
    build that nobody has named is no error."""
    from compos.api.diff import facts_of
    from compos.report.difference import compare

    if options.since:
        before = facts_of(options.since, options.inspect)
        return _Comparison(Path(options.since).name, compare(before, facts))
    last = last_build(options.base, options.inspect.formats) if options.base else None
    if last is None:
        return _Comparison()
    name = last.output.name
    if last.size > MAX_OUTPUT:
        reason = f"it has {last.size >> 20:,} MiB; --since {last.output} takes the time"
        return _Comparison(failure=f"not compared with {name}: {reason}")
    try:
        before = facts_of(_readable(last.output), options.inspect)
    except (ComposError, OSError) as error:
        return _Comparison(failure=f"not compared with {name}: {_first_line(error)}")
    if all(path.startswith(before.lacks) for path in before.files):
        return _Comparison(failure=f"not compared with {name}: nothing is in it")
    both = {before.architecture, facts.architecture} - {""}
    if len(both) > 1:
        reason = f"it is for {before.architecture}"
        return _Comparison(failure=f"not compared with {name}: {reason}")
    if machines(choose(last.formats, to_file=False)) != machines(formats):
        # Formats decide the drivers, which are no change.
        again = composed(sources, options.inspect._replace(formats=last.formats), sbom=True)
        facts = facts_of_system(facts.name, again)
    return _Comparison(name, compare(before, facts))


def _readable(output: Path) -> Path:
    """What `diff` is given for an output: an initrd's prefix, because its kernel lies beside it."""
    prefix = output.with_name(output.name.removesuffix(INITRD))
    return output if prefix.exists() else prefix


def _first_line(error: ComposError | OSError) -> str:
    if isinstance(error, ComposError):
        return error.message.partition("\n")[0]
    return (error.strerror or str(error)).lower()


def _latest_boot(source: Path) -> Path | None:
    """What the console of the last guest has shown that `compos run --detach` or `compos test
    --keep` has started beside the YAML; None if there is none."""
    found = []
    for folder in (f"{source.stem}-state", f"{source.stem}-test-state"):
        with suppress(OSError):
            path = source.with_name(folder) / "console.log"
            found.append((path.stat().st_mtime_ns, path))
    return max(found)[1] if found else None
