"""YAML nodes into the model, finding every mistake on the way. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import fields as model_fields
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from compos.config import model
from compos.config.model import Mark
from compos.config.scalars import integer, kind_of
from compos.config.schema import ENTRY, ListOf, Record, Scalar, TextMap
from compos.errors import ConfigError

__all__ = ["Decoder"]

NOUNS = {
    "string": "a string",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "null": "nothing",
}
_BAD = object()
"""Stands for a value that is wrong and has been reported."""

MOST_DEPTH = 64
MOST_NODES = 200_000
"""Beyond any real system; aliases of aliases reach it in a few lines."""

_SETTINGS = {field.name for field in model_fields(model.Settings)}


class Decoder:
    """Decodes one document; `errors` collects the mistakes in the order of the file."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.lines = text.splitlines()
        self.errors: list[ConfigError] = []
        self._decoded = 0

    def mark(self, node: Node, path: str) -> Mark:
        """Where `node` stands."""
        return Mark(self.file, node.start_mark.line + 1, node.start_mark.column + 1, path)

    def fail(self, id: str, message: str, mark: Mark, hint: str | None = None) -> None:
        """Note a mistake."""
        self.errors.append(ConfigError(id, message, place=str(mark), hint=hint, excerpt=self.excerpt(mark)))

    def excerpt(self, mark: Mark) -> str | None:
        """The line in question with a caret below."""
        if not 0 < mark.line <= len(self.lines):
            return None
        line = self.lines[mark.line - 1].replace("\t", " ")
        number = str(mark.line)
        margin = " " * len(number)
        return f"{margin} |\n{number} | {line[:160]}\n{margin} | {' ' * (mark.column - 1)}^"

    def decode(self, node: Node, kind: Any, path: str = "", depth: int = 0) -> Any:
        """The value of `node` as `kind` (a type of `schema`)."""
        self._decoded += 1
        if self._decoded > MOST_NODES:
            raise ConfigError(
                "yaml-too-large",
                f"the document has more than {MOST_NODES:,} values when its aliases are followed",
                place=self.file,
            )
        if depth > MOST_DEPTH:
            self.fail("config-type", "the document is nested too deeply", self.mark(node, path))
            return _BAD
        if isinstance(kind, Scalar):
            return self._scalar(node, kind, path)
        if isinstance(kind, ListOf):
            return self._list(node, kind, path, depth)
        if isinstance(kind, TextMap):
            return self._text_map(node, path)
        return self._record(node, kind, path, depth)

    def _expected(self, node: Node, what: str, path: str) -> object:
        found = "a list" if isinstance(node, SequenceNode) else "a mapping"
        if isinstance(node, ScalarNode):
            found = NOUNS[_kind(node)]
        hint = None
        if isinstance(node, ScalarNode) and what == NOUNS["string"] and _kind(node) != "null":
            hint = f"Put it in quotes: {node.value!r}."
        elif isinstance(node, ScalarNode) and what == "a list":
            hint = f"Write it as a list: [{node.value}]."
        self.fail("config-type", f"{what} is needed here, not {found}", self.mark(node, path), hint)
        return _BAD

    def _scalar(self, node: Node, kind: Scalar, path: str) -> object:
        what = " or ".join(NOUNS[name] for name in kind.kinds)
        if not isinstance(node, ScalarNode) or _kind(node) not in kind.kinds:
            return self._expected(node, what, path)
        found = _kind(node)
        if found == "boolean":
            return node.value in ("true", "True", "TRUE")
        if found == "integer":
            value = integer(node.value)
            if (kind.least is not None and value < kind.least) or (kind.most is not None and value > kind.most):
                self.fail("config-range", f"{value} is not between {kind.least} and {kind.most}", self.mark(node, path))
                return _BAD
            return value
        if kind.choices and node.value not in kind.choices:
            self.fail("config-value", f"{node.value!r} is none of: {', '.join(kind.choices)}", self.mark(node, path))
            return _BAD
        return node.value

    def _list(self, node: Node, kind: ListOf, path: str, depth: int) -> object:
        if not isinstance(node, SequenceNode):
            return self._expected(node, "a list", path)
        items = [self.decode(item, kind.item, f"{path}[{index}]", depth + 1) for index, item in enumerate(node.value)]
        return tuple(item for item in items if item is not _BAD)

    def _text_map(self, node: Node, path: str) -> object:
        if not isinstance(node, MappingNode):
            return self._expected(node, "a mapping", path)
        text = Scalar(("string",))
        found = {}
        for key, _, value in self._pairs(node, path):
            decoded = self._scalar(value, text, f"{path}.{key}")
            if decoded is not _BAD:
                found[key] = decoded
        return found

    def _record(self, node: Node, kind: Record, path: str, depth: int) -> object:
        if not isinstance(node, MappingNode):
            return self._expected(node, "a mapping", path)
        values: dict[str, Any] = {}
        seen = set()
        for key, key_node, value in self._pairs(node, path):
            here = f"{path}.{key}" if path else key
            field = kind.fields.get(key)
            seen.add(key)
            if field is None:
                self._unknown(key, kind, self.mark(key_node, here))
                continue
            decoded = self.decode(value, field.type, here, depth + 1)
            if decoded is not _BAD and field.name:
                values[field.name] = decoded
            if here == "init" and isinstance(value, SequenceNode):
                values["init_marks"] = tuple(self.mark(item, f"init[{n}]") for n, item in enumerate(value.value))
        return self._made(node, kind, path, values, seen)

    def _made(self, node: Node, kind: Record, path: str, values: dict[str, Any], seen: set[str]) -> object:
        missing = [key for key, field in kind.fields.items() if field.required and key not in seen]
        for key in missing:
            self.fail("config-missing", f"{key} is missing", self.mark(node, path), f"Add `{key}: …`.")
        if any(field.required and field.name not in values for field in kind.fields.values()):
            return _BAD
        if kind is ENTRY:
            settings = {name: values.pop(name) for name in list(values) if name in _SETTINGS}
            values["settings"] = model.Settings(**settings)
        if "mark" in getattr(kind.model, "__slots__", ()):
            values["mark"] = self.mark(node, path)
        return kind.model(**values)

    def _unknown(self, key: str, kind: Record, mark: Mark) -> None:
        near = difflib.get_close_matches(key, kind.fields, 1, 0.6)
        hint = f"Did you mean {near[0]!r}?" if near else f"Keys here are: {', '.join(kind.fields)}."
        self.fail("config-unknown-key", f"there is no key {key!r}", mark, hint)

    def _pairs(self, node: MappingNode, path: str) -> Iterator[tuple[str, Node, Node]]:
        """Keys and values, merge keys (`<<`) resolved; a key that stands twice is a mistake."""
        own: dict[str, tuple[Node, Node]] = {}
        merged: dict[str, tuple[Node, Node]] = {}
        for key_node, value in node.value:
            if not isinstance(key_node, ScalarNode):
                self.fail("config-type", "a key must be a string", self.mark(key_node, path))
                continue
            key = key_node.value
            if key == "<<" and not key_node.style:
                sources = value.value if isinstance(value, SequenceNode) else [value]
                for source in sources:
                    if isinstance(source, MappingNode) and source is not node:
                        for inner_key, inner_node, inner in self._pairs(source, path):
                            merged.setdefault(inner_key, (inner_node, inner))
                    else:
                        self.fail("config-type", "<< needs a mapping", self.mark(source, path))
                continue
            if key in own:
                here = f"{path}.{key}" if path else key
                self.fail(
                    "yaml-duplicate-key",
                    f"the key {key!r} stands here a second time",
                    self.mark(key_node, here),
                    f"It stands first in line {own[key][0].start_mark.line + 1}; keep one of them.",
                )
                continue
            own[key] = (key_node, value)
        for key, (key_node, value) in {**merged, **own}.items():
            yield key, key_node, value


def _kind(node: ScalarNode) -> str:
    """A quoted, block or `!!str` scalar is a string, a plain one what its text says."""
    # The C loader writes an empty style for a plain scalar, the Python one None.
    if node.style or node.tag == "!":
        return "string"
    found = kind_of(node.value)
    explicit = node.tag == "tag:yaml.org,2002:str" and found in ("boolean", "integer", "null")
    return "string" if explicit and not _resolves_to_string(node.value) else found


def _resolves_to_string(text: str) -> bool:
    """Whether YAML 1.1 (the loader's rules) reads a plain `text` as a string by itself: then the tag says nothing."""
    return text[:2] in ("0o", "+0", "-0") and "o" in text
