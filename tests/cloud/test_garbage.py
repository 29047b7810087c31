"""What is old enough to go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from compos.cloud.garbage import Lister, collect, parse_age
from compos.cloud.model import Made
from compos.errors import CloudError

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def made(name: str, age: timedelta) -> Made:
    return Made("image", name, name, "", NOW - age)


@pytest.mark.parametrize(
    ("older", "expected"),
    [
        ("0m", ["old", "new", "ahead"]),
        ("1m", ["old"]),
        ("1h", ["old"]),
        ("2h", []),
    ],
)
def test_age(older: str, expected: list[str]) -> None:
    """A cloud's clock may be ahead of ours: what it has just made is new, not younger than that."""
    things = [
        made("old", timedelta(hours=1)),
        made("new", timedelta(0)),
        made("ahead", timedelta(minutes=-3)),
    ]
    removed: list[str] = []
    shown: list[str] = []
    lister = Lister(lambda: things, lambda one: removed.append(one.id))
    count = collect([lister], parse_age(older), NOW, lambda one: shown.append(one.id), remove=True)
    assert shown == removed == expected
    assert count == len(expected)


@pytest.mark.parametrize("text", ["", "soon", "5", "m", "-1m", "999999m", "1.5h"])
def test_no_age(text: str) -> None:
    with pytest.raises(CloudError):
        parse_age(text)
