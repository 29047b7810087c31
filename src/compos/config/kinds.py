"""The types that a value of the YAML can have: the vocabulary of the tables in `fields`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from compos.config.check import Check, RecordCheck
from compos.config.model import Settings

__all__ = [
    "Field",
    "Flag",
    "Identity",
    "Kind",
    "ListOf",
    "MapOf",
    "Number",
    "PlanLine",
    "PlanWord",
    "PlanWriter",
    "Record",
    "Text",
    "TextMap",
    "Words",
    "key",
    "table",
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


class PlanWord(NamedTuple):
    """The first word of a line of the boot plan (docs/plan-format.md), and what `fields` stand
    behind it.

    `outside` says what init does by such a line of a stage, `inside` by one of a container; where
    one is empty, the word may not stand there.
    """

    name: str
    fields: tuple[str, ...]
    outside: str = ""
    inside: str = ""


PlanLine = tuple[str, ...]
"""A word, and its fields."""


PlanWriter = Callable[[Settings], Iterable[PlanLine]]
"""From a container's merged settings to the plan's lines about it."""


class Field(NamedTuple):
    """One key of a record; made by `key`.

    `name` is the model's field; where it is empty, the value is checked and dropped. `always` is
    printed by dumps where nothing is given. `doc` is a sentence for people, with the default in
    brackets. `sections` are those whose containers may have the key; empty: all. `plan` writes what
    it becomes in the boot plan, if anything: lines that begin with `words`.
    """

    key: str
    kind: Any
    doc: str
    name: str
    required: bool
    always: Any
    sections: tuple[str, ...] = ()
    plan: PlanWriter | None = None
    words: tuple[PlanWord, ...] = ()


def key(
    key: str,
    kind: Any,
    doc: str,
    *,
    required: bool = False,
    name: str | None = None,
    always: Any = None,
    sections: tuple[str, ...] = (),
    plan: PlanWriter | None = None,
    words: tuple[PlanWord, ...] = (),
) -> Field:
    """A key whose field is its name in snake case, unless `name` says otherwise: `hostID` fills
    `host_id`. The sections are added to `doc`."""
    if name is None:
        parted = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", key)
        name = parted.replace(".", "_").lower()
    if sections:
        doc = re.sub(r"( \[[^]]*\])?\.$", rf"; in {' and '.join(sections)}\g<0>", doc)
    return Field(key, kind, doc, name, required, always, sections, plan, words)


class Record(NamedTuple):
    """A mapping with known keys, made into `model`; `complaints` looks at the made value; `name` is
    for the schema."""

    name: str
    model: type
    doc: str
    fields: Mapping[str, Field]
    complaints: RecordCheck | None = None


def table(
    made: type,
    doc: str,
    *fields: Field,
    complaints: RecordCheck | None = None,
    name: str = "",
) -> Record:
    """The record of `fields` that fills the model `made`, under its name unless `name` is given."""
    return Record(
        name or made.__name__, made, doc, {field.key: field for field in fields}, complaints
    )


Kind = Flag | Number | Identity | Text | TextMap | Words | ListOf | MapOf | Record
