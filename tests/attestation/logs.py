"""Logs of firmware, written by the specification's offsets, and what a system is expected to have
measured."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import NamedTuple

__all__ = ["ACTION", "VARIABLE", "Entry", "expected_json", "log", "program", "usual", "variable"]

SEPARATOR, EVENT_TAG, IPL = 4, 6, 13
VARIABLE, PROGRAM, ACTION = 0x80000001, 0x80000003, 0x80000007
GUID = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")
CALLING = b"Calling EFI Application from Boot Option"

SECTIONS = {".linux": b"kernel", ".cmdline": b"quiet", ".initrd": b"initrd"}
PROGRAM_DIGEST = hashlib.sha256(b"the image").digest()


class Entry(NamedTuple):
    pcr: int
    kind: int
    data: bytes
    digest: bytes | None = None

    @property
    def measured(self) -> bytes:
        return hashlib.sha256(self.data).digest() if self.digest is None else self.digest


def log(entries: list[Entry], *, banks: tuple[int, ...] = (0x4, 0xB)) -> bytes:
    """PC Client Platform Firmware Profile, 10.2."""
    sizes = {0x4: 20, 0xB: 32, 0xC: 48}
    spec = b"Spec ID Event03\0" + struct.pack("<IBBBB", 0, 0, 2, 0, 2)
    spec += struct.pack("<I", len(banks))
    spec += b"".join(struct.pack("<HH", bank, sizes[bank]) for bank in banks) + b"\0"
    made = struct.pack("<II20sI", 0, 3, bytes(20), len(spec)) + spec
    for entry in entries:
        made += struct.pack("<III", entry.pcr, entry.kind, len(banks))
        for bank in banks:
            digest = entry.measured if bank == 0xB else bytes(sizes[bank])
            made += struct.pack("<H", bank) + digest
        made += struct.pack("<I", len(entry.data)) + entry.data
    return made


def variable(name: str, contents: bytes, *, pcr: int = 7, kind: int = VARIABLE) -> Entry:
    head = GUID + struct.pack("<QQ", len(name), len(contents))
    return Entry(pcr, kind, head + name.encode("utf-16-le") + contents)


def program(digest: bytes = PROGRAM_DIGEST) -> Entry:
    return Entry(4, PROGRAM, b"\0" * 32, digest)


def command_line(text: str) -> bytes:
    return hashlib.sha256(f"{text}\0".encode("utf-16-le")).digest()


def initrd() -> bytes:
    return hashlib.sha256(SECTIONS[".initrd"]).digest()


def usual() -> list[Entry]:
    """A boot of the system that `expected_json` expects."""
    entries = [
        Entry(0, 8, "1.0".encode("utf-16-le")),
        variable("SecureBoot", b"\1"),
        variable("PK", b"key one"),
        *(Entry(pcr, SEPARATOR, bytes(4)) for pcr in range(8)),
        Entry(4, ACTION, CALLING),
        program(),
    ]
    for name, contents in SECTIONS.items():
        label = f"{name}\0".encode()
        entries.append(Entry(11, IPL, label, hashlib.sha256(label).digest()))
        entries.append(Entry(11, IPL, label, hashlib.sha256(contents).digest()))
    entries.append(Entry(9, EVENT_TAG, b"LOADED_IMAGE::LoadOptions\0", command_line("quiet")))
    entries.append(Entry(9, EVENT_TAG, b"Linux initrd\0", initrd()))
    return entries


def expected_json() -> bytes:
    """As `compos measure --json` has it."""
    stub = []
    for name, contents in SECTIONS.items():
        stub.append((f"name of section {name}", hashlib.sha256(f"{name}\0".encode()).digest()))
        stub.append((f"contents of section {name}", hashlib.sha256(contents).digest()))
    pcrs = {
        4: [
            ("firmware starts a boot option", hashlib.sha256(CALLING).digest()),
            ("separator", hashlib.sha256(bytes(4)).digest()),
            ("the program, as Authenticode hashes it", PROGRAM_DIGEST),
        ],
        9: [
            ("command line: quiet", command_line("quiet")),
            ("initrd, with what the stub adds to it", initrd()),
        ],
        11: stub,
        12: [],
    }
    document = [
        {
            "pcr": pcr,
            "sha256": "00" * 32,
            "events": [{"event": text, "sha256": digest.hex()} for text, digest in events],
        }
        for pcr, events in pcrs.items()
    ]
    return json.dumps({"pcrs": document}).encode()
