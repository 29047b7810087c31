"""Expected PCRs as `compos measure --json` writes them, read again, and as Keylime wants them.
Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from compos.boot.measurements import PHASES, Attempt, Event, Measured
from compos.image.json_document import parse_json

__all__ = ["keylime_policy", "read_expected"]

NEEDED = (4, 9, 11, 12)
PROGRAM = "the program"
MAX_EVENTS = 256
STARTED = PHASES[: PHASES.index("ready") + 1]
"""The phases behind a machine that has started all services."""


def read_expected(data: bytes) -> tuple[Measured, ...]:
    """PCRs 4, 9, 11 and 12 with their events. Raises `ValueError`."""
    found = parse_json(data)
    entries = found.get("pcrs") if isinstance(found, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it has no list of PCRs")
    read = tuple(_measured(one) for one in entries)
    by_number = {one.pcr: one for one in read}
    if missing := [pcr for pcr in NEEDED if pcr not in by_number]:
        raise ValueError(f"it says nothing of PCR {missing[0]}")
    if not any(event.text.startswith(PROGRAM) for event in by_number[4].events):
        raise ValueError("PCR 4 has no program")
    return read


def _measured(entry: object) -> Measured:
    pcr = entry.get("pcr") if isinstance(entry, dict) else None
    events = entry.get("events") if isinstance(entry, dict) else None
    if not isinstance(pcr, int) or not isinstance(events, list) or len(events) > MAX_EVENTS:
        raise ValueError("a PCR has no number or no events")
    attempts = entry.get("attempts", []) if isinstance(entry, dict) else None
    if not isinstance(attempts, list) or len(attempts) > MAX_EVENTS:
        raise ValueError("the attempts are no list")
    kernel = entry.get("kernel", "") if isinstance(entry, dict) else None
    if not isinstance(kernel, str) or len(kernel) not in (0, 64):
        raise ValueError("the kernel's digest is not of SHA-256")
    return Measured(
        pcr,
        tuple(_event(one) for one in events),
        attempts=tuple(_attempt(one) for one in attempts),
        kernel=bytes.fromhex(kernel),
    )


def keylime_policy(system: Sequence[Measured]) -> dict[str, list[str]]:
    """Keylime's TPM policy: the values that each PCR may have, of machines that have started
    `system` with Secure Boot, all services started. There is one policy a system: Keylime takes
    each PCR by itself, and would allow a value of one system beside one of another."""
    by_number = {one.pcr: one for one in system}
    values = {
        4: [one.value for one in by_number[4].attempts if one.secure_boot],
        9: [by_number[9].value],
        11: [_started(by_number[11].value)],
        12: [by_number[12].value],
    }
    return {str(pcr): [one.hex() for one in allowed] for pcr, allowed in values.items()}


def _started(value: bytes) -> bytes:
    """PCR 11 in the phase `ready`."""
    for phase in STARTED:
        value = hashlib.sha256(value + hashlib.sha256(phase.encode()).digest()).digest()
    return value


def _attempt(entry: object) -> Attempt:
    number = entry.get("attempt") if isinstance(entry, dict) else None
    secure = entry.get("secure_boot") if isinstance(entry, dict) else None
    value = entry.get("sha256") if isinstance(entry, dict) else None
    if not isinstance(number, int) or not isinstance(secure, bool) or not isinstance(value, str):
        raise ValueError("an attempt is damaged")
    return Attempt(number, secure, bytes.fromhex(value))


def _event(entry: object) -> Event:
    text = entry.get("event") if isinstance(entry, dict) else None
    digest = entry.get("sha256") if isinstance(entry, dict) else None
    if not isinstance(text, str) or not isinstance(digest, str):
        raise ValueError("an event has no text or no digest")
    value = bytes.fromhex(digest)
    if len(value) != 32:
        raise ValueError("an event's digest is not of SHA-256")
    return Event(text, value)
