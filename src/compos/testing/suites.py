"""Systems that are tested beside each other: each is built, booted and asked, on a guest of its
own.

May touch: as `testing.booted`; starts threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from compos.api.load import load
from compos.api.options import ImageOptions, LoadOptions
from compos.config.model import Budget, Expectation
from compos.errors import ConfigError, RunError
from compos.progress import threads
from compos.run.control import stop
from compos.testing.booted import Booted, Machine, boot
from compos.testing.expectations import Outcome, check_all, check_boot

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Suite", "Suites", "read_suite"]


@dataclass(frozen=True, slots=True)
class Suite:
    """A system, and what its YAML expects of it."""

    source: Path
    expectations: tuple[Expectation, ...]
    budget: Budget | None

    @property
    def fresh(self) -> bool:
        """Whether its guest has to keep snapshots."""
        return any(one.fresh for one in self.expectations)


def read_suite(source: Path, options: LoadOptions) -> Suite:
    """What the YAML `source` expects. Raises `ConfigError`, also if it expects nothing."""
    config = load([source], options).config
    budget = config.budget if config.budget and config.budget.boot else None
    if not config.test and not budget:
        raise ConfigError(
            "config-test",
            "the YAML expects nothing",
            place=str(source),
            hint="Add a section `test:`, such as [{service: NAME, state: running}].",
        )
    return Suite(source, config.test or (), budget)


@dataclass
class Suites:
    """Runs suites, `parallel` of them at a time: `machine` is what each is booted on. Of each
    outcome `told` hears, one at a time."""

    machine: Callable[[Suite], Machine]
    told: Callable[[Suite, Outcome], None]
    images: ImageOptions = ImageOptions()
    load: LoadOptions = LoadOptions()
    keep: bool = False
    parallel: int = 1
    names: dict[Path, str] = field(default_factory=dict)
    """What `compos ps` calls each system's guest."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._guests: set[Booted] = set()
        self._cancelled = False

    def run(self, suites: Sequence[Suite]) -> list[list[Outcome]]:
        """The outcomes of each suite. Raises `ComposError`, when all have ended, if one of them
        could not be booted. Whatever interrupts this process ends all guests."""
        if len(suites) == 1:
            return [self._run(suites[0])]
        with threads(self.parallel, "test") as pool:
            futures = [pool.submit(self._run, suite) for suite in suites]
            try:
                return self._results(futures)
            except BaseException:
                self._cancel(futures)
                raise

    def _results(self, futures: Sequence[Future[list[Outcome]]]) -> list[list[Outcome]]:
        errors = [one.exception() for one in futures]
        for error in errors:
            if error:
                raise error
        return [one.result() for one in futures]

    def _cancel(self, futures: Sequence[Future[list[Outcome]]]) -> None:
        for one in futures:
            one.cancel()
        with self._lock:
            self._cancelled = True
            guests = [booted.guest for booted in self._guests]
        for guest in guests:
            stop(guest, timeout=0)

    def _run(self, suite: Suite) -> list[Outcome]:
        outcomes = []
        machine = self.machine(suite)
        with boot(
            suite.source, machine, images=self.images, load=self.load, keep=lambda: self.keep
        ) as booted:
            self.names[suite.source] = booted.name
            with self._known(booted):
                boots = [check_boot(booted, suite.budget)] if suite.budget else []
                for one in chain(boots, check_all(booted, suite.expectations)):
                    outcomes.append(one)
                    with self._lock:
                        self.told(suite, one)
        return outcomes

    @contextmanager
    def _known(self, booted: Booted) -> Iterator[None]:
        """The guest is ended if this process is."""
        with self._lock:
            if self._cancelled:
                raise RunError("guest-ended", "the tests were interrupted")
            self._guests.add(booted)
        try:
            yield
        finally:
            with self._lock:
                self._guests.discard(booted)
