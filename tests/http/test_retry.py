"""Which failures are tried again, and after how long."""

from __future__ import annotations

import pytest

from compos.errors import (
    ComposError,
    ConnectionBroken,
    ImageError,
    NetworkError,
    NetworkTimeout,
    Transient,
)
from compos.http.retry import Attempts, delay_from, may_pass


def late(seconds: float | None) -> Transient:
    error = Transient("registry-rate-limit", "slow down")
    error.delay = seconds
    return error


def exhaust(attempts: Attempts, error: ComposError) -> None:
    for _ in range(9):
        attempts.failed(error)


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (late(None), [0.5, 1.0, 2.0]),
        (late(1), [1, 1.0, 2.0]),
        (late(60), [60, 60, 60]),
        (late(61), []),
        (ConnectionBroken("network-broken", "x"), [0.5, 1.0, 2.0]),
        (NetworkTimeout("network-timeout", "x"), [0.5, 1.0, 2.0]),
        (NetworkError("network-name", "x"), []),
        (ImageError("image-not-found", "x"), []),
    ],
)
def test_attempts(error: ComposError, waits: list[float]) -> None:
    waited: list[float] = []
    with pytest.raises(ComposError) as caught:
        exhaust(Attempts(waited.append), error)
    assert caught.value is error
    assert waited == waits


def test_progress_starts_the_count_anew() -> None:
    waited: list[float] = []
    attempts = Attempts(waited.append)
    for _ in range(9):
        attempts.failed(late(None))
        attempts.reset()
    assert waited == [0.5] * 9


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("soon", None),
        ("-1", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
    ],
)
def test_delay_from(header: str | None, seconds: float | None) -> None:
    assert delay_from(header, lambda: 10.0) == seconds


@pytest.mark.parametrize(
    ("statuses", "passes"),
    [
        ((408, 425, 429, 500, 502, 503, 504, 507, 520, 524, 599), True),
        ((200, 301, 400, 401, 403, 404, 410, 416, 501, 505, 511), False),
    ],
)
def test_statuses_that_may_pass(statuses: tuple[int, ...], passes: bool) -> None:
    assert {may_pass(status) for status in statuses} == {passes}
