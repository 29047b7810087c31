"""Durations, sizes and signals as people write them (the Compose specification's `duration` and `byte value`). Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["SIGNALS", "milliseconds", "octets", "signal_number"]

_MILLISECONDS = {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
_SIZE = re.compile(r"(\d+)\s*([kmg]?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 10, "m": 20, "g": 30}

_NAMES = """
    HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU
    XFSZ VTALRM PROF WINCH IO PWR SYS
"""
SIGNALS = {name: number for number, name in enumerate(_NAMES.split(), 1)}
"""Linux' numbers on amd64, arm64 and riscv64 (signal(7))."""


class _Part(NamedTuple):
    number: str
    unit: str


def milliseconds(text: str) -> int | None:
    """`1m30s`, `500ms`: milliseconds, rounded down; None when it is no duration."""
    parts = [_Part(*found) for found in _DURATION.findall(text)]
    if not parts or "".join(part.number + part.unit for part in parts) != text:
        return None
    return int(sum(float(part.number) * _MILLISECONDS[part.unit] for part in parts))


def octets(text: str) -> int | None:
    """`10m`, `64kb`, `4096`: bytes, in powers of 1024; None when it is no size."""
    found = _SIZE.fullmatch(text.strip())
    return int(found[1]) << _POWERS[found[2].lower()] if found else None


def signal_number(text: str) -> int | None:
    """`SIGTERM`, `TERM`, `15`, `RTMIN+3`: the signal's number; None when there is none."""
    if text.isascii() and text.isdigit():
        return int(text) if 1 <= int(text) <= 64 else None
    name = text.upper().removeprefix("SIG")
    if real_time := re.fullmatch(r"RT(MIN|MAX)(?:([+-])(\d+))?", name):
        offset = int(real_time[3] or 0) * (-1 if real_time[2] == "-" else 1)
        number = (34 if real_time[1] == "MIN" else 64) + offset
        return number if 34 <= number <= 64 else None
    return SIGNALS.get(name)
