"""What is kept of an enrolled machine: one JSON file, whose contents are no secret, but have to
stay as they are. Pure."""

from __future__ import annotations

import base64
import json
from typing import NamedTuple

from compos.boot.appraisal import Seen
from compos.boot.measurements import Event
from compos.boot.tpm_quote import QuoteKey, read_key
from compos.image.json_document import parse_json

__all__ = ["MachineRecord", "read_record", "write_record"]

VERSION = 1
MAX_EVENTS = 4096


class MachineRecord(NamedTuple):
    """A machine: the key that its TPM signs quotes with, the certificate of its endorsement key
    (DER, empty without one), and what its firmware was."""

    key: QuoteKey
    certificate: bytes
    seen: Seen


def write_record(record: MachineRecord) -> bytes:
    """The file."""
    firmware = [
        {
            "pcr": pcr,
            "sha256": value.hex(),
            "events": [
                {"event": one.text, "sha256": one.digest.hex()}
                for one in record.seen.events.get(pcr, ())
            ],
        }
        for pcr, value in sorted(record.seen.pcrs.items())
    ]
    document = {
        "version": VERSION,
        "attestation_key": base64.b64encode(record.key.area).decode(),
        "endorsement_certificate": base64.b64encode(record.certificate).decode(),
        "firmware": firmware,
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def read_record(data: bytes) -> MachineRecord:
    """A machine of a file. Raises `ValueError`."""
    found = parse_json(data)
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise ValueError(f"it is not of version {VERSION}")
    area, certificate = (
        found.get(f"{one}") for one in ("attestation_key", "endorsement_certificate")
    )
    firmware = found.get("firmware")
    if not (isinstance(area, str) and isinstance(certificate, str) and isinstance(firmware, list)):
        raise ValueError("it lacks the key, the certificate or the firmware")
    pcrs: dict[int, bytes] = {}
    events: dict[int, tuple[Event, ...]] = {}
    for entry in firmware:
        pcr, value, seen = _pcr(entry)
        pcrs[pcr], events[pcr] = value, seen
    key = read_key(base64.b64decode(area, validate=True))
    return MachineRecord(key, base64.b64decode(certificate, validate=True), Seen(pcrs, events))


def _pcr(entry: object) -> tuple[int, bytes, tuple[Event, ...]]:
    fields = entry if isinstance(entry, dict) else {}
    pcr, events = fields.get("pcr"), fields.get("events")
    if not isinstance(pcr, int) or not isinstance(events, list) or len(events) > MAX_EVENTS:
        raise ValueError("a PCR of its firmware is damaged")
    return pcr, _digest(fields.get("sha256")), tuple(_event(one) for one in events)


def _event(entry: object) -> Event:
    fields = entry if isinstance(entry, dict) else {}
    text = fields.get("event")
    if not isinstance(text, str):
        raise ValueError("an event of its firmware is damaged")
    return Event(text, _digest(fields.get("sha256")))


def _digest(value: object) -> bytes:
    digest = bytes.fromhex(value) if isinstance(value, str) else b""
    if len(digest) != 32:
        raise ValueError("a digest is not of SHA-256")
    return digest
