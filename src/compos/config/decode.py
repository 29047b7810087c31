"""Nodes into the model by the tables, finding every mistake on the way. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from compos.config import model
from compos.config.check import Complaint
from compos.config.fields import CONFIG, ENTRY
from compos.config.kinds import (
    Flag,
    Identity,
    Kind,
    ListOf,
    MapOf,
    Number,
    Record,
    Text,
    TextMap,
    Words,
)
from compos.config.model import Config, Mark
from compos.config.nodes import List, Map, Node, Scalar, Span
from compos.config.problems import Problems
from compos.suggestion import did_you_mean, question, similar

__all__ = ["BAD", "Decoder"]

BAD = object()
"""Stands for a value that is wrong and has been reported."""

NOUNS = {
    Flag: "true or false",
    Text: "a string",
    Number: "a whole number",
    Identity: "a string or a whole number",
}

_SETTINGS = frozenset(model.Settings._fields)
_MARKED = frozenset(
    (
        model.Kernel,
        model.File,
        model.Volume,
        model.ImageEntry,
        model.Trust,
        model.Expectation,
        model.Budget,
    )
)


class Decoder:
    """Decodes one document; mistakes go to `problems`."""

    def __init__(self, file: str, problems: Problems) -> None:
        self._file = file
        self._problems = problems
        self._marks: dict[str, Mark] = {}
        """Places by key path, for the records that carry them."""
        self._meaning = ""
        """What the reference says of the key whose value is decoded."""

    def config(self, node: Node) -> Config | None:
        """A whole file; None when its top level is no mapping."""
        if isinstance(node, Scalar) and node.value is None:
            return Config()
        found = self.decode(node, CONFIG)
        return found if isinstance(found, Config) else None

    def decode(self, node: Node, kind: Kind, path: str = "") -> Any:
        """The value of `node` as `kind`, or `BAD`."""
        note = node.note if isinstance(node, Scalar) else ""
        self._marks[path] = Mark(self._file, node.span.line, node.span.column, path, note=note)
        if isinstance(kind, Record):
            return self._record(node, kind, path)
        if isinstance(kind, ListOf):
            return self._list(node, kind, path)
        if isinstance(kind, TextMap):
            return self._text_map(node, path)
        if isinstance(kind, Words):
            return self._words(node, kind, path)
        if isinstance(kind, MapOf):
            return self._map(node, kind, path)
        return self._scalar(node, kind, path)

    def fail(self, id: str, message: str, span: Span, path: str, hint: str | None = None) -> None:
        """Note a mistake at `span`."""
        mark = Mark(self._file, span.line, span.column, path)
        self._problems.add(id, message, mark, hint=hint, width=span.width)

    def _unexpected(self, node: Node, wanted: str, path: str, hint: str | None = None) -> object:
        if isinstance(node, Scalar) and node.value is None:
            hint = "Write a value, or remove the key."
        elif hint is None and self._meaning:
            hint = f"What belongs here: {self._meaning}"
        self.fail("config-type", f"expected {wanted}, not {_noun(node)}", node.span, path, hint)
        return BAD

    def _scalar(self, node: Node, kind: Flag | Number | Identity | Text, path: str) -> object:
        if not isinstance(node, Scalar):
            return self._unexpected(node, NOUNS[type(kind)], path)
        value = node.value
        if isinstance(kind, Text):
            return self._text(node, kind, path)
        if isinstance(kind, Flag):
            wrong = not isinstance(value, bool)
            return (
                self._unexpected(node, NOUNS[Flag], path, _flag_hint(node.text)) if wrong else value
            )
        if isinstance(kind, Identity) and isinstance(value, str):
            return self._no_nul(node, path) if "\0" in value else value
        # LinuxKit's schema counts 1.0 and 1e3 as whole numbers; ids then fail in its build
        # (docs/linuxkit.md#1.0).
        if (
            isinstance(kind, Number)
            and isinstance(value, float)
            and math.isfinite(value)
            and value == int(value)
        ):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            return self._unexpected(node, NOUNS[type(kind)], path)
        if not kind.least <= value <= kind.most:
            message = f"{node.text} is not between {kind.least} and {kind.most}"
            self.fail("config-range", message, node.span, path, "Write a number in that range.")
            return BAD
        return value

    def _text(self, node: Scalar, kind: Text, path: str) -> object:
        text = node.value
        if not isinstance(text, str):
            return self._unexpected(node, NOUNS[Text], path, f"Put it in quotes: '{node.text}'.")
        if kind.choices and text not in kind.choices:
            known = [choice for choice in kind.choices if choice]
            message = f"{text!r} is none of: {', '.join(known)}"
            self.fail(
                "config-value",
                message,
                node.span,
                path,
                did_you_mean(text, known, "Write one of them."),
            )
            return BAD
        if kind.check is not None and not self._accept(kind.check(text), node.span, path):
            return BAD
        return self._no_nul(node, path) if "\0" in text and not kind.nul else text

    def _no_nul(self, node: Scalar, path: str) -> object:
        self.fail(
            "config-value",
            "the value contains a NUL, which ends a string in Linux",
            node.span,
            path,
            "Remove it.",
        )
        return BAD

    def _accept(self, complaints: Iterable[Complaint], span: Span, path: str) -> bool:
        """Report `complaints`; whether there were none."""
        accepted = True
        for id, message, hint, key in complaints:
            accepted = False
            dot = "." if path and not key.startswith("[") else ""
            here = self._marks.get(f"{path}{dot}{key}") if key else None
            if here is not None:
                self._problems.add(id, message, here, hint=hint)
            else:
                self.fail(id, message, span, path, hint)
        return accepted

    def _list(self, node: Node, kind: ListOf, path: str) -> object:
        if not isinstance(node, List):
            hint = (
                f"Write it as a list: [{node.text}]."
                if isinstance(node, Scalar) and node.text
                else None
            )
            return self._unexpected(node, "a list", path, hint)
        items = [
            self.decode(item, kind.item, f"{path}[{number}]")
            for number, item in enumerate(node.items)
        ]
        if any(item is BAD for item in items):
            return BAD if kind.check else tuple(item for item in items if item is not BAD)
        return (
            BAD
            if kind.check and not self._accept(kind.check(items), node.span, path)
            else tuple(items)
        )

    def _words(self, node: Node, kind: Words, path: str) -> object:
        if isinstance(node, List):
            return self._list(node, ListOf(Text(), kind.check), path)
        if not isinstance(node, Scalar):
            return self._unexpected(node, "a string or a list", path)
        text = self._scalar(node, Text(), path)
        if text is BAD:
            return BAD
        words = (*kind.before, text)
        return BAD if kind.check and not self._accept(kind.check(words), node.span, path) else words

    def _map(self, node: Node, kind: MapOf, path: str) -> object:
        if isinstance(node, List):
            names = self._list(node, ListOf(Text()), path)
            if not isinstance(names, tuple):
                return BAD
            for number, name in enumerate(names):
                self._marks[f"{path}.{name}"] = self._marks[f"{path}[{number}]"]
            return {name: kind.item.model() for name in names}
        if not isinstance(node, Map):
            return self._unexpected(node, "a mapping or a list", path)
        found = {}
        for name, (key, value) in node.entries.items():
            if not self._is_name(key, path):
                continue
            decoded = self.decode(value, kind.item, f"{path}.{name}")
            if decoded is not BAD:
                found[name] = decoded
        return found

    def _text_map(self, node: Node, path: str) -> object:
        if not isinstance(node, Map):
            return self._unexpected(node, "a mapping", path)
        found = {}
        for name, (key, value) in node.entries.items():
            if not self._is_name(key, path):
                continue
            decoded = self.decode(value, Text(), f"{path}.{name}")
            if decoded is not BAD:
                found[name] = decoded
        return found

    def _is_name(self, key: Scalar, path: str) -> bool:
        """Whether a key that the user chose can be one; reports it when it cannot."""
        if not isinstance(key.value, str):
            self._unexpected(key, "a string as the key", path, f"Put it in quotes: '{key.text}'.")
        elif "\0" in key.value:
            self._no_nul(key, path)
        else:
            return True
        return False

    def _record(self, node: Node, kind: Record, path: str) -> object:
        if not isinstance(node, Map):
            return self._unexpected(node, "a mapping", path)
        outer = self._marks
        if marked := kind.model in _MARKED:
            self._marks = {}
        values: dict[str, Any] = {}
        whole = True
        meant: set[str | None] = set()
        for name, (key, value) in node.entries.items():
            here = f"{path}.{name}" if path else name
            field = kind.fields.get(name)
            if field is None:
                meant.add(self._unknown(key, kind, here))
                continue
            above, self._meaning = self._meaning, field.doc
            decoded = self.decode(value, field.kind, here)
            self._meaning = above
            if decoded is BAD:
                whole = False
            elif field.name:
                values[field.name] = decoded
        inner, self._marks = self._marks, outer
        if marked:
            relative = {key[len(path) + 1 :]: mark for key, mark in inner.items()}
            values["mark"] = Mark(self._file, node.span.line, node.span.column, path, relative)
        for name, field in kind.fields.items():
            if field.required and name not in node.entries and name not in meant:
                self.fail(
                    "config-missing", f"{name} is missing", node.span, path, f"Add `{name}: …`."
                )
        return self._made(node, kind, path, values, inner if whole and not meant else None)

    def _made(
        self,
        node: Map,
        kind: Record,
        path: str,
        values: dict[str, Any],
        inner: dict[str, Mark] | None,
    ) -> object:
        """The value of the model; checked as a whole, with the places `inner`, unless that is None
        for its mistakes."""
        if any(field.required and field.name not in values for field in kind.fields.values()):
            return BAD
        if kind is ENTRY:
            settings = {name: values.pop(name) for name in list(values) if name in _SETTINGS}
            values["settings"] = model.Settings(**settings)
        if kind.model is Config:
            start = f"{path}.init" if path else "init"
            count = len(values.get("init", ()))
            values["init_marks"] = tuple(
                self._marks[f"{start}[{number}]"] for number in range(count)
            )
        made = kind.model(**values)
        if inner is not None and kind.complaints is not None:
            outer, self._marks = self._marks, inner
            self._accept(kind.complaints(made), node.span, path)
            self._marks = outer
        return made

    def _unknown(self, key: Scalar, kind: Record, path: str) -> str | None:
        """Report a key that does not exist; returns the one that the user may have meant."""
        near = [] if self._problems.is_full else similar(key.text, kind.fields, 1)
        hint = question(near) or f"Valid keys: {', '.join(kind.fields)}."
        self.fail("config-unknown-key", f"unknown key {key.text!r}", key.span, path, hint)
        return near[0] if near else None


def _flag_hint(text: str) -> str | None:
    meaning = {
        "yes": "true",
        "on": "true",
        "y": "true",
        "no": "false",
        "off": "false",
        "n": "false",
    }.get(text.lower())
    return f"Write {meaning}." if meaning else None


def _noun(node: Node) -> str:
    if isinstance(node, List):
        return "a list"
    if isinstance(node, Map):
        return "a mapping"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return node.text
    if isinstance(node.value, str):
        return "a string"
    return "a whole number" if isinstance(node.value, int) else "a number"
