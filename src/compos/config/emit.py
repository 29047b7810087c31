"""Plain values as YAML in LinuxKit's layout, quoted so that every reader, of YAML 1.1 or 1.2, takes
them the same. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from compos.config.scalars import value_of

__all__ = ["yaml_text"]

_PLAIN = re.compile(r"[A-Za-z_/]([A-Za-z0-9_/.@%+,=~ -]|:(?=[^ ]))*(?<! )")
"""Strings that need no quotes wherever they stand in a block."""

_WORDS = frozenset(("y", "n", "yes", "no", "on", "off"))
"""Booleans of YAML 1.1, in any case: strings to us, but not to every tool."""


def yaml_text(
    document: Mapping[str, Any],
    *,
    indent: int,
    dashes_indented: bool,
    comments: Mapping[str, str] | None = None,
) -> str:
    """`document` (mappings, lists, strings, numbers, booleans) as YAML.

    `indent` is in columns; with `dashes_indented` the dashes of a list stand below and right of its
    key, else below it. `comments` are printed behind values, by key path (`services[0].binds[1]`);
    they are single lines.
    """
    if not document:
        return "{}\n"
    writer = _Writer(indent, comments or {}, dashes_indented=dashes_indented)
    return "".join(f"{line}\n" for line in writer.mapping(document, 0, ""))


class _Writer:
    def __init__(self, indent: int, comments: Mapping[str, str], *, dashes_indented: bool) -> None:
        self._indent = indent
        self._comments = comments
        self._dashes_indented = dashes_indented

    def mapping(self, value: Mapping[str, Any], column: int, path: str) -> Iterator[str]:
        """The lines of a mapping at `path`, its keys in `column`."""
        for key, inner in value.items():
            here = f"{path}.{key}" if path else key
            yield from self._after(f"{' ' * column}{_scalar(key)}:", inner, column, here)

    def _after(self, start: str, value: Any, column: int, path: str) -> Iterator[str]:
        """The lines of `start` (a key with its colon in `column`) and the value that belongs to
        it."""
        if isinstance(value, Mapping) and value:
            yield start
            yield from self.mapping(value, self._deeper(column), path)
        elif isinstance(value, list) and value:
            yield start
            yield from self._list(
                value, self._deeper(column) if self._dashes_indented else column, path
            )
        else:
            yield from self._leaf(start, value, column, path)

    def _leaf(self, start: str, value: Any, column: int, path: str) -> Iterator[str]:
        comment = f"  # {self._comments[path]}" if path in self._comments else ""
        if isinstance(value, str) and _fits_block(value):
            ending = (
                ""
                if value.endswith("\n") and not value.endswith("\n\n")
                else "+"
                if value.endswith("\n")
                else "-"
            )
            yield f"{start} |{ending}{comment}"
            margin = " " * self._deeper(column)
            for line in value.removesuffix("\n").split("\n"):
                yield margin + line if line else ""
        else:
            yield f"{start} {_scalar(value)}{comment}"

    def _list(self, items: list[Any], column: int, path: str) -> Iterator[str]:
        dash = " " * column + "-"
        for number, item in enumerate(items):
            here = f"{path}[{number}]"
            if isinstance(item, Mapping) and item:
                lines = self.mapping(item, column + 2, here)
                yield f"{dash} {next(lines).lstrip(' ')}"
                yield from lines
            else:
                yield from self._leaf(dash, item, column, here)

    def _deeper(self, column: int) -> int:
        """The next multiple of the indentation, as go-yaml has it: keys after a dash do not shift
        what is below them."""
        return (column // self._indent + 1) * self._indent


def _fits_block(text: str) -> bool:
    """Whether `text` can be a literal block: several lines, nothing that needs an escape or an
    indentation mark."""
    lines = text.split("\n")
    return (
        len(lines) > 1
        and text.strip("\n") != ""
        and text[0] not in " \n\t"
        and all(line.replace("\t", " ").isprintable() for line in lines)
    )


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, dict)):
        return "[]" if isinstance(value, list) else "{}"
    text = str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS and isinstance(value_of(text), str):
        return text
    return "".join(
        c if c.isprintable() or c < " " else _escape(c)
        for c in json.dumps(text, ensure_ascii=False)
    )


def _escape(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
