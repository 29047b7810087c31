"""Expected PCRs as `compos measure --json` writes them, read again. Pure."""

from __future__ import annotations

from compos.boot.measurements import Event, Measured
from compos.image.json_document import parse_json

__all__ = ["read_expected"]

NEEDED = (4, 9, 11, 12)
PROGRAM = "the program"
MAX_EVENTS = 256


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
    return Measured(pcr, tuple(_event(one) for one in events))


def _event(entry: object) -> Event:
    text = entry.get("event") if isinstance(entry, dict) else None
    digest = entry.get("sha256") if isinstance(entry, dict) else None
    if not isinstance(text, str) or not isinstance(digest, str):
        raise ValueError("an event has no text or no digest")
    value = bytes.fromhex(digest)
    if len(value) != 32:
        raise ValueError("an event's digest is not of SHA-256")
    return Event(text, value)
