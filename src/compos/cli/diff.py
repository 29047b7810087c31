"""`compos diff`: what changes between two systems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from compos.cli.complete import complete_file
from compos.cli.inspecting import FORMATS, inspect_options
from compos.cli.text import visible

if TYPE_CHECKING:
    from compos.api.composed import InspectOptions
    from compos.report.difference import Change, Difference, FileChange

__all__ = ["diff"]

SHOWN = 30
"""Lines of a section, without --all."""

LONG = 240
"""Characters of a value that is printed; --json has all of it."""


@click.command
@click.argument("before", metavar="A", shell_complete=complete_file)
@click.argument("after", metavar="B", shell_complete=complete_file)
@FORMATS
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with sizes in bytes.")
@click.option("--all", "everything", is_flag=True, help="Print every file.")
@click.option("--exit-code", is_flag=True, help="Exit with 2 if the systems differ.")
@inspect_options
def diff(
    before: str,
    after: str,
    *,
    options: InspectOptions,
    as_json: bool,
    everything: bool,
    exit_code: bool,
) -> int:
    """Show how system B differs from system A.

    Each is a YAML file, or what a build has written: a tar, an initrd, a UKI, a squashfs, EROFS or
    ISO, a disk that keeps its root in one of these or in ext4 (raw, qcow2, VHD, VHDX, VMDK, OVA),
    or what the names of kernel and initrd begin with. Compared are files, packages (from the SBOM),
    sizes, the YAML's values and the kernel's command line, and what containers may do.
    """
    from compos.api.diff import diff as compare

    found = compare(before, after, options)
    if as_json:
        _print_json(found)
    else:
        _print(found, None if everything else SHOWN)
    return 2 if exit_code and found else 0


def _print_json(found: Difference) -> None:
    import json

    document = {
        name: list(values) if name == "notes" else [one._asdict() for one in values]
        for name, values in found._asdict().items()
    }
    click.echo(json.dumps(document, indent=2))


def _print(found: Difference, most: int | None) -> None:
    sections = (
        ("configuration", [*map(_changed, found.settings)]),
        ("powers", [*map(_changed, found.powers)]),
        ("packages", [*map(_changed, found.packages)]),
        ("sizes in bytes", [*_sizes(found)]),
        ("files", [*map(_file, found.files)]),
    )
    for title, lines in sections:
        if lines:
            click.echo(click.style(f"{title} ({len(lines)})", bold=True))
            _lines(lines, most)
            click.echo()
    for note in found.notes:
        click.echo(f"note: {visible(note)}")
    if not found:
        click.echo("no difference")


def _lines(lines: Sequence[str], most: int | None) -> None:
    for line in lines[:most]:
        click.echo(f"  {visible(line)}")
    if most is not None and len(lines) > most:
        click.echo(f"  … and {len(lines) - most:,} more (--all)")


def _changed(change: Change) -> str:
    if change.before is None or change.after is None:
        value = change.after if change.before is None else change.before
        return f"{'+' if change.before is None else '-'} {change.name}: {_short(value or '')}"
    old, new = change.before.split(", "), change.after.split(", ")
    if len(old) > 1 and len(new) > 1:
        # Of two long lists the same items say nothing.
        parts = [f"-{one}" for one in old if one not in new]
        parts += [f"+{one}" for one in new if one not in old]
        if parts:
            return f"~ {change.name}: {_short(' '.join(parts))}"
    return f"~ {change.name}: {_short(change.before)} → {_short(change.after)}"


def _short(value: str) -> str:
    return value if len(value) <= LONG and "\n" not in value else f"({len(value):,} characters)"


def _file(change: FileChange) -> str:
    if change.before is None:
        return f"+ {change.path}  {change.after:,}"
    if change.after is None:
        return f"- {change.path}  {change.before:,}"
    grown = change.after - change.before
    size = f"  {grown:+,}" if grown else ""
    return f"~ {change.path}  {', '.join(change.what)}{size}"


def _sizes(found: Difference) -> Iterator[str]:
    grown = {one.part: (one.after or 0) - (one.before or 0) for one in found.sizes}
    if not grown:
        return
    width = max(map(len, grown))
    for part, size in sorted(grown.items(), key=lambda one: -abs(one[1])):
        yield f"{part:{width}}  {size:+14,}"
    yield f"{'all':{width}}  {sum(grown.values()):+14,}"
