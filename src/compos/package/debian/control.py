"""Debian's control syntax (deb822): stanzas of `Field: value`, as in apt's sources, Release and
Packages files.

Pure. Source: deb822(5). Lines end with a line feed and nothing else: what Unicode calls a line
break is text.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["fields", "stanzas"]


def fields(text: str) -> dict[str, str]:
    """The fields of one stanza, names in lower case; a continuation line is kept as a line of the
    value.

    Raises `ValueError` for a field that occurs twice, which deb822(5) forbids: readers differ in
    which one they believe.
    """
    found: dict[str, str] = {}
    for name, value in _pairs(text):
        if name in found:
            raise ValueError(f"the field {name[:100]!r} occurs twice")
        found[name] = value
    return found


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """Every stanza of `text` that has a field, in order; of a field that occurs twice, the last
    value."""
    lines: list[str] = []
    for line in [*text.split("\n"), ""]:
        if line.strip():
            lines.append(line)
        elif lines:
            if found := dict(_pairs("\n".join(lines))):
                yield found
            lines = []


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Name (in lower case) and value of each field."""
    name = ""
    lines: list[str] = []
    for line in text.split("\n"):
        if line.startswith("#") or not line.strip():
            continue
        if line[0] in " \t":
            lines.append(line.strip())
            continue
        if name:
            yield name, "\n".join(lines).strip()
        before, separator, value = line.partition(":")
        name, lines = (before.strip().lower(), [value.strip()]) if separator else ("", [])
    if name:
        yield name, "\n".join(lines).strip()
