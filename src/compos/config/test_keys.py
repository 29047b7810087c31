"""The table of `test`: what a system does once it has booted (docs/testing.md). Pure; a build does
not depend on it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from compos.config import check, model
from compos.config.check import Complaint
from compos.config.kinds import Number, Text, Words, key, table

__all__ = ["PORT_AND_PATH", "SUBJECTS", "TEST"]

SUBJECTS = ("http", "exec", "console", "file", "service")
"""What an expectation is about: one of them."""

PORT_AND_PATH = re.compile(r"([0-9]{1,5})(/[!-~]*)?")

_USERS = {
    "status": ("http", "exec"),
    "contains": ("http", "exec", "file"),
    "within": ("exec", "file"),
    "state": ("service",),
}
"""Other keys, and the subjects that they say more of."""

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
    for name, users in _USERS.items():
        if getattr(given, name) is not None and subjects[0] not in users:
            yield Complaint(
                "config-test",
                f"{name} has no effect on {subjects[0]}",
                f"Remove it; it belongs to {' and '.join(users)}.",
                name,
            )


TEST = table(
    model.Expectation,
    "What `compos test` expects of the booted system: one of http, exec, console, file and service "
    "(docs/testing.md).",
    key("name", Text(), "What reports call it [its subject]."),
    key("http", Text(_address), "Port in the guest and path, such as 80/index.html."),
    key("exec", Words(), "A command."),
    key("console", Text(_PATTERN), "A regular expression that the console comes to show."),
    key("file", Text(check.absolute_path), "Path of a file."),
    key("service", Text(), "Name of a service."),
    key("status", Number(0, 999), "Status of the answer [200], or of the command [0]."),
    key(
        "contains",
        Text(_PATTERN),
        "A regular expression that is found in the answer, the output or the file.",
    ),
    key("within", Text(), "Service in whose container the command or file is [the system's root]."),
    key(
        "state",
        Text(choices=("running", "healthy", "exited")),
        "State of the service [running].",
    ),
    key("timeout", Text(check.duration), "Time until it must be so [120s]."),
    complaints=_one_subject,
)
