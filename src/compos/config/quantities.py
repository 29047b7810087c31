"""Durations, sizes and signals as people write them (the Compose specification's `duration` and
`byte value`). Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = [
    "MAX_COUNT",
    "MAX_MILLISECONDS",
    "SIGNALS",
    "milliseconds",
    "octets",
    "signal_number",
    "whole_number",
]

MAX_MILLISECONDS = 1 << 40
"""The longest duration, 34 years: init counts in 64 bits, and adds them to the time
(bricks/init/src/services/service.c)."""

MAX_COUNT = 10**9
"""How often something may be tried; likewise."""

MAX_OCTETS = 2**63 - 1
"""The largest size: off_t, and the kernel's limits of memory."""

_MILLISECONDS = {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
_SIZE = re.compile(r"(\d+)\s*([kmg]?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 10, "m": 20, "g": 30}

_NAMES = """
    HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP
    TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS
"""
SIGNALS = {name: number for number, name in enumerate(_NAMES.split(), 1)}
"""Linux' numbers on amd64, arm64 and riscv64 (signal(7))."""


class _Part(NamedTuple):
    number: str
    unit: str


def whole_number(text: str, most: int) -> int | None:
    """ASCII digits as a number; None for anything else, and for more than `most`."""
    # int() refuses thousands of digits with an error of its own.
    digits = text.lstrip("0") or "0"
    if not (text.isascii() and text.isdigit()) or len(digits) > len(str(most)):
        return None
    number = int(digits)
    return number if number <= most else None


def milliseconds(text: str) -> int | None:
    """`1m30s`, `500ms`: milliseconds, rounded down; None when it is no duration, or too long a
    one."""
    parts = [_Part(*found) for found in _DURATION.findall(text)]
    if not parts or "".join(part.number + part.unit for part in parts) != text:
        return None
    total = sum(float(part.number) * _MILLISECONDS[part.unit] for part in parts)
    return int(total) if total <= MAX_MILLISECONDS else None


def octets(text: str) -> int | None:
    """`10m`, `64kb`, `4096`: bytes, in powers of 1024; None when it is no size, or too large a
    one."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        return None
    power = _POWERS[found[2].lower()]
    number = whole_number(found[1], MAX_OCTETS >> power)
    return None if number is None else number << power


def signal_number(text: str) -> int | None:
    """`SIGTERM`, `TERM`, `15`, `RTMIN+3`: the signal's number; None when there is none."""
    if text.isdigit():
        return whole_number(text, 64) or None
    name = text.upper().removeprefix("SIG")
    if real_time := re.fullmatch(r"RT(MIN|MAX)(?:([+-])(\d{1,2}))?", name):
        offset = int(real_time[3] or 0) * (-1 if real_time[2] == "-" else 1)
        number = (34 if real_time[1] == "MIN" else 64) + offset
        return number if 34 <= number <= 64 else None
    return SIGNALS.get(name)
