"""YAML text as nodes that know where they stand: scalars typed by our rules, aliases and merge keys
followed.

Touches nothing; a second document is a notice.

The parser's events are read one by one instead of letting PyYAML compose: nothing recurses, nesting
and aliases are bounded while reading, and YAML 1.1's own typing (`yes` a boolean, `1:30` a number)
never gets in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from compos.config.model import Mark
from compos.config.problems import Problems
from compos.config.scalars import Value, typed, value_of
from compos.errors import ConfigError
from compos.progress import notice

if TYPE_CHECKING:
    from yaml import MarkedYAMLError

__all__ = ["Entry", "List", "Map", "Node", "Scalar", "Span", "read_nodes"]

MAX_NESTING = 50
"""Levels of nesting; LinuxKit's schema has eight."""

MAX_ALIASED = 100_000
"""Values that all aliases of a document may stand for together."""

CORE = "tag:yaml.org,2002:"

_HALF = re.compile("[\ud800-\udfff]")
"""Half a character: the C parser refuses such escapes itself, the Python one lets them pass."""

HINTS = (
    ("cannot start any token", "\t", "Indent with spaces: YAML does not allow tabs here."),
    ("cannot start any token", "", "Put quotes around a value that begins with @, ` or %."),
    (
        "mapping values are not allowed",
        "",
        "Put quotes around a value that contains a colon and a space, or check the indentation.",
    ),
    (
        "did not find expected",
        "",
        "Check the indentation, and close all brackets and quotes.",
    ),
)
"""Part of the parser's message, part of the line, what to do."""


class Span(NamedTuple):
    """Where a node begins: line and column from 1, and its width in characters if it ends on that
    line."""

    line: int
    column: int
    width: int = 1


class Scalar(NamedTuple):
    """A single value; `text` is how it is written, without quotes; `is_merge` marks an unquoted
    `<<`.

    `is_plain` says that the value's type was read from the text, being unquoted; `note` is for
    `Mark.note`.
    """

    span: Span
    value: Value
    text: str
    size: int = 1
    is_merge: bool = False
    is_plain: bool = False
    note: str = ""


class List(NamedTuple):
    """A sequence. `size` counts the values in it, aliases followed."""

    span: Span
    items: list[Any]
    size: int


class Entry(NamedTuple):
    """A key and its value; `value` is a node."""

    key: Scalar
    value: Any


class Map(NamedTuple):
    """A mapping by the text of its keys, merge keys resolved."""

    span: Span
    entries: dict[str, Entry]
    size: int


Node = Scalar | List | Map


def read_nodes(text: str, file: str, problems: Problems) -> Node | None:
    """The first document of `text`, or None when there is none.

    Duplicate keys and the like go to `problems`; raises `ConfigError` for what cannot be read on
    from (`yaml-syntax`, `yaml-alias`, `yaml-depth`).
    """
    return _Reader(text, file, problems).document()


class _Open:
    """A sequence or mapping whose end has not been met; in a mapping, `items` are keys and values
    in turn.

    `bracket` is what it was opened with, if it was.
    """

    __slots__ = ("anchor", "bracket", "is_map", "items", "size", "span")

    def __init__(self, span: Span, anchor: str | None, *, is_map: bool, bracket: str) -> None:
        self.bracket = bracket
        self.span = span
        self.anchor = anchor
        self.is_map = is_map
        self.items: list[Node] = []
        self.size = 1


