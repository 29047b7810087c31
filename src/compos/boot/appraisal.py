"""Whether what a machine says of itself is what was expected, and in words what is not. Pure.

The order of belief: the machine's own key has signed the PCRs with our nonce; the log explains
those values, event by event; the events are then compared with those that the build expects
(`compos measure --json`) and those that the machine's firmware had when it was enrolled. Nothing of
the log is used that the signed values do not cover.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from compos.boot.event_log import (
    NO_ACTION,
    LogEvent,
    describe,
    given_command_line,
    replay,
)
from compos.boot.measurements import PHASES, Event, Measured

__all__ = ["Appraisal", "Evidence", "Seen", "appraise", "firmware_of"]

LOGGED = (*range(8), 9, 12, 13, 14)
"""PCRs that nothing else than what the log has may have extended: the others are of the kernel or
the running system (PCR 10 by IMA, 11 by the phases of the boot, 15 by who likes)."""

STUB = 11
EMPTY = (13, 14)
"""Extensions of the system, keys of shim: a system of ours has none."""

SEPARATORS = [hashlib.sha256(one).digest() for one in (bytes(4), b"\xff" * 4)]
"""Between what the firmware does before and after it starts an option: recognised by what was
measured, because the kind of an event is not."""

MAX_WORDS = 20
"""Differences of one PCR that are told."""


class Evidence(NamedTuple):
    """Signed values of PCRs, and the log that explains them."""

    pcrs: Mapping[int, bytes]
    events: Sequence[LogEvent]


class Seen(NamedTuple):
    """What the machine's firmware was when it was enrolled: the values of PCRs that are the
    firmware's own, and the events that they came from."""

    pcrs: Mapping[int, bytes]
    events: Mapping[int, tuple[Event, ...]]


class Appraisal(NamedTuple):
    """What differs, each a sentence; none: the machine is what it should be. `phase` is how far its
    boot is, empty if PCR 11 does not say."""

    differences: tuple[str, ...]
    phase: str = ""


def firmware_of(evidence: Evidence, pcrs: Sequence[int]) -> Seen:
    """What to enrol of a machine that is believed now."""
    return Seen(
        {pcr: evidence.pcrs[pcr] for pcr in pcrs},
        {
            pcr: tuple(Event(describe(one), one.digest) for one in _of(evidence.events, pcr))
            for pcr in pcrs
        },
    )


def appraise(evidence: Evidence, expected: Sequence[Measured], seen: Seen) -> Appraisal:
    """Compare `evidence` with what the build expects of PCR 4, 9, 11 and 12, and with what the
    firmware was."""
    replayed = replay(evidence.events)
    measured = {one.pcr: one for one in expected}
    phase, started = _phase(replayed[STUB], evidence.pcrs.get(STUB, b""))
    if not evidence.events:
        return Appraisal(("the machine has no log of what its firmware has measured",), phase)
    differences = list(_unexplained(replayed, evidence.pcrs))
    if not started:
        differences.append("PCR 11: the log and the phases of a boot do not give the signed value")
    differences += _programs(_of(evidence.events, 4), measured[4])
    differences += _kernel(_of(evidence.events, 9), measured[9])
    differences += _stub(_of(evidence.events, STUB), measured[STUB])
    differences += _command_line(_of(evidence.events, 12), measured[12])
    for pcr in EMPTY:
        differences += [
            f"PCR {pcr}: something was loaded that is not of the system: {describe(one)}"
            for one in _of(evidence.events, pcr)
            if not _is_separator(one)
        ]
    for pcr in sorted(seen.pcrs):
        if evidence.pcrs.get(pcr) != seen.pcrs[pcr]:
            differences += _firmware(pcr, _of(evidence.events, pcr), seen.events.get(pcr, ()))
    return Appraisal(tuple(differences), phase)


def _of(events: Sequence[LogEvent], pcr: int) -> list[LogEvent]:
    return [one for one in events if one.pcr == pcr and one.kind != NO_ACTION]


def _phase(value: bytes, signed: bytes) -> tuple[str, bool]:
    """How far the boot is whose stub has left `value` in PCR 11, and whether that is possible."""
    name = ""
    for phase in ("", *PHASES):
        if phase:
            value = hashlib.sha256(value + hashlib.sha256(phase.encode()).digest()).digest()
        name = phase
        if value == signed:
            return name, True
    return "", False


