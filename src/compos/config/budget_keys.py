"""The table of `budget`: what a system may have at most (docs/insight.md). Pure."""

from __future__ import annotations

from collections.abc import Iterator

from compos.config import check, model
from compos.config.check import Complaint
from compos.config.kinds import ListOf, Text, TextMap, key, table
from compos.config.quantities import octets

__all__ = ["BUDGET"]


def _size(text: str) -> Iterator[Complaint]:
    if not octets(text):
        yield Complaint("config-budget", f"{text[:100]!r} is not a size", "Write a size: 60m.")


def _sizes(given: model.Budget) -> Iterator[Complaint]:
    for name, text in (given.components or {}).items():
        for id, message, hint, *_ in _size(text):
            yield Complaint(id, f"{name[:100]}: {message}", hint, "components")


BUDGET = table(
    model.Budget,
    "What a system may have at most: a build of more fails (docs/insight.md).",
    key(
        "total",
        Text(_size),
        "Size of all parts, compressed as in an initrd, as `compos inspect` shows it: 60m.",
    ),
    key("unpacked", Text(_size), "Size of all files."),
    key(
        "components",
        TextMap(),
        "Compressed sizes of single parts, by the names that `compos inspect` shows.",
    ),
    key(
        "boot",
        Text(check.duration),
        "Time from the kernel's start until all services run; `compos test` measures it.",
    ),
    key(
        "capabilities",
        ListOf(Text(check.capability), check.capabilities),
        "The capabilities that containers may have [any].",
    ),
    complaints=_sizes,
)