class _Reader:
    def __init__(self, text: str, file: str, problems: Problems) -> None:
        self._text = text
        self._file = file
        self._problems = problems
        self._anchors: dict[str, Node | None] = {}
        """Nodes by anchor; None while the node is still open."""
        self._aliased = 0
        self._stack: list[_Open] = []
        self._quote: tuple[Span, int] | None = None
        """The last quoted scalar of several lines: where it begins, the line in which it ends."""

    def document(self) -> Node | None:
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            return self._build(yaml.parse(self._text, Loader=loader), yaml)
        except yaml.MarkedYAMLError as error:
            raise self._syntax(error) from error
        except yaml.reader.ReaderError as error:
            # The C parser counts bytes, the Python one characters.
            position = error.position
            if loader is not yaml.SafeLoader:
                position = len(self._text.encode()[:position].decode(errors="ignore"))
            before = self._text[:position].split("\n")
            span = Span(len(before), len(before[-1]) + 1)
            message = f"the character U+{ord(self._text[position]):04X} is not allowed in YAML"
            raise self._error(
                "yaml-syntax", message, span, "Remove it, or write it as an escape in quotes."
            ) from error

    def _build(self, events: Iterator[Any], yaml: Any) -> Node | None:
        stack = self._stack
        root: Node | None = None
        for event in events:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                node: Node = self._scalar(event)
            elif kind is yaml.AliasEvent:
                node = self._alias(event)
            elif kind is yaml.SequenceStartEvent or kind is yaml.MappingStartEvent:
                self._open(stack, event, is_map=kind is yaml.MappingStartEvent)
                continue
            elif kind is yaml.SequenceEndEvent or kind is yaml.MappingEndEvent:
                node = self._closed(stack.pop())
            elif kind is yaml.DocumentEndEvent:
                self._second_document(events, yaml)
                break
            else:
                continue
            if stack:
                stack[-1].items.append(node)
                stack[-1].size += node.size
            else:
                root = node
        return root

    def _second_document(self, events: Iterator[Any], yaml: Any) -> None:
        """Say that there is one; it is passed over as LinuxKit does, even when it cannot be
        read."""
        place = self._file
        try:
            for event in events:
                if isinstance(event, yaml.DocumentStartEvent):
                    place = f"{self._file}:{event.start_mark.line + 1}"
                elif isinstance(event, yaml.StreamEndEvent):
                    return
                # What only ends with `---` has an empty one.
                elif (
                    not isinstance(event, yaml.DocumentEndEvent)
                    and getattr(event, "value", None) != ""
                ):
                    break
        except yaml.YAMLError:
            # Where it began is known all the same.
            pass
        notice(f"{place}: only the first YAML document is read; everything after `---` is ignored")

    def _scalar(self, event: Any) -> Scalar:
        start, end = event.start_mark, event.end_mark
        if event.style in ("'", '"') and end.line > start.line:
            self._quote = (Span(start.line + 1, start.column + 1), end.line + 1)
        width = end.column - start.column if end.line == start.line else 1
        span = Span(start.line + 1, start.column + 1, max(width, 1))
        text: str = event.value
        plain = event.implicit[0] and event.tag is None
        value: Value = text
        if plain:
            value = value_of(text)
        elif event.tag is not None and event.tag != "!":
            try:
                value = typed(text, event.tag.removeprefix(CORE))
            except ValueError:
                message = (
                    f"{text!r} is not a valid value for the tag {event.tag.replace(CORE, '!!')}"
                )
                self._problems.add("yaml-tag", message, self._mark(span), hint="Remove the tag.")
        if _HALF.search(text):
            raise self._error(
                "yaml-syntax",
                "an escape represents only half a character",
                span,
                "Write the character itself.",
            )
        node = Scalar(span, value, text, is_merge=plain and text == "<<", is_plain=plain)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any) -> Node:
        span = Span(event.start_mark.line + 1, event.start_mark.column + 1, len(event.anchor) + 1)
        node = self._anchors.get(event.anchor)
        if node is None:
            inside = event.anchor in self._anchors
            message = (
                f"*{event.anchor} refers to a value that contains it"
                if inside
                else f"there is no &{event.anchor} before this alias"
            )
            raise self._error(
                "yaml-alias",
                message,
                span,
                "Write out the value, or move its anchor before the alias.",
            )
        self._aliased += node.size
        if self._aliased > MAX_ALIASED:
            message = f"the aliases of this document expand to more than {MAX_ALIASED:,} values"
            raise self._error("yaml-alias", message, span, "Use fewer aliases of aliases.")
        return node

    def _open(self, stack: list[_Open], event: Any, *, is_map: bool) -> None:
        span = Span(event.start_mark.line + 1, event.start_mark.column + 1)
        if len(stack) >= MAX_NESTING:
            raise self._error(
                "yaml-depth",
                f"the value is nested more than {MAX_NESTING} levels deep",
                span,
                "Close the brackets, and check the dashes.",
            )
        if event.tag not in (None, "!", CORE + ("map" if is_map else "seq")):
            message = f"the tag {event.tag.replace(CORE, '!!')} is not supported here"
            self._problems.add("yaml-tag", message, self._mark(span), hint="Remove the tag.")
        if event.anchor:
            self._anchors[event.anchor] = None
        flow = ("{" if is_map else "[") if event.flow_style else ""
        stack.append(_Open(span, event.anchor, is_map=is_map, bracket=flow))

    def _closed(self, opened: _Open) -> Node:
        node: Node
        if opened.is_map:
            node = Map(opened.span, self._entries(opened.items), opened.size)
        else:
            node = List(opened.span, opened.items, opened.size)
        if opened.anchor:
            self._anchors[opened.anchor] = node
        return node

    def _entries(self, items: list[Node]) -> dict[str, Entry]:
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, Scalar):
                self._problems.add("config-type", "a key must be a string", self._mark(key.span))
            elif key.is_merge:
                self._merge(merged, value)
            elif key.text in own:
                first = own[key.text].key.span.line
                hint = f"It first appears in line {first}; remove one of them."
                message = f"the key {key.text!r} is repeated"
                self._problems.add(
                    "yaml-duplicate-key",
                    message,
                    self._mark(key.span),
                    hint=hint,
                    width=key.span.width,
                )
            else:
                own[key.text] = Entry(key, value)
        return {**merged, **own} if merged else own

    def _merge(self, merged: dict[str, Entry], value: Node) -> None:
        """`<<: *one` or `<<: [*one, *two]`: earlier ones win, and own keys win over all."""
        for source in value.items if isinstance(value, List) else [value]:
            if isinstance(source, Map):
                for key, entry in source.entries.items():
                    merged.setdefault(key, entry)
            else:
                hint = "If the key is named <<, put it in quotes."
                self._problems.add(
                    "config-type", "<< requires a mapping", self._mark(source.span), hint=hint
                )

    def _mark(self, span: Span) -> Mark:
        return Mark(self._file, span.line, span.column)

    def _error(self, id: str, message: str, span: Span, hint: str | None) -> ConfigError:
        return self._problems.error(id, message, self._mark(span), hint=hint, width=span.width)

    def _syntax(self, error: MarkedYAMLError) -> ConfigError:
        place = error.problem_mark or error.context_mark
        span = Span(place.line + 1, place.column + 1) if place else Span(1, 1)
        what = error.problem or error.context or "it cannot be parsed"
        begun = error.context_mark
        if begun is not None and "quoted scalar" in (error.context or "") and "unexpected" in what:
            message = (
                f"invalid YAML: the quote that begins here is not closed ({what} in line "
                f"{span.line})"
            )
            return self._error(
                "yaml-syntax", message, Span(begun.line + 1, begun.column + 1), "Close the quote."
            )
        lines = self._text.splitlines()
        line = lines[span.line - 1] if span.line <= len(lines) else ""
        hint = next((hint for part, near, hint in HINTS if part in what and near in line), None)
        context = f" {error.context}" if error.context and error.context != what else ""
        return self._error(
            "yaml-syntax",
            f"invalid YAML: {what}{context}",
            span,
            self._unclosed(what, span) or hint,
        )

    def _unclosed(self, what: str, span: Span) -> str | None:
        """What may have to be closed further up, where something unexpected was found at `span`."""
        if "did not find expected" not in what:
            return None
        if self._quote is not None and self._quote[1] == span.line:
            begin = self._quote[0]
            return (
                f"Close the quote that begins in line {begin.line}, column {begin.column}: it "
                "does not end until here."
            )
        if self._stack and self._stack[-1].bracket:
            opened = self._stack[-1]
            return (
                f"Close the {opened.bracket} in line {opened.span.line}, column "
                f"{opened.span.column}."
            )
        return None
