"""The firmware's log of what it has measured, as the kernel hands it on
(`/sys/kernel/security/tpm0/binary_bios_measurements`): read, replayed, and told in words. Pure.

A log comes from a machine that may be hostile. It is believed only as far as its replay gives the
PCRs that the machine's TPM has signed; and what an event says of itself only if that is what was
measured, which is so for some kinds of events.

Sources: TCG, "PC Client Platform Firmware Profile", 10 (the crypto-agile log: 10.2.1 its first
event, 10.2.2 the others, 10.4 kinds of events); UEFI specification, 3.1.3 (load options);
systemd-stub(7) (PCR 11, 12).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["MAX_LOG", "LogEvent", "describe", "given_command_line", "read_log", "replay"]

MAX_LOG = 1 << 20
"""Bytes; firmware reserves 64 KiB to a few hundred."""

MAX_EVENTS = 4096
MAX_DIGESTS = 8
MAX_TEXT = 200
PCRS = 24

SHA256 = 0x000B
SHA256_SIZE = 32
SIGNATURE = b"Spec ID Event03\0"
LOCALITY = b"StartupLocality\0"

# Kinds of events.
NO_ACTION = 0x00000003
SEPARATOR = 0x00000004
ACTION = 0x00000005
EVENT_TAG = 0x00000006
CRTM_VERSION = 0x00000008
IPL = 0x0000000D
VARIABLE_CONFIG = 0x80000001
VARIABLE_BOOT = 0x80000002
BOOT_PROGRAM = 0x80000003
GPT = 0x80000006
EFI_ACTION = 0x80000007
FIRMWARE_BLOB = 0x80000008
FIRMWARE_BLOB_2 = 0x8000000A
VARIABLE_BOOT_2 = 0x8000000C
VARIABLE_AUTHORITY = 0x800000E0

_KINDS = {
    NO_ACTION: "a remark",
    SEPARATOR: "separator",
    CRTM_VERSION: "version of the firmware",
    BOOT_PROGRAM: "a program that the firmware has started",
    GPT: "partition table of the disk",
    FIRMWARE_BLOB: "a part of the firmware",
    FIRMWARE_BLOB_2: "a part of the firmware",
    0x00000001: "a part of the firmware",
    0x80000004: "a driver that the firmware has started",
    0x80000005: "a driver of the firmware",
    0x80000009: "tables of the firmware",
    0x8000000B: "tables of the firmware",
}
_VARIABLES = (VARIABLE_CONFIG, VARIABLE_BOOT, VARIABLE_BOOT_2, VARIABLE_AUTHORITY)
_HASHED = (SEPARATOR, ACTION, EFI_ACTION, *_VARIABLES, CRTM_VERSION)
"""Kinds whose digest is that of their data."""

# Little-endian: PCR, kind; then the digests; then the size of the data.
_FIRST = struct.Struct("<II20sI")
_EVENT = struct.Struct("<III")
# GUID of the vendor, length of the name in characters, of the contents in bytes.
_VARIABLE = struct.Struct("<16sQQ")
# systemd's stub: number of the tag, size.
_TAG = struct.Struct("<II")


class LogEvent(NamedTuple):
    """An event: what was extended into which PCR (SHA-256), its kind and what it says."""

    pcr: int
    kind: int
    digest: bytes
    data: bytes


def read_log(data: bytes) -> list[LogEvent]:
    """The events of a log, in their order. Raises `ValueError`, and nothing else, with a sentence's
    end such as "it is cut off"."""
    if len(data) > MAX_LOG:
        raise ValueError(f"it is longer than {MAX_LOG} bytes")
    try:
        sizes, at = _header(data)
        events: list[LogEvent] = []
        while at < len(data):
            if len(events) == MAX_EVENTS:
                raise ValueError(f"it has more than {MAX_EVENTS} events")
            event, at = _event(data, at, sizes)
            events.append(event)
    except struct.error as error:
        raise ValueError("it is cut off") from error
    return events


def _header(data: bytes) -> tuple[dict[int, int], int]:
    """Sizes of digests by algorithm, from the first event; where the second begins."""
    pcr, kind, _, size = _FIRST.unpack_from(data)
    start = _FIRST.size
    text = data[start : start + size]
    if pcr or kind != NO_ACTION or not text.startswith(SIGNATURE) or len(text) != size:
        raise ValueError("it is not of the form that TPMs 2.0 have (Spec ID Event03)")
    (count,) = struct.unpack_from("<I", text, 24)
    if not 0 < count <= MAX_DIGESTS:
        raise ValueError("its first event has no banks of PCRs")
    sizes = dict(struct.unpack_from("<HH", text, 28 + 4 * number) for number in range(count))
    if sizes.get(SHA256) != SHA256_SIZE:
        raise ValueError("it has no digests of SHA-256")
    return sizes, start + size


def _event(data: bytes, at: int, sizes: dict[int, int]) -> tuple[LogEvent, int]:
    pcr, kind, count = _EVENT.unpack_from(data, at)
    at += _EVENT.size
    if pcr >= PCRS or count > MAX_DIGESTS:
        raise ValueError("an event is damaged")
    digest = b""
    for _ in range(count):
        (algorithm,) = struct.unpack_from("<H", data, at)
        size = sizes.get(algorithm)
        if size is None:
            raise ValueError("an event has a digest of a kind that its first event does not name")
        if algorithm == SHA256:
            digest = data[at + 2 : at + 2 + size]
        at += 2 + size
    (size,) = struct.unpack_from("<I", data, at)
    at += 4
    if len(digest) != SHA256_SIZE or at + size > len(data):
        raise ValueError("it is cut off")
    return LogEvent(pcr, kind, digest, data[at : at + size]), at + size


def replay(events: Sequence[LogEvent]) -> dict[int, bytes]:
    """The value of each PCR from 0 to 15 after these events."""
    values = {pcr: bytes(SHA256_SIZE) for pcr in range(16)}
    for event in events:
        if event.kind == NO_ACTION:
            if event.pcr == 0 and event.data[: len(LOCALITY)] == LOCALITY:
                locality = event.data[len(LOCALITY) : len(LOCALITY) + 1]
                values[0] = locality.rjust(SHA256_SIZE, b"\0")
            continue
        before = values.get(event.pcr)
        if before is not None:
            values[event.pcr] = hashlib.sha256(before + event.digest).digest()
    return values


def describe(event: LogEvent) -> str:
    """An event in words of one line; what it says of itself is quoted if that is what was
    measured."""
    if event.kind in _VARIABLES:
        return _variable(event)
    if event.kind in (ACTION, EFI_ACTION):
        return _quoted("the firmware", event, event.data.decode("ascii", "replace"))
    if event.kind in (IPL, EVENT_TAG):
        data = event.data[_TAG.size :] if event.kind == EVENT_TAG else event.data
        return _quoted("the loader or kernel", event, _text(data))
    return _KINDS.get(event.kind, f"an event of kind {event.kind:#x}")


def given_command_line(event: LogEvent) -> str | None:
    """The command line that an event is about, if its text is what was measured."""
    for data in (event.data, event.data[_TAG.size :]):
        for text in (data, data + b"\0\0", data.rstrip(b"\0") + b"\0\0", data[:-1] + b"\0\0\0"):
            if len(text) % 2 == 0 and hashlib.sha256(text).digest() == event.digest:
                return _shown(text.decode("utf-16-le", "replace").rstrip("\0"))
    return None


def _variable(event: LogEvent) -> str:
    what = "key that has signed what is started" if event.kind == VARIABLE_AUTHORITY else "variable"
    try:
        _, length, size = _VARIABLE.unpack_from(event.data)
    except struct.error:
        return what
    start = _VARIABLE.size
    if length > MAX_TEXT or size > len(event.data):
        return what
    name = event.data[start : start + 2 * length].decode("utf-16-le", "replace").rstrip("\0")
    contents = event.data[start + 2 * length : start + 2 * length + size]
    measured = {hashlib.sha256(one).digest() for one in (event.data, contents)}
    if event.digest not in measured:
        return what
    text = f"{what} {_shown(name)}"
    if name in ("SecureBoot", "AuditMode", "DeployedMode") and len(contents) == 1:
        return f"{text}: {'on' if contents[0] else 'off'}"
    return text


def _quoted(what: str, event: LogEvent, text: str) -> str:
    """With what it says; if nobody has measured that, as its own words."""
    if event.kind in _HASHED and hashlib.sha256(event.data).digest() == event.digest:
        return f"{what}: {_shown(text)}"
    return f"{what}, in its own words: {_shown(text)}"


def _text(data: bytes) -> str:
    """UTF-16 or ASCII, as different loaders write it."""
    wide = len(data) % 2 == 0 and len(data) > 1 and data[1::2].count(0) > len(data) // 4
    return data.decode("utf-16-le" if wide else "utf-8", "replace").rstrip("\0")


def _shown(text: str) -> str:
    """For a terminal, short."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in text[:MAX_TEXT])
    return clean + ("…" if len(text) > MAX_TEXT else "")
