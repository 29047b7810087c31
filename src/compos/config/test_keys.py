"""The table of `test`: what a system does once it has booted (docs/testing.md). Pure; a build does
not depend on it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from compos.config import check, model
from compos.config.check import Complaint
from compos.config.kinds import Flag, Identity, Number, Text, Words, key, table
from compos.config.quantities import milliseconds, octets

__all__ = ["METRICS", "PORT_AND_PATH", "SUBJECTS", "TEST", "limit_of"]

SUBJECTS = ("http", "exec", "console", "file", "service", "metric")
"""What an expectation is about: one of them."""

PORT_AND_PATH = re.compile(r"([0-9]{1,5})(/[!-~]*)?")

_USERS = {
    "status": ("http", "exec"),
    "contains": ("http", "exec", "file"),
    "within": ("exec", "file", "metric"),
    "state": ("service",),
    "most": ("metric",),
}
"""Other keys, and the subjects that they say more of."""

METRICS = {
    "memory": octets,
    "memory_peak": octets,
    "cpu": milliseconds,
    "processes": lambda text: int(text) if re.fullmatch("[0-9]{1,9}", text) else None,
    "restarts": lambda text: int(text) if re.fullmatch("[0-9]{1,9}", text) else None,
    "boot": milliseconds,
}
"""What is measured, and how its limit is read: bytes, milliseconds, or a number."""

_OF_SERVICES = ("memory_peak", "processes")
_OF_SYSTEMS = ("boot",)

_PATTERN = check.regular_expression("config-test")


def _address(text: str) -> Iterator[Complaint]:
    match = PORT_AND_PATH.fullmatch(text)
    if match is None or not 0 < int(match[1]) < 65536:
        yield Complaint(
            "config-test",
            f"{text[:100]!r} is not a port with a path",
            "Write the port in the guest, and the path: 80/index.html.",
        )


def _one_subject(given: model.Expectation) -> Iterator[Complaint]:
    subjects = [name for name in SUBJECTS if getattr(given, name)]
    if len(subjects) != 1:
        yield Complaint(
            "config-test",
            f"an expectation has one of {', '.join(SUBJECTS)}, this one "
            + (f"has {' and '.join(subjects)}" if subjects else "has none"),
            "Write an entry for each.",
        )
        return
    if given.metric:
        yield from _measurable(given)
    for name, users in _USERS.items():
        if getattr(given, name) is not None and subjects[0] not in users:
            yield Complaint(
                "config-test",
                f"{name} has no effect on {subjects[0]}",
                f"Remove it; it belongs to {' and '.join(users)}.",
                name,
            )


def limit_of(given: model.Expectation) -> int | None:
    """What a metric may be at most, in its unit; None if its text says nothing of the kind."""
    return METRICS[given.metric or ""](str("" if given.most is None else given.most))


def _measurable(given: model.Expectation) -> Iterator[Complaint]:
    if given.metric in _OF_SERVICES and not given.within:
        yield Complaint(
            "config-test",
            f"{given.metric} is measured of a service",
            "Name one: within: SERVICE.",
        )
    if given.metric in _OF_SYSTEMS and given.within:
        yield Complaint(
            "config-test", f"{given.metric} is measured of the system", "Remove within.", "within"
        )
    if limit_of(given) is None:
        yield Complaint(
            "config-test",
            f"{str(given.most or '')[:100]!r} is no limit of {given.metric}",
            "Write the most that it may be: 64m of memory, 2s of cpu and boot, else a number.",
            "metric" if given.most is None else "most",
        )


TEST = table(
    model.Expectation,
    "What `compos test` expects of the booted system: one of http, exec, console, file, service "
    "and metric (docs/testing.md).",
    key("name", Text(), "What reports call it [its subject]."),
    key("http", Text(_address), "Port in the guest and path, such as 80/index.html."),
    key("exec", Words(), "A command."),
    key("console", Text(_PATTERN), "A regular expression that the console comes to show."),
    key("file", Text(check.absolute_path), "Path of a file."),
    key("service", Text(), "Name of a service."),
    key(
        "metric",
        Text(choices=tuple(METRICS)),
        "What is measured, of the system or of a service, once all services have been started.",
    ),
    key("status", Number(0, 999), "Status of the answer [200], or of the command [0]."),
    key(
        "contains",
        Text(_PATTERN),
        "A regular expression that is found in the answer, the output or the file.",
    ),
    key(
        "within",
        Text(),
        "Service in whose container the command or file is, or that is measured [the system].",
    ),
    key(
        "state",
        Text(choices=("running", "healthy", "exited")),
        "State of the service [running].",
    ),
    key(
        "most",
        Identity(0, 10**15),
        "What the metric is at most: 64m (memory), 2s (cpu, boot), or a number.",
    ),
    key(
        "fresh",
        Flag(),
        "Put the guest back into its state after the boot before this is looked at [false].",
    ),
    key("timeout", Text(check.duration), "Time until it must be so [120s]."),
    complaints=_one_subject,
)