def _unexplained(replayed: Mapping[int, bytes], signed: Mapping[int, bytes]) -> Iterator[str]:
    for pcr in LOGGED:
        if pcr in signed and replayed[pcr] != signed[pcr]:
            yield (
                f"PCR {pcr}: the log does not explain the signed value: events were left out, "
                "added or changed"
            )


def _programs(events: list[LogEvent], expected: Measured) -> Iterator[str]:
    """PCR 4: whatever order the firmware tries its boot options in, these programs and no others.

    The kind of an event is not signed: only what cannot be a program is not taken for one."""
    program = _program(expected)
    # The firmware starts the stub's kernel without Secure Boot only.
    known = {program, *_inner(expected)}
    found = [one for one in events if not _is_separator(one) and not _is_remark(one)]
    if program not in {one.digest for one in found}:
        yield (
            "PCR 4: the firmware has not started the unified kernel image that was expected "
            f"({program.hex()[:16]}…)"
        )
    for one in found:
        if one.digest not in known:
            yield (
                "PCR 4: the firmware has started a program that was not expected "
                f"({one.digest.hex()[:16]}…)"
            )


def _is_separator(event: LogEvent) -> bool:
    return event.digest in SEPARATORS


def _is_remark(event: LogEvent) -> bool:
    """A short text that says what the firmware does: no program consists of letters alone."""
    text = event.data.decode("ascii", "replace")
    return text.isprintable() and hashlib.sha256(event.data).digest() == event.digest


def _program(expected: Measured) -> bytes:
    """The image's own digest."""
    return next(one.digest for one in expected.events if one.text.startswith("the program"))


def _inner(expected: Measured) -> list[bytes]:
    """The kernel in the image, which is the expected one with Secure Boot or without: that this is
    off, PCR 7 tells."""
    if expected.kernel:
        return [expected.kernel]
    return [one.digest for one in expected.events if one.text.startswith("the kernel in it")]


def _kernel(events: list[LogEvent], expected: Measured) -> Iterator[str]:
    """PCR 9: what the kernel says of its command line and initrd, in this order."""
    found = [one.digest for one in events if not _is_separator(one)]
    for number, event in enumerate(expected.events):
        if number >= len(found):
            yield f"PCR 9: the kernel has not measured {event.text!r}"
        elif found[number] != event.digest:
            what = "the initrd" if number else "the command line"
            yield f"PCR 9: {what} is not the one that was expected ({event.text})"
    if len(found) > len(expected.events):
        yield f"PCR 9: {len(found) - len(expected.events)} more events than were expected"


def _stub(events: list[LogEvent], expected: Measured) -> Iterator[str]:
    """PCR 11: pairs of a section's name and its contents."""
    found = [one.digest for one in events if not _is_separator(one)]
    wanted = {one.digest: one.text for one in expected.events}
    for event in expected.events:
        if event.digest not in found:
            section = event.text.rpartition(" ")[2]
            part = "is missing" if event.text.startswith("name") else "is not the expected one"
            yield f"PCR 11: section {section} of the unified kernel image {part}"
    strange = [digest for digest in found if digest not in wanted]
    changed = sum(one.digest not in found for one in expected.events)
    if len(strange) > changed:
        yield "PCR 11: the unified kernel image has sections that were not expected"
    elif not changed and found != [one.digest for one in expected.events]:
        yield "PCR 11: the sections were measured in another order"


def _command_line(events: list[LogEvent], expected: Measured) -> Iterator[str]:
    """PCR 12: what came from outside the image."""
    left = [one.digest for one in expected.events]
    for event in events:
        if event.digest in left:
            left.remove(event.digest)
        elif not _is_separator(event):
            text = given_command_line(event)
            if text is None:
                yield f"PCR 12: configuration from outside the image: {describe(event)}"
            else:
                yield f"PCR 12: the machine was given the command line {text!r}"
    for _ in left:
        yield "PCR 12: the command line that was expected from outside was not given"


def _firmware(pcr: int, events: list[LogEvent], seen: Sequence[Event]) -> Iterator[str]:
    """A PCR of the firmware's that is not what it was: which of its events are new or gone."""
    before, now = {one.digest for one in seen}, {one.digest for one in events}
    words = [f"PCR {pcr}: new: {describe(one)}" for one in events if one.digest not in before]
    words += [f"PCR {pcr}: gone: {one.text}" for one in seen if one.digest not in now]
    yield from words[:MAX_WORDS]
    if len(words) > MAX_WORDS:
        yield f"PCR {pcr}: and {len(words) - MAX_WORDS} more"
    if not words:
        yield f"PCR {pcr}: the same events as before in another order or number"
