"""What the YAML's `test` expects of a booted system, and how it turns out."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from compos.config.model import Budget, Expectation
from compos.config.quantities import milliseconds
from compos.config.test_keys import PORT_AND_PATH, limit_of
from compos.errors import ComposError
from compos.testing.booted import TIMEOUT, Booted

__all__ = ["Outcome", "check_all", "check_boot"]

SHOWN = 2000
"""Letters of an answer that a failure shows."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an expectation turned out: `reason` is empty if it holds. `place` is that of its entry
    (file, line); `evidence` are texts by their titles."""

    name: str
    seconds: float
    reason: str = ""
    file: str = ""
    line: int = 0
    evidence: dict[str, str] = field(default_factory=dict)


def check_all(booted: Booted, expectations: Iterable[Expectation]) -> Iterator[Outcome]:
    """Each expectation's outcome, in their order. With a fresh one among them, the guest has to be
    one that keeps snapshots: it is put back into the state after its boot for each of those."""
    expectations = tuple(expectations)
    state = None
    for number, one in enumerate(expectations):
        started = time.monotonic()
        reason = ""
        try:
            # Before anything could have changed it.
            if number == 0 and any(each.fresh for each in expectations):
                booted.started(_timeout(one))
                state = booted.snapshot()
            if one.fresh and state:
                booted.restore(state)
            _check(booted, one)
        except (AssertionError, ComposError, OSError) as error:
            reason = str(error)
        yield Outcome(
            name_of(one),
            time.monotonic() - started,
            reason,
            one.mark.file,
            one.mark.line,
            booted.evidence() if reason else {},
        )


def check_boot(booted: Booted, budget: Budget, timeout: float = TIMEOUT) -> Outcome:
    """Whether all services were started within `budget.boot`: by the guest's clock, which begins
    with its kernel. Waits for those that are yet to start."""
    started = time.monotonic()
    limit = (milliseconds(budget.boot or "") or 0) / 1000
    reason = ""

    try:
        services = booted.started(timeout)
        if failed := [name for name, one in services.items() if one["state"] == "failed"]:
            raise AssertionError(f"failed: {', '.join(failed)}")
        since = {name: float(one["since"]) for name, one in services.items()}
        if max(since.values()) > limit:
            last = sorted(since, key=lambda name: -since[name])[:3]
            reasons = ", ".join(f"{name} {since[name]:.2f} s" for name in last)
            reason = f"the last services started after more than {budget.boot}: {reasons}"
    except (AssertionError, ComposError, OSError) as error:
        reason = str(error)
    mark = budget.mark.at("boot")
    name = f"boot within {budget.boot}"
    evidence = booted.evidence() if reason else {}
    return Outcome(name, time.monotonic() - started, reason, mark.file, mark.line, evidence)


def name_of(one: Expectation) -> str:
    """What reports call an expectation."""
    if one.name:
        return one.name
    within = f" in {one.within}" if one.within else ""
    contains = f" contains {one.contains}" if one.contains else ""
    if one.http:
        return f"http {one.http}{contains}"
    if one.exec:
        return f"exec {' '.join(one.exec)}{within}{contains}"
    if one.file:
        return f"file {one.file}{within}{contains}"
    if one.service:
        return f"service {one.service} {one.state or 'running'}"
    if one.metric:
        return f"{one.metric.replace('_', ' ')}{within or ' of the system'} at most {one.most}"
    return f"console {one.console}"


def _timeout(one: Expectation) -> float:
    return (milliseconds(one.timeout) or 0) / 1000 if one.timeout else TIMEOUT


def _check(booted: Booted, one: Expectation) -> None:
    timeout = _timeout(one)
    if one.console:
        try:
            booted.console.wait(re.compile(one.console), timeout)
        except AssertionError as error:  # its evidence has the console
            raise AssertionError(str(error).splitlines()[0]) from error
    elif one.service:
        service = booted.service(one.service)
        {"running": service.running, "healthy": service.healthy, "exited": service.exited}[
            one.state or "running"
        ](timeout)
    elif one.http:
        booted.eventually(lambda: _check_http(booted, one), timeout)
    elif one.metric:
        _check_metric(booted, one, timeout)
    elif one.exec:
        booted.eventually(lambda: _check_exec(booted, one, timeout), timeout)
    else:
        booted.eventually(lambda: _check_file(booted, one), timeout)


def _check_http(booted: Booted, one: Expectation) -> None:
    match = PORT_AND_PATH.fullmatch(one.http or "")
    assert match is not None  # noqa: S101  as the YAML was checked
    answer = booted.request(int(match[1]), match[2] or "/")
    expected = 200 if one.status is None else one.status
    if answer.status != expected:
        raise AssertionError(f"status {answer.status}, not {expected}: {answer.text[:SHOWN]}")
    _search(one, answer.text)


def _check_exec(booted: Booted, one: Expectation, timeout: float) -> None:
    done = booted.exec(one.exec or (), service=one.within or "", timeout=timeout)
    expected = one.status or 0
    if done.status != expected:
        said = (done.error + done.output)[:SHOWN]
        raise AssertionError(f"exit status {done.status}, not {expected}: {said}")
    _search(one, done.output)


def _check_file(booted: Booted, one: Expectation) -> None:
    data = booted.file(one.file or "", service=one.within or "")
    _search(one, data.decode(errors="replace"))


def _check_metric(booted: Booted, one: Expectation, timeout: float) -> None:
    booted.started(timeout)
    found = booted.metrics()
    if one.within and one.within not in found.services:
        raise AssertionError(f"there is no service {one.within}")
    value = getattr(found.services[one.within] if one.within else found, one.metric or "")
    limit = limit_of(one)
    assert limit is not None  # noqa: S101  as the YAML was checked
    seconds = one.metric in ("cpu", "boot")
    if value > (limit / 1000 if seconds else limit):
        said = f"{value:.2f} s" if seconds else f"{value:,}"
        raise AssertionError(f"{name_of(one)}: it is {said}")


def _search(one: Expectation, text: str) -> None:
    if one.contains and not re.search(one.contains, text):
        raise AssertionError(f"{one.contains!r} is not in: {text[:SHOWN]}")
