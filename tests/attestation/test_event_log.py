"""The firmware's log: read and replayed as tpm2_eventlog does it, and never with another error than
`ValueError`."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

import pytest

from compos.boot.event_log import MAX_LOG, describe, given_command_line, read_log, replay
from tests.attestation.logs import Entry, log, usual, variable


def test_it_replays_as_tpm2_eventlog_does(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(log(usual()))
    shown = subprocess.run(["tpm2_eventlog", path], capture_output=True, text=True, check=True)
    values = re.findall(r"^    (\d+) *: 0x([0-9a-f]{64})$", shown.stdout, re.MULTILINE)
    theirs = {int(pcr): value for pcr, value in values}
    assert theirs
    ours = {pcr: value.hex() for pcr, value in replay(read_log(log(usual()))).items()}
    assert {pcr: ours[pcr] for pcr in theirs} == theirs
    assert set(ours.values()) - set(theirs.values()) == {"00" * 32}


def test_the_locality_of_the_start_is_where_pcr_0_begins() -> None:
    entries = [Entry(0, 3, b"StartupLocality\0\x03"), Entry(0, 8, b"x")]
    plain = replay(read_log(log(entries[1:])))
    assert replay(read_log(log(entries)))[0] != plain[0]
    assert replay(read_log(log(entries[:1])))[0] == bytes(31) + b"\3"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cut off"),
        (b"\0" * 200, "Spec ID"),
        (log(usual())[:-1], "cut off"),
        (log(usual()) + b"\0", "cut off"),
        (log([], banks=(0x4,)), "SHA-256"),
        (log([Entry(24, 4, b"")]), "damaged"),
        (log([Entry(0, 4, b"")] * 4097), "4096 events"),
        (bytes(MAX_LOG + 1), "longer"),
    ],
)
def test_what_is_no_log(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_log(data)


@pytest.mark.slow
def test_damaged_logs_are_refused_or_read() -> None:
    """By nothing else than ValueError; what is read can be described."""
    choice = random.Random(7)
    whole = log(usual())
    read = refused = 0
    for _ in range(4000):
        data = bytearray(whole)
        for _ in range(choice.randrange(1, 5)):
            data[choice.randrange(len(data))] = choice.choice(
                (0, 1, 0x7F, 0xFF, choice.randrange(256))
            )
        if choice.random() < 0.3:
            del data[choice.randrange(len(data)) :]
        try:
            events = read_log(bytes(data))
        except ValueError:
            refused += 1
            continue
        read += 1
        replay(events)
        for event in events:
            assert describe(event).isprintable()
            given_command_line(event)
    assert read > 100
    assert refused > 100


def test_words_are_quoted_only_if_they_were_measured() -> None:
    true = read_log(log([variable("SecureBoot", b"\0")]))[0]
    assert describe(true) == "variable SecureBoot: off"
    lie = read_log(log([variable("SecureBoot", b"\1")._replace(digest=bytes(32))]))[0]
    assert describe(lie) == "variable"
    text = read_log(log([Entry(9, 13, b"a\x1b[2Jb", bytes(32))]))[0]
    assert describe(text) == "the loader or kernel, in its own words: a?[2Jb"
