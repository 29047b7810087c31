"""The order of Debian's version numbers.

Pure. Source: deb-version(7), which is what `dpkg --compare-versions` does.
"""

from __future__ import annotations

import re
from functools import cache

__all__ = ["VERSION", "compare", "satisfies", "version_key"]

MAX_VERSION = 256
"""Characters of a version. Debian's longest has some 60; file names, which contain it, end at
NAME_MAX (255)."""

VERSION = rf"[0-9A-Za-z.+:~^-]{{1,{MAX_VERSION}}}"
"""Pattern of what is taken for a version: deb-version(7), and what older tools let pass."""

Key = tuple[int, tuple[int, ...], tuple[int, ...]]

_RUNS = re.compile(r"([^0-9]*)([0-9]+)|([^0-9]+)")
_OPERATORS = {
    "<<": (-1,),
    "<=": (-1, 0),
    "=": (0,),
    ">=": (0, 1),
    ">>": (1,),
    # Obsolete spellings, which mean "or equal" (deb-control(5)).
    "<": (-1, 0),
    ">": (0, 1),
}


@cache
def version_key(version: str) -> Key:
    """A key that sorts like the versions: epoch, upstream version, revision.

    An absent epoch or revision is 0; what stands before a colon and is no number is taken as part
    of the version.
    """
    epoch, colon, rest = version.partition(":")
    if not colon or not (epoch.isascii() and epoch.isdigit()):
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-")
    if not upstream:
        upstream, revision = rest, ""
    return int(epoch), _part_key(upstream), _part_key(revision)


def _part_key(part: str) -> tuple[int, ...]:
    # A run of other characters ends with 0, which sorts after a tilde and before everything else; a
    # run of digits is its number. Equal prefixes have equal structure, so one flat tuple compares
    # like the alternating runs.
    key: list[int] = []
    for before, digits, last in _RUNS.findall(part or "0"):
        key += map(_weight, before or last)
        key += (0, int(digits or 0))
    return (*key, 0)


def _weight(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


def compare(left: str, right: str) -> int:
    """-1, 0 or 1: `left` is earlier than, the same as or later than `right`."""
    first, second = version_key(left), version_key(right)
    return (first > second) - (first < second)


def satisfies(version: str, operator: str, wanted: str) -> bool:
    """Whether `version` stands in a relation such as `>=` to `wanted`."""
    return compare(version, wanted) in _OPERATORS[operator]
