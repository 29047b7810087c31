"""Lines of the boot plan: how one is written, and what init would not read. Pure.

The words are those of `compose.plan_words`; the reader is init's `boot/plan.c`.
"""

from __future__ import annotations

import re

from compos.compose.plan_words import WORDS

__all__ = ["MAX_LINE", "PlanError", "plan_fields", "plan_line"]

MAX_LINE = 65536
"""Bytes of a line without its end (PLAN_LINE_MAXIMUM)."""

PATHS = {
    **dict.fromkeys(("cgroup", "runtime", "script"), 1),
    **dict.fromkeys(
        ("bindns", "directory", "mount", "mount?", "namespace", "seccomp", "symlink"), 2
    ),
    "node": 5,
}
"""Which argument is a path that init looks up or makes."""

MAX_PATH = 4095
"""Bytes of a path without its end (PATH_MAX, linux/limits.h); that of a control group has CGROUPS
in front of it."""

MAX_NAME = 255
"""Bytes of a path's component (NAME_MAX)."""

CGROUPS = "/sys/fs/cgroup/"

MAX_INTERFACE = 15
"""Bytes of an interface's name, and of a kind of interface (IFNAMSIZ, linux/if.h)."""

_UNSAFE = re.compile("[\\\\\t\n]")
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n"}


class PlanError(ValueError):
    """A line that init would not read; the message says why."""


def plan_line(fields: tuple[str, ...]) -> bytes:
    """A line with its end. Raises `PlanError`."""
    word = WORDS.get(fields[0])
    if word is None or len(word.fields) != len(fields) - 1:
        raise PlanError(f"{fields[0]!r} with {len(fields) - 1} arguments")
    if place := PATHS.get(fields[0]):
        _require_path(fields[0], fields[place])
    elif fields[0] == "interface":
        _require_interface(*fields[1:4])
    if _UNSAFE.search("".join(fields)):
        fields = tuple(_UNSAFE.sub(lambda found: _ESCAPES[found[0]], field) for field in fields)
    text = "\t".join(fields)
    line = text.encode("utf-8", "surrogateescape")
    if b"\0" in line:
        raise PlanError(f"a NUL in {fields[0]!r}")
    if len(line) > MAX_LINE:
        raise PlanError(f"{fields[0]!r} has more than {MAX_LINE} bytes")
    return line + b"\n"


def _require_path(word: str, path: str) -> None:
    data = path.encode("utf-8", "surrogateescape")
    if len(data) > MAX_PATH - (len(CGROUPS) if word == "cgroup" else 0):
        raise PlanError(f"{word!r} with a path of {len(data)} bytes")
    if len(data) > MAX_NAME and any(len(name) > MAX_NAME for name in data.split(b"/")):
        raise PlanError(f"{word!r} with a path that contains a name of more than {MAX_NAME} bytes")


def _require_interface(name: str, kind: str, peer: str) -> None:
    """As the kernel takes them (dev_valid_name, net/core/dev.c) and init asks for them (link.c)."""
    for what in (name, peer) if peer else (name,):
        size = len(what.encode("utf-8", "surrogateescape"))
        if not 1 <= size <= MAX_INTERFACE or what in (".", "..") or re.search(r"[/:\s]", what):
            raise PlanError(f"{what!r} as the name of an interface")
    if len(kind.encode("utf-8", "surrogateescape")) > MAX_INTERFACE:
        raise PlanError(f"{kind!r} as a kind of interface")
    if bool(peer) != (kind == "veth"):
        raise PlanError(
            f"the interface {name!r} of the kind {kind!r} with the peer {peer!r}: only a veth has "
            "a peer, and always"
        )


def plan_fields(line: str) -> tuple[str, ...]:
    """The fields of a line without its end."""
    return tuple(
        re.sub(r"\\(.)", lambda found: {"t": "\t", "n": "\n"}.get(found[1], found[1]), field)
        for field in line.split("\t")
    )
