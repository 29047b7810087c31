"""Debian's control syntax (deb822): stanzas of `Field: value`, as in apt's sources, Release and Packages files.

Pure. Source: deb822(5).
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["fields", "stanzas"]


def fields(text: str) -> dict[str, str]:
    """The fields of one stanza, names in lower case; a continuation line is kept as a line of the value."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0] in " \t":
            current.append(line.strip())
            continue
        name, separator, value = line.partition(":")
        current = []
        if separator:
            current.append(value.strip())
            found[name.lower()] = current
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """Every stanza of `text` that has a field, in order."""
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.strip():
            lines.append(line)
        elif lines:
            if found := fields("\n".join(lines)):
                yield found
            lines = []
