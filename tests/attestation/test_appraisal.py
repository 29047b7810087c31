"""What differs from what was expected, in words: each way to start something else, and each way to
hide it in the log."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from compos.boot.appraisal import Evidence, Seen, appraise, firmware_of
from compos.boot.event_log import read_log, replay
from compos.boot.expected_pcrs import read_expected
from compos.cli.main import main
from tests.attestation.logs import Entry, expected_json, log, program, usual, variable

EXPECTED = read_expected(expected_json())
PHASES = ("enter-initrd", "leave-initrd", "sysinit", "ready")


def evidence(entries: list[Entry], told: list[Entry] | None = None) -> Evidence:
    """Of a machine that has measured `entries`, and tells of `told`."""
    values = replay(read_log(log(entries)))
    for phase in PHASES:
        digest = hashlib.sha256(phase.encode()).digest()
        values[11] = hashlib.sha256(values[11] + digest).digest()
    return Evidence(values, read_log(log(entries if told is None else told)))


SEEN = firmware_of(evidence(usual()), (0, 2, 3, 7))


def differences(entries: list[Entry], told: list[Entry] | None = None) -> list[str]:
    return list(appraise(evidence(entries, told), EXPECTED, SEEN).differences)


def changed(old: Entry, new: Entry | None) -> list[Entry]:
    entries = usual()
    at = entries.index(old)
    entries[at : at + 1] = [new] if new else []
    return entries


def test_the_expected_machine() -> None:
    found = appraise(evidence(usual()), EXPECTED, SEEN)
    assert found.differences == ()
    assert found.phase == "ready"


def of(pcr: int, number: int) -> Entry:
    return [one for one in usual() if one.pcr == pcr][number]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (
            changed(program(), program(bytes(32))),
            ["PCR 4: the firmware has not started", "PCR 4: the firmware has started a program"],
        ),
        ([*usual(), program(b"x" * 32)], ["PCR 4: the firmware has started a program"]),
        (
            changed(of(9, 0), of(9, 0)._replace(digest=bytes(32))),
            ["PCR 9: the command line is not the one that was expected (command line: quiet)"],
        ),
        (changed(of(9, 1), of(9, 1)._replace(digest=bytes(32))), ["PCR 9: the initrd is not"]),
        (changed(of(9, 1), None), ["PCR 9: the kernel has not measured 'initrd"]),
        ([*usual(), Entry(9, 13, b"more")], ["PCR 9: 1 more events"]),
        (
            changed(of(11, 3), of(11, 3)._replace(digest=bytes(32))),
            ["PCR 11: section .cmdline of the unified kernel image is not the expected one"],
        ),
        ([*usual(), Entry(11, 13, b"more")], ["PCR 11: the unified kernel image has sections"]),
        (
            [*usual(), Entry(12, 13, "init=/bin/sh\0".encode("utf-16-le"))],
            ["PCR 12: the machine was given the command line 'init=/bin/sh'"],
        ),
        ([*usual(), Entry(13, 13, b"x")], ["PCR 13: something was loaded"]),
        (
            changed(variable("SecureBoot", b"\1"), variable("SecureBoot", b"\0")),
            ["PCR 7: new: variable SecureBoot: off", "PCR 7: gone: variable SecureBoot: on"],
        ),
        (
            changed(variable("PK", b"key one"), variable("PK", b"key two")),
            ["PCR 7: new: variable PK", "PCR 7: gone: variable PK"],
        ),
        ([*usual(), Entry(2, 0x80000004, b"driver")], ["PCR 2: new: a driver that the firmware"]),
    ],
)
def test_what_was_started_instead(entries: list[Entry], words: list[str]) -> None:
    found = differences(entries)
    assert [one[: len(word)] for one, word in zip(found, words, strict=True)] == words


def test_the_kernel_in_a_signed_image_without_secure_boot() -> None:
    """The firmware starts it besides, and measures it: that is the system; PCR 7 tells the rest."""
    off = changed(variable("SecureBoot", b"\1"), variable("SecureBoot", b"\0"))
    kernel = hashlib.sha256(b"kernel").digest()
    expected = [one._replace(kernel=kernel) if one.pcr == 4 else one for one in EXPECTED]
    found = appraise(evidence([*off, program(kernel)]), expected, SEEN).differences
    assert found == ("PCR 7: new: variable SecureBoot: off", "PCR 7: gone: variable SecureBoot: on")
    (other,) = appraise(evidence([*usual(), program(b"x" * 32)]), expected, SEEN).differences
    assert other.startswith("PCR 4: the firmware has started a program that was not expected")


def test_a_log_that_leaves_something_out() -> None:
    found = differences([*usual(), program(b"x" * 32)], usual())
    assert found == [
        "PCR 4: the log does not explain the signed value: events were left out, added or changed"
    ]


@pytest.mark.parametrize("kind", [3, 4, 5, 13, 0x80000007, 0x80000008])
def test_a_program_under_another_kind(kind: int) -> None:
    """Kinds are not signed."""
    data = b"MZ\0\1\2 the program"
    entry = Entry(4, kind, data)
    found = differences([*usual(), entry._replace(kind=0x80000003)], [*usual(), entry])
    assert found
    assert found[0].startswith("PCR 4: ")


def test_no_log_at_all() -> None:
    found = appraise(Evidence(evidence(usual()).pcrs, ()), EXPECTED, SEEN)
    assert found.differences == ("the machine has no log of what its firmware has measured",)


def test_phases_that_are_no_boot() -> None:
    pcrs = dict(evidence(usual()).pcrs)
    pcrs[11] = bytes(32)
    found = appraise(Evidence(pcrs, read_log(log(usual()))), EXPECTED, Seen({}, {}))
    assert found.differences == (
        "PCR 11: the log and the phases of a boot do not give the signed value",
    )


def test_the_policy_for_keylime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keylime 7.14's check_pcrs() takes it, refuses another value of PCR 11, and needs each PCR as
    a list of hexadecimal values under its number."""
    path = tmp_path / "expected.json"
    document = json.loads(expected_json())
    attempts = [
        {"attempt": number, "secure_boot": secure, "sha256": f"{number}{int(secure)}" * 32}
        for secure in (True, False)
        for number in (1, 2)
    ]
    document["pcrs"][0]["attempts"] = attempts
    path.write_text(json.dumps(document))
    assert main(["quote", "policy", "--expected", str(path)]) == 0
    policy = json.loads(capsys.readouterr().out)
    true = evidence(usual()).pcrs
    assert policy["4"] == ["11" * 32, "21" * 32]
    assert policy["9"] == [true[9].hex()]
    assert policy["11"] == [true[11].hex()]
    assert policy["12"] == [true[12].hex()] == ["00" * 32]
    assert sorted(policy) == ["11", "12", "4", "9"]


@pytest.mark.parametrize(
    "change",
    [
        {"pcrs": []},
        {"pcrs": [{"pcr": "4", "events": []}]},
        {"pcrs": [{"pcr": 4, "events": [{"event": "x", "sha256": "00"}]}]},
        {"pcrs": [{"pcr": 4, "events": [{"event": "x", "sha256": "zz" * 32}]}]},
        {"pcrs": [{"pcr": 4, "events": [], "attempts": [{"attempt": 1}]}]},
        {"pcrs": [{"pcr": pcr, "events": []} for pcr in (4, 9, 11, 12)]},
        {"pcrs": [{"pcr": 4, "events": [], "kernel": "00"}]},
        {"pcrs": [{"pcr": 4, "events": [], "kernel": 7}]},
        [],
        None,
    ],
)
def test_expected_values_that_are_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: object
) -> None:
    path = tmp_path / "expected.json"
    path.write_text(json.dumps(change))
    assert main(["quote", "policy", "--expected", str(path)]) == 1
    assert "quote-expected" in capsys.readouterr().err
