"""Lines of the boot plan: the words that init knows, how a line is written, and what init would not read.

Pure. The reader is `bricks/init/src/plan.c`; a test compares its table with this one. docs/plan-format.md says what each word
means.
"""

from __future__ import annotations

import re

__all__ = ["MAX_LINE", "WORDS", "PlanError", "plan_fields", "plan_line"]

MAX_LINE = 65536
"""Bytes of a line without its end (PLAN_LINE_MAXIMUM)."""

WORDS = {
    **dict.fromkeys(("clock", "coldplug", "coldplug-early", "disks", "hostname", "issue", "loopback"), 0),
    **dict.fromkeys(("no-new-privileges", "resolvconf"), 0),
    **dict.fromkeys(("cgroup", "failure", "module", "modules", "runtime", "script", "stage", "test", "timeout"), 1),
    **dict.fromkeys(("volume", "volume-readonly"), 1),
    **dict.fromkeys(("bindns", "containerd", "directory", "namespace", "restart", "rootpath", "seccomp", "stop"), 2),
    **dict.fromkeys(("symlink",), 2),
    **dict.fromkeys(("after", "container", "containerd-options", "limit"), 3),
    **dict.fromkeys(("interface", "mount", "mount?"), 4),
    **dict.fromkeys(("health", "log", "node"), 5),
}
"""How many arguments each has."""

_UNSAFE = re.compile("[\\\\\t\n]")
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n"}


class PlanError(ValueError):
    """A line that init would not read; the message says why."""


def plan_line(fields: tuple[str, ...]) -> bytes:
    """A line with its end. Raises `PlanError`."""
    if WORDS.get(fields[0]) != len(fields) - 1:
        raise PlanError(f"{fields[0]!r} with {len(fields) - 1} arguments")
    text = "\t".join(_UNSAFE.sub(lambda found: _ESCAPES[found[0]], field) for field in fields)
    line = text.encode("utf-8", "surrogateescape")
    if b"\0" in line:
        raise PlanError(f"a zero byte in {fields[0]!r}")
    if len(line) > MAX_LINE:
        raise PlanError(f"{fields[0]!r} has more than {MAX_LINE} bytes")
    return line + b"\n"


def plan_fields(line: str) -> tuple[str, ...]:
    """The fields of a line without its end."""
    return tuple(
        re.sub(r"\\(.)", lambda found: {"t": "\t", "n": "\n"}.get(found[1], found[1]), field)
        for field in line.split("\t")
    )
