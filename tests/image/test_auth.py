"""Challenges as servers write them, and the token flow against a small token server in this process."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs

import pytest

from compos.errors import ComposError
from compos.image.auth import Authenticator, Challenge, parse_challenges
from compos.image.credentials import Credentials
from compos.image.reference import Reference
from compos.image.registry import Registry
from tests.registry import FakeRegistry, Request, query

CHALLENGES = {
    "": [],
    'Basic realm="x"': [Challenge("basic", {"realm": "x"})],
    "Basic realm=x": [Challenge("basic", {"realm": "x"})],
    "Negotiate": [Challenge("negotiate")],
    'Bearer realm="https://a/t?x=1,2",service="s",scope="repository:a/b:pull,push"': [
        Challenge("bearer", {"realm": "https://a/t?x=1,2", "service": "s", "scope": "repository:a/b:pull,push"})
    ],
    'BEARER Realm = "a\\"b" , SERVICE=s': [Challenge("bearer", {"realm": 'a"b', "service": "s"})],
    'Negotiate, Basic realm="x", Bearer realm="y"': [
        Challenge("negotiate"),
        Challenge("basic", {"realm": "x"}),
        Challenge("bearer", {"realm": "y"}),
    ],
    'Bearer realm="unfinished': [Challenge("bearer"), Challenge("realm")],
    'x="1"': [],
}


@pytest.mark.parametrize("header", CHALLENGES)
def test_parse_challenges(header: str) -> None:
    assert parse_challenges(header) == CHALLENGES[header]


def client(credentials: Credentials | None = None) -> Registry:
    return Registry(credentials=lambda _: credentials, wait=lambda _: None)


def ask(fake: FakeRegistry, registry: Registry) -> str | None:
    fake.documents["xx", "1"] = ("application/vnd.oci.image.index.v1+json", b'{"manifests": []}')
    return registry.digest(Reference.parse(f"{fake.host}/xx:1"))


def bearer(fake: FakeRegistry, answer: object, status: int = 200) -> list[tuple[Request, bytes]]:
    """Have `fake` ask for tokens, and give `answer` for them; what its token server is asked is recorded."""
    asked: list[tuple[Request, bytes]] = []
    fake.realm = f"{fake.url}/token?first=1"
    fake.tokens = {"good"}

    def answer_token(request: Request, body: bytes) -> tuple[int, object]:
        asked.append((request, body))
        return status, answer

    fake.answer_token = answer_token
    return asked


@pytest.mark.parametrize("key", ["token", "access_token"])
def test_anonymous_token(fake: FakeRegistry, key: str) -> None:
    asked = bearer(fake, {key: "good"})
    registry = client()
    assert ask(fake, registry)
    assert ask(fake, registry)
    assert len(asked) == 1, "one token serves for the session"
    assert query(asked[0][0]) == {"first": "1", "service": 'fake, "quoted"', "scope": "repository:x:pull"}
    assert "authorization" not in asked[0][0].headers


def test_token_with_password(fake: FakeRegistry) -> None:
    asked = bearer(fake, {"token": "good"})
    assert ask(fake, client(Credentials("me", "pw")))
    assert asked[0][0].headers["authorization"] == "Basic " + base64.b64encode(b"me:pw").decode()
    assert query(asked[0][0])["account"] == "me"


def test_identity_token(fake: FakeRegistry) -> None:
    asked = bearer(fake, {"access_token": "good"})
    assert ask(fake, client(Credentials(identity_token="I D")))
    request, body = asked[0]
    assert request.method == "POST"
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    assert form == {
        "grant_type": "refresh_token",
        "client_id": "compos",
        "refresh_token": "I D",
        "service": 'fake, "quoted"',
        "scope": "repository:x:pull",
    }


def test_registry_token(fake: FakeRegistry) -> None:
    asked = bearer(fake, {})
    assert ask(fake, client(Credentials(registry_token="good")))
    assert asked == []


def test_a_token_that_ended_is_replaced(fake: FakeRegistry) -> None:
    asked = bearer(fake, {"token": "good"})
    registry = client()
    assert ask(fake, registry)
    fake.tokens = {"better"}
    bearer(fake, {"token": "better"})
    fake.tokens = {"better"}
    assert ask(fake, registry)
    assert len(asked) == 1


REFUSALS = {
    "no access": ({}, 401, "registry-auth"),
    "forbidden": ({}, 403, "registry-auth"),
    "no token": ({}, 200, "registry-auth"),
    "list": ([], 200, "registry-auth"),
    "number": ({"token": 3}, 200, "registry-auth"),
    "two lines": ({"token": "good\r\nX: y"}, 200, "registry-auth"),
    "wrong token": ({"token": "bad"}, 200, "registry-denied"),
    "server error": ({}, 503, "registry-error"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(fake: FakeRegistry, case: str) -> None:
    answer, status, expected = REFUSALS[case]
    bearer(fake, answer, status)
    with pytest.raises(ComposError) as caught:
        ask(fake, client(Credentials("me", "top-secret")))
    assert caught.value.id == expected
    assert "top-secret" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.hint


@pytest.mark.parametrize("realm", ["", "file:///etc/passwd", "/token", "http://"])
def test_realms_that_are_no_place(fake: FakeRegistry, realm: str) -> None:
    bearer(fake, {})
    fake.realm = realm or " "
    with pytest.raises(ComposError) as caught:
        ask(fake, client())
    assert caught.value.id == "registry-auth"


def test_a_token_server_without_tls_gets_nothing_from_a_registry_with(fake: FakeRegistry) -> None:
    asked = bearer(fake, {"token": "good"})
    authenticator = Authenticator("place", lambda: Credentials("me", "pw"), scope="s")
    challenges = [Challenge("bearer", {"realm": f"{fake.url}/token"})]
    with pytest.raises(ComposError) as caught:
        authenticator.answer(challenges, None, secure=True)
    assert caught.value.id == "registry-auth"
    assert asked == []
    authenticator.answer(challenges, None, secure=False)
    assert authenticator.header == "Bearer good"
    authenticator.answer(challenges, None, secure=False)
    assert len(asked) == 1, "another thread's request failed before the token was there: it takes the same"


def test_basic(fake: FakeRegistry) -> None:
    fake.user, fake.password = "me", "pw"
    assert ask(fake, client(Credentials("me", "pw")))
    with pytest.raises(ComposError) as caught:
        ask(fake, client())
    assert caught.value.id == "registry-auth"
    with pytest.raises(ComposError) as caught:
        ask(fake, client(Credentials("me", "wrong")))
    assert caught.value.id == "registry-denied"
