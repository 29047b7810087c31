"""The types that a value of the YAML can have: the vocabulary of the tables in `fields`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from compos.config.check import Check, RecordCheck

__all__ = [
    "Field",
    "Flag",
    "Identity",
    "Kind",
    "ListOf",
    "MapOf",
    "Number",
    "Record",
    "Text",
    "TextMap",
    "Words",
    "key",
]

# Named tuples: a frozen dataclass with slots costs 0.6 ms at import, ten of them a quarter of what
# config may take.


class Flag(NamedTuple):
    """true or false."""


class Number(NamedTuple):
    """A whole number between `least` and `most`."""

    least: int
    most: int


class Identity(NamedTuple):
    """A string, or a whole number between `least` and `most`."""

    least: int
    most: int


class Text(NamedTuple):
    """A string. `check` complains about its syntax; `choices` and `pattern` (a whole match) are for
    the schema too.

    With `nul` it may hold NUL: nothing that becomes a path, a name or an argument may, for it ends
    them in Linux.
    """

    check: Check | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    nul: bool = False


class TextMap(NamedTuple):
    """A mapping from any string to a string."""


class Words(NamedTuple):
    """A list of strings, or one string, which stands for the list of `before` and it; `check`
    complains about the whole."""

    before: tuple[str, ...] = ()
    check: Check | None = None


class MapOf(NamedTuple):
    """A mapping from any string to `item` (a record), or a list of strings, which stands for empty
    items of these names."""

    item: Any


class ListOf(NamedTuple):
    """A sequence of `item` (a kind); `check` complains about the whole."""

    item: Any
    check: Check | None = None


class Field(NamedTuple):
    """One key of a record; made by `key`.

    `name` is the model's field; where it is empty, the value is checked and dropped. `always` is
    printed by dumps where nothing is given. `doc` is a sentence for people, with the default in
    brackets.
    """

    key: str
    kind: Any
    doc: str
    name: str
    required: bool
    always: Any


def key(
    key: str,
    kind: Any,
    doc: str,
    *,
    required: bool = False,
    name: str | None = None,
    always: Any = None,
) -> Field:
    """A key whose field is its name in snake case, unless `name` says otherwise: `hostID` fills
    `host_id`."""
    if name is None:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", key)
        name = words.replace(".", "_").lower()
    return Field(key, kind, doc, name, required, always)


class Record(NamedTuple):
    """A mapping with known keys, made into `model`; `complaints` looks at the made value; `name` is
    for the schema."""

    name: str
    model: type
    doc: str
    fields: Mapping[str, Field]
    complaints: RecordCheck | None = None


Kind = Flag | Number | Identity | Text | TextMap | Words | ListOf | MapOf | Record
