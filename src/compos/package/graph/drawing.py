"""A graph of packages as text, JSON and DOT, with why each package is built or not. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from compos.package.graph.model import Graph, Key, Need, Package

__all__ = ["Drawing", "Verdict", "to_dot", "to_json", "to_text", "verdicts"]

BUILD, CHECK, CURRENT = "build", "check", "current"
"""What happens to a package: it is built; it is looked at again behind what it is built from, as
that is built; nothing."""

_COLORS = {BUILD: "#f4b6b6", CHECK: "#f6e3a8", CURRENT: "#bfe3c0"}


class Verdict(NamedTuple):
    """What happens to a package, and why (nothing if it is current)."""

    what: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.what}: {'; '.join(self.reasons)}" if self.reasons else self.what


class Drawing(NamedTuple):
    """A graph with a verdict for each package, the digests of other images, as far as they are
    known, and what a system needs of it, by the system's name (empty without one)."""

    graph: Graph
    verdicts: Mapping[Key, Verdict]
    digests: Mapping[Key, str]
    system: str = ""
    system_needs: tuple[Need, ...] = ()


def to_text(drawing: Drawing) -> Iterator[str]:
    """Lines of a tree: below each package what it is built from; what has been shown above is named
    only."""
    shown: set[Key] = set()
    if drawing.system:
        yield drawing.system
        waiting = _branches(drawing.system_needs, "")
    else:
        needed = {key for package in drawing.graph.packages.values() for key in package.packages}
        tops = [key for key in drawing.graph.wanted if key not in needed]
        waiting = [_Branch(key, "", "", "") for key in reversed(tops)]
    # Without recursion: a chain of packages may be long.
    while waiting:
        branch = waiting.pop()
        yield f"{branch.start}{branch.key}  {_word(drawing, branch.key, shown)}{branch.end}"
        package = drawing.graph.packages.get(branch.key)
        if package is not None and branch.key not in shown:
            shown.add(branch.key)
            waiting += _branches(package.needs, branch.indent)


def to_json(drawing: Drawing) -> str:
    """One JSON document (docs/package-trees.md says what is in it)."""
    packages = [
        {
            "name": key.name,
            "platform": str(key.platform),
            "folder": str(package.recipe.folder),
            "made_by": "Dockerfile" if package.recipe.dockerfile else "recipe",
            "state": drawing.verdicts[key].what,
            "reasons": list(drawing.verdicts[key].reasons),
            "needs": _needs(drawing, package.needs),
        }
        for key, package in drawing.graph.packages.items()
    ]
    document: dict[str, Any] = {"packages": packages}
    if drawing.system:
        document["system"] = {
            "name": drawing.system,
            "needs": _needs(drawing, drawing.system_needs),
        }
    return json.dumps(document, indent=2, ensure_ascii=False)


def to_dot(drawing: Drawing) -> Iterator[str]:
    """Lines of a graph in Graphviz's language, with an arrow from each package to what it is built
    from."""
    yield "digraph packages {"
    yield "  rankdir=LR;"
    yield '  node [shape=box, style="filled,rounded", fillcolor="#e8e8e8"];'
    packages = drawing.graph.packages
    needs = [*drawing.system_needs, *(one for all in packages.values() for one in all.needs)]
    # Numbers for names: what a name may hold would have to be quoted in another way than labels.
    numbers = {
        key: number
        for number, key in enumerate(dict.fromkeys((*packages, *(need.key for need in needs))), 1)
    }
    if drawing.system:
        yield f"  n0 [label={_label(drawing.system)}, fillcolor=white];"
    for key, number in numbers.items():
        if key in packages:
            verdict = drawing.verdicts[key]
            look = f'fillcolor="{_COLORS[verdict.what]}"'
            lines = [verdict.what, *verdict.reasons]
        else:
            look, lines = "shape=ellipse", [_digest(drawing, key)]
        yield f"  n{number} [label={_label(key.name, str(key.platform), *lines)}, {look}];"
    for start, of in (
        (0, drawing.system_needs),
        *((numbers[key], package.needs) for key, package in packages.items()),
    ):
        for need in of:
            yield f"  n{start} -> n{numbers[need.key]} [label={_label(need.how)}];"
    yield "}"


class _Branch(NamedTuple):
    """A line of the tree: the image, what stands before and behind it, and the indent below it."""

    key: Key
    start: str
    indent: str
    end: str


def _branches(needs: Sequence[Need], indent: str) -> list[_Branch]:
    """The lines for `needs`, the last one first."""
    branches = [
        _Branch(need.key, f"{indent}├── ", f"{indent}│   ", f"  ({need.how})") for need in needs
    ]
    if branches:
        branches[-1] = branches[-1]._replace(start=f"{indent}└── ", indent=f"{indent}    ")
    return branches[::-1]


def _word(drawing: Drawing, key: Key, shown: set[Key]) -> str:
    if key not in drawing.graph.packages:
        return _digest(drawing, key)
    return "(see above)" if key in shown else str(drawing.verdicts[key])


def _digest(drawing: Drawing, key: Key) -> str:
    return drawing.digests.get(key) or "not in the store"


def _needs(drawing: Drawing, needs: Sequence[Need]) -> list[dict[str, Any]]:
    return [
        {
            "name": need.key.name,
            "platform": str(need.key.platform),
            "how": need.how,
            "place": need.place,
            "package": need.recipe is not None,
            "digest": drawing.digests.get(need.key) or None,
        }
        for need in needs
    ]


def _label(*lines: str) -> str:
    """A label of DOT, in which `\\n` breaks a line (escString)."""
    text = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return f'"{text}"'


def verdicts(graph: Graph, reasons_of: Callable[[Package], tuple[str, ...]]) -> dict[Key, Verdict]:
    """What happens to each package; `reasons_of` has why the store's image is not current."""
    found: dict[Key, Verdict] = {}
    for key, package in graph.packages.items():
        reasons = reasons_of(package)
        waits = [one.name for one in package.packages if found[one].what != CURRENT]
        if reasons:
            found[key] = Verdict(BUILD, reasons)
        elif waits:
            found[key] = Verdict(CHECK, tuple(f"{name} may become another image" for name in waits))
        else:
            found[key] = Verdict(CURRENT, ())
    return found
