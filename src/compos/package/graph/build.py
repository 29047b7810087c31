"""Building the packages of a graph: each once, behind what it is built from, several at a time.

May touch: the store, and what the builder touches.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterable
from typing import NamedTuple

from compos.errors import CombinedError, ComposError
from compos.image.model import Descriptor
from compos.image.offer import Offer, Wanted
from compos.package.build import Builder
from compos.package.graph.model import Graph, Key, Need
from compos.package.graph.schedule import run_in_order
from compos.package.once import Once, Stopped, Turns, build_once
from compos.progress import notice

__all__ = ["BuiltImages", "Options", "build_graph", "jobs_here"]

MAX_JOBS = 4
"""Packages that are built at the same time unless the user says otherwise: each may need hundreds
of megabytes, and some are built by programs that use all processors."""


class Options(NamedTuple):
    """How packages are built: `force` builds all that were asked for again, `jobs` are built at the
    same time, `keep_going` goes on after an error with what does not need the package that failed.
    With `foreign`, images that came from elsewhere are taken as they are."""

    force: bool = False
    jobs: int = 0
    keep_going: bool = False
    foreign: bool = False


class BuiltImages:
    """The images of the packages that this process has built or found current, by digest: what
    other processes give these names meanwhile is not taken for them."""

    def __init__(self) -> None:
        self._roots: dict[tuple[str, str], Descriptor] = {}

    def add(self, name: str, key: Key, root: Descriptor) -> None:
        """Let `name` mean `root` for the platform of `key`."""
        self._roots[name, str(key.platform)] = root

    def offers(self, wanted: Wanted) -> Generator[Offer, None, None]:
        """The image that was built as `wanted`, if it has all platforms."""
        roots = {self._roots.get((wanted.text, str(one))) for one in wanted.platforms}
        root = roots.pop()
        if root is not None and not roots:
            yield Offer(wanted.text, root)


def jobs_here() -> int:
    """How many packages are built at the same time here."""
    return max(1, min(MAX_JOBS, os.cpu_count() or 1))


def build_graph(
    graph: Graph, builder: Builder, built: BuiltImages, options: Options
) -> dict[Key, Once]:
    """Have the store hold each package of `graph`, and `built` know it. Returns what became of
    each. Raises the error, or `CombinedError` with `keep_going` and several; what was not begun
    because of it is reported."""
    turns, lock = Turns(), threading.Lock()
    made: dict[Key, Once] = {}
    aliases = _aliases(need for package in graph.packages.values() for need in package.needs)

    def work(key: Key) -> None:
        once = build_once(
            builder,
            graph.packages[key].recipe,
            key.platform,
            key.name,
            force=options.force and key in graph.wanted,
            foreign=options.foreign,
            turns=turns,
        )
        for name in (key.name, *aliases.get(key, ())):
            built.add(name, key, once.root)
        with lock:
            made[key] = once
            _report(key, once, len(made), len(graph.packages))

    done = run_in_order(
        graph.needs,
        work,
        jobs=options.jobs or jobs_here(),
        keep_going=options.keep_going,
        stop=turns.stop,
    )
    errors = []
    for key, error in done.failed.items():
        if isinstance(error, Stopped):
            continue
        recipe, place = graph.packages[key].recipe, getattr(error, "place", None) or ""
        if isinstance(error, ComposError) and str(recipe.folder) not in place:
            error.place = f"{recipe.place}: {place}" if place else recipe.place
        errors.append(error)
    if done.skipped:
        notice(f"not built because of that: {', '.join(map(str, done.skipped))}")
    for error in errors:
        if not isinstance(error, ComposError):
            raise error
    known = [error for error in errors if isinstance(error, ComposError)]
    if known:
        raise CombinedError(known) if len(known) > 1 else known[0]
    return made


def _report(key: Key, once: Once, number: int, total: int) -> None:
    if once.built:
        why = "; ".join(once.before.reasons) or "it was asked for"
        notice(f"[{number}/{total}] {key} built: {why}")


def _aliases(needs: Iterable[Need]) -> dict[Key, set[str]]:
    """Other names under which packages are asked for: without a tag."""
    found: dict[Key, set[str]] = {}
    for need in needs:
        found.setdefault(need.key, set()).add(need.asked)
    return found
