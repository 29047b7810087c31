"""Failures of clouds: what they mean, what is tried again, and what never shows."""

from __future__ import annotations

import pytest

from compos.cloud.calls import Calls
from compos.cloud.failure import Problem, without_secrets
from compos.errors import (
    CloudConflict,
    CloudDenied,
    CloudError,
    CloudMissing,
    CloudQuota,
    CloudUnreachable,
)

CASES = [
    (Problem(0, "", "connection reset"), CloudUnreachable),
    (Problem(429, "", "too many"), CloudUnreachable),
    (Problem(500, "", "oops"), CloudUnreachable),
    (Problem(503, "SlowDown", "reduce your rate"), CloudUnreachable),
    (Problem(400, "ThrottlingException", "rate exceeded"), CloudUnreachable),
    (Problem(403, "rateLimitExceeded", "rate limit exceeded"), CloudUnreachable),
    (Problem(403, "rateLimitExceeded", "no"), CloudUnreachable),
    (Problem(429, "rate_limit_exceeded", "no"), CloudUnreachable),
    (Problem(400, "SnapshotLimitExceeded", "no"), CloudQuota),
    (Problem(403, "resource_limit_exceeded", "no"), CloudQuota),
    (Problem(403, "quotaExceeded", "Quota 'IMAGES' exceeded"), CloudQuota),
    (Problem(409, "QuotaExceeded", "exceeds the approved quota"), CloudQuota),
    (Problem(413, "overLimit", "this exceeds the maximum"), CloudQuota),
    (Problem(401, "", "who are you"), CloudDenied),
    (Problem(400, "ExpiredToken", "the token has expired"), CloudDenied),
    (Problem(403, "AuthorizationFailed", "no"), CloudDenied),
    (Problem(404, "", "no such image"), CloudMissing),
    (Problem(409, "alreadyExists", "it exists"), CloudConflict),
    (Problem(412, "conditionNotMet", "it changed"), CloudConflict),
    (Problem(400, "InvalidParameterValue", "no"), CloudError),
]


@pytest.mark.parametrize(("problem", "expected"), CASES)
def test_what_an_answer_means(problem: Problem, expected: type[CloudError]) -> None:
    waits: list[float] = []
    calls = Calls(lambda error: None, wait=waits.append)

    def perform() -> None:
        raise problem

    with pytest.raises(CloudError) as caught:
        calls("service Call", perform, answer=None)
    assert type(caught.value) is expected
    assert caught.value.place == "service Call"
    assert waits == ([0.5, 1, 2] if expected is CloudUnreachable else [])


def test_the_cloud_says_how_long_to_wait() -> None:
    waits: list[float] = []
    calls = Calls(lambda error: None, wait=waits.append)
    answers = [Problem(429, "", "later", "7"), None]

    def perform() -> str:
        answer = answers.pop(0)
        if answer:
            raise answer
        return "done"

    assert calls("service Call", perform, answer="") == "done"
    assert waits == [7]


def test_a_mistake_of_ours_stays_one() -> None:
    with pytest.raises(ZeroDivisionError):
        Calls(lambda error: None)("service Call", lambda: 1 // 0, answer=0)


def test_a_dry_run_calls_nothing_and_shows_no_secret() -> None:
    shown: list[str] = []
    calls = Calls(lambda error: None, show=shown.append)
    secret = "hunter-two"
    document = {
        "name": "web",
        "profile": {"adminPassword": secret, "customData": secret},
        "metadata": {"items": [{"key": "user-data", "value": secret}]},
        "UserData": secret.encode(),
    }
    answer = calls("PUT x", lambda: pytest.fail("it was called"), answer="made", shown=document)
    assert answer == "made"
    (line,) = shown
    assert line.startswith('PUT x {"name": "web"')
    assert secret not in line


SECRETS = [
    "GET https://account.blob.example.com/c/b?sv=1&sig=verysecret failed",
    "Authorization: Bearer verysecret",
    "{'X-Auth-Token': 'verysecret'}",
    "https://user:verysecret@example.com/path",
    "x-amz-security-token=verysecret",
    "password is verysecret-from-the-environment",
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_taken_out(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_PASSWORD", "verysecret-from-the-environment")
    assert "verysecret" not in without_secrets(text)


def test_messages_are_short_lines() -> None:
    assert without_secrets("a\n b\t c") == "a b c"
    assert len(without_secrets("x" * 10_000)) < 400
