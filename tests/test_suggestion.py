"""What a misspelt name may stand for."""

from __future__ import annotations

import pytest

from compos.suggestion import MAX_WORD, did_you_mean, question, similar

KNOWN = ("stop_signal", "stop_grace_period", "restart", "readonlyPaths")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("restrat", ["restart"]),
        ("RESTART", ["restart"]),
        ("readonlypaths", ["readonlyPaths"]),
        ("stop", ["stop_signal", "stop_grace_period"]),
        ("sto", []),
        ("network", []),
        ("", []),
        ("restart" * MAX_WORD, []),
    ],
)
def test_similar(text: str, names: list[str]) -> None:
    assert similar(text, KNOWN) == names


def test_the_hint() -> None:
    assert question(["a", "b"]) == "Did you mean 'a' or 'b'?"
    assert question([]) == ""
    assert did_you_mean("stop", KNOWN, "Stop.") == "Did you mean 'stop_signal'?"
    assert did_you_mean("network", KNOWN, "Stop.") == "Stop."
