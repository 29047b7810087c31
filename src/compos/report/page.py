"""A report as one HTML page that needs nothing else: no network, no other files. Pure.

Every name may be a stranger's. They all go into one JSON document in which nothing can end the
element around it; the page's script puts them into the page as text, and a content security policy
allows that script alone, by its digest. The page is ASCII, of at most `MAX_PAGE` bytes: what does
not fit is left out, the smallest first, and counted.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from compos.report.document import Report
from compos.report.facts import Powers
from compos.report.map import map_of

__all__ = ["MAX_PAGE", "report_json", "report_page"]

MAX_PAGE = 500_000
"""Bytes of a page."""

_MAP_BYTES = 160_000
_SECTIONS_BYTES = 280_000
"""Bytes of the treemap's data, and of all other sections'."""

_LONG = 300
"""Characters of a text; what is longer is cut."""

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer">
<title>compos report</title>
<style>{style}</style>
</head>
<body>
<main id="page"><noscript>This report needs JavaScript; it loads nothing.</noscript></main>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def report_page(report: Report) -> bytes:
    """The page."""
    style, script = (
        files("compos.report").joinpath(f"page.{kind}").read_text("ascii") for kind in ("css", "js")
    )
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    page = _PAGE.format(
        policy=policy, style=style, script=script, data=_embedded(_shortened(report))
    ).encode("ascii")
    if len(page) > MAX_PAGE:
        raise AssertionError(f"a page of {len(page)} bytes")
    return page


def report_json(report: Report) -> str:
    """Everything, as JSON: nothing is left out."""
    values = report._asdict()
    values["files"] = {
        path: {**fact._asdict(), "xattrs": [name for name, _ in fact.xattrs or ()]}
        for path, fact in report.files.items()
    }
    for name in ("parts", "containers", "powers", "packages", "duplicates", "kept", "boot"):
        values[name] = [one._asdict() for one in values[name]]
    values["images"] = [
        {**one._asdict(), "layers": [layer._asdict() for layer in one.layers]}
        for one in report.images
    ]
    if report.updates is not None:
        values["updates"] = [one._asdict() for one in report.updates]
    if report.since is not None:
        values["since"] = {
            key: list(found) if key == "notes" else [one._asdict() for one in found]
            for key, found in report.since._asdict().items()
        }
    return json.dumps(values, indent=1)


def _digest(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _embedded(value: object) -> str:
    """JSON that cannot end a script element, nor open a comment in it."""
    text = json.dumps(value, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _text(text: str) -> str:
    """What people can read: nothing that turns the direction of writing, or cannot be seen."""
    short = text if len(text) <= _LONG else f"{text[:_LONG]}…"
    return (
        short
        if short.isprintable()
        else short.encode("unicode_escape", "surrogatepass").decode("ascii")
    )


def _shortened(report: Report) -> dict[str, Any]:
    sources = {one.location: one.source.rpartition("/")[2] for one in report.parts}
    data: dict[str, Any] = {
        "name": _text(report.name),
        "architecture": report.architecture,
        "cmdline": _text(report.cmdline),
        "files": sum(one.files for one in report.parts),
        "map": map_of(report.files, sources, _text, _MAP_BYTES),
    }
    sections: dict[str, Iterable[Sequence[Any]]] = {
        "parts": (
            (one.location, one.source, one.files, one.size, one.packed) for one in report.parts
        ),
        "images": (
            (one.name, one.digest, [layer.size for layer in one.layers], ", ".join(one.parts))
            for one in report.images
        ),
        "containers": (
            (one.section, one.name, one.image, [list(need) for need in one.needs])
            # Those that something depends on are worth more of the page.
            for one in sorted(report.containers, key=lambda one: not one.needs)
        ),
        "powers": _grouped(report.powers),
        "packages": (
            (one.name, one.version, one.kind, ", ".join(one.images)) for one in report.packages
        ),
        "duplicates": (
            (one.size, one.wasted, len(one.paths), one.paths[0], one.paths[1])
            for one in report.duplicates
        ),
        "modules": (
            (one.path.rpartition("/")[2], one.size, one.why)
            for one in sorted(report.kept, key=lambda one: -one.size)
        ),
        "boot": ((one.name, one.start, one.end) for one in report.boot),
    }
    if report.updates is not None:
        sections["updates"] = report.updates
    if report.since is not None:
        since = report.since
        sections["changed files"] = (
            (one.path, one.before, one.after, ", ".join(one.what)) for one in since.files
        )
        for name in ("settings", "powers", "packages"):
            sections[f"changed {name}"] = getattr(since, name)
        sections["changed sizes"] = since.sizes
    data["compared"] = _text(report.compared) if report.since is not None else None
    data["notes"] = [*map(_text, report.since.notes)] if report.since is not None else []
    data["not compared"] = _text(report.not_compared)
    rows = {name: [_value(row) for row in found] for name, found in sections.items()}
    for name, (kept, left_out) in _fitting(rows).items():
        data[name], data[f"{name} left out"] = kept, left_out
    return data


def _value(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_value(one) for one in value]
    return _text(value) if isinstance(value, str) else value


def _fitting(sections: dict[str, list[Any]]) -> dict[str, tuple[list[Any], int]]:
    """As many rows of each section as fit, and the number of the others: short sections leave their
    room to long ones."""
    sizes = {name: [len(_embedded(row)) + 1 for row in rows] for name, rows in sections.items()}
    room = _SECTIONS_BYTES
    found = {}
    for number, name in enumerate(sorted(sizes, key=lambda name: sum(sizes[name]))):
        share = room // (len(sizes) - number)
        count = used = 0
        for size in sizes[name]:
            if used + size > share:
                break
            used += size
            count += 1
        room -= used
        found[name] = (sections[name][:count], len(sections[name]) - count)
    return found


def _grouped(powers: Iterable[Powers]) -> Iterable[Sequence[Any]]:
    """Powers, each with the containers that have just these."""
    found: dict[Powers, list[str]] = {}
    for one in powers:
        found.setdefault(one._replace(location=""), []).append(one.location)
    for one, locations in found.items():
        names = ["all"] if one.has_all_capabilities else list(one.capabilities)
        yield (
            ", ".join(locations) if len(locations) < 5 else
            f"{', '.join(locations[:3])} and {len(locations) - 3} more",
            one.user,
            ", ".join(name.removeprefix("CAP_") for name in names),
            ", ".join(one.shares),
            one.seccomp,
            one.no_new_privileges,
            one.readonly,
            one.masked,
            ", ".join(one.devices),
            ", ".join(one.binds),
        )  # fmt: skip
