"""Challenges as servers write them, and the token flow against a small token server in this
process."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs

import pytest

from compos.errors import ComposError
from compos.http.client import MAX_REDIRECTS
from compos.image.reference import Reference
from compos.image.registries.auth import Authenticator, Challenge, parse_challenges
from compos.image.registries.credentials import Credentials
from compos.image.registries.registry import Registry
from tests.registry import FakeRegistry, Request, query

CHALLENGES = {
    "": [],
    'Basic realm="x"': [Challenge("basic", {"realm": "x"})],
    "Basic realm=x": [Challenge("basic", {"realm": "x"})],
    "Negotiate": [Challenge("negotiate")],
    'Bearer realm="https://a/t?x=1,2",service="s",scope="repository:a/b:pull,push"': [
        Challenge(
            "bearer",
            {"realm": "https://a/t?x=1,2", "service": "s", "scope": "repository:a/b:pull,push"},
        )
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


def is_here(url: str) -> bool:
    return url.startswith(("https:", "http://127.0.0.1"))


def ask(fake: FakeRegistry, registry: Registry) -> str | None:
    fake.documents["xx", "1"] = ("application/vnd.oci.image.index.v1+json", b'{"manifests": []}')
    return registry.digest(Reference.parse(f"{fake.host}/xx:1"))


def bearer(fake: FakeRegistry, answer: object, status: int = 200) -> list[tuple[Request, bytes]]:
    """Have `fake` ask for tokens, and give `answer` for them; what its token server is asked is
    recorded."""
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
    assert query(asked[0][0]) == {
        "first": "1",
        "service": 'fake, "quoted"',
        "scope": "repository:x:pull",
    }
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


@pytest.mark.parametrize(
    "realm",
    [
        "", "file:///etc/passwd", "/token", "http://", "http://127.0.0.1:99999999/t", "http://127.0.0.1:x/", "http://[::1/t",
        "http://a b/", "ftp://h.example/", "http://:80/", "http://h.example:0/",
    ],
)  # fmt: skip
def test_realms_that_are_no_place(fake: FakeRegistry, realm: str) -> None:
    bearer(fake, {})
    fake.realm = realm or " "
    with pytest.raises(ComposError) as caught:
        ask(fake, client())
    assert caught.value.id == "registry-auth"


def test_a_token_server_without_tls_gets_nothing_from_a_registry_with(fake: FakeRegistry) -> None:
    asked = bearer(fake, {"token": "good"})
    authenticator = Authenticator(
        "place", lambda: Credentials("me", "pw"), scope="s", may_send=is_here
    )
    challenges = [Challenge("bearer", {"realm": f"{fake.url}/token"})]
    with pytest.raises(ComposError) as caught:
        authenticator.answer(challenges, None, base="https://h.example")
    assert caught.value.id == "registry-auth"
    assert asked == []
    authenticator.answer(challenges, None, base="http://127.0.0.1:1")
    assert authenticator.header == "Bearer good"
    authenticator.answer(challenges, None, base="http://127.0.0.1:1")
    assert len(asked) == 1, (
        "another thread's request failed before the token was there: it takes the same"
    )


def test_basic(fake: FakeRegistry) -> None:
    fake.user, fake.password = "me", "pw"
    assert ask(fake, client(Credentials("me", "pw")))
    with pytest.raises(ComposError) as caught:
        ask(fake, client())
    assert caught.value.id == "registry-auth"
    with pytest.raises(ComposError) as caught:
        ask(fake, client(Credentials("me", "wrong")))
    assert caught.value.id == "registry-denied"


def moved(fake: FakeRegistry, status: int, location: str) -> list[tuple[Request, bytes]]:
    """A token server whose first address leads to another one."""
    asked = bearer(fake, {"token": "good"})
    fake.token_redirects = [(status, location)]
    return asked


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_token_servers_move(fake: FakeRegistry, status: int) -> None:
    """As Go's clients follow them; what proves who we are goes along on the same server."""
    asked = moved(fake, status, "/token/new?x=1")
    assert ask(fake, client(Credentials("me", "pw")))
    assert [request.path.partition("?")[0] for request, _ in asked] == ["/token/new"]
    assert ["authorization" in request.headers for request in fake.asked("/token")] == [True, True]


@pytest.mark.parametrize(
    ("location", "status"),
    [
        ("http://127.0.0.1:99999999/", 302),
        ("http://[::1/", 302),
        ("file:///etc/passwd", 302),
        ("ftp://h.example/", 302),
        ("http://u:p@/", 302),
    ],
)
def test_token_servers_that_lead_nowhere(fake: FakeRegistry, location: str, status: int) -> None:
    moved(fake, status, location)
    with pytest.raises(ComposError) as caught:
        ask(fake, client(Credentials("me", "top-secret")))
    assert caught.value.id == "registry-auth"
    assert f"{fake.host}/token" in str(caught.value.place)
    assert "top-secret" not in str(caught.value)


def test_a_token_server_in_a_circle(fake: FakeRegistry) -> None:
    moved(fake, 302, "/token")
    fake.token_redirects *= 50
    with pytest.raises(ComposError) as caught:
        ask(fake, client())
    assert caught.value.id == "registry-auth"
    assert len(fake.asked("/token")) == MAX_REDIRECTS + 1


@pytest.mark.parametrize("status", [301, 302, 307])
def test_no_credentials_for_where_a_token_server_leads(fake: FakeRegistry, status: int) -> None:
    with FakeRegistry() as other:
        moved(fake, status, f"{other.url}/token")
        other.answer_token = lambda *_: (200, {"token": "good"})
        assert ask(fake, client(Credentials("me", "pw")))
        assert ["authorization" in request.headers for request in other.requests] == [False]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_identity_token_is_not_posted_elsewhere(fake: FakeRegistry, status: int) -> None:
    with FakeRegistry() as other:
        moved(fake, status, f"{other.url}/token")
        with pytest.raises(ComposError) as caught:
            ask(fake, client(Credentials(identity_token="top-secret")))
        assert caught.value.id == "registry-auth"
        assert other.requests == []


def test_an_identity_token_is_posted_again_on_the_same_server(fake: FakeRegistry) -> None:
    asked = moved(fake, 307, "/token/new")
    assert ask(fake, client(Credentials(identity_token="top-secret")))
    assert [(request.method, b"top-secret" in body) for request, body in asked] == [("POST", True)]


@pytest.mark.parametrize(
    "answer",
    [
        "[" * 500_000,
        '{"token":' * 200_000,
        '{"token": NaN}',
        "9" * 5000,
        " " * (1 << 20) + "{}",
        "\x00",
        "\udcff",
    ],
)
def test_tokens_that_are_none(fake: FakeRegistry, answer: str) -> None:
    bearer(fake, answer.encode("utf-8", "surrogatepass"))
    with pytest.raises(ComposError) as caught:
        ask(fake, client())
    assert caught.value.id == "registry-auth"


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials("me", "top-secret"),
        Credentials(identity_token="top-secret"),
        Credentials(registry_token="top-secret"),
    ],
)
@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_no_password_over_plain_http(credentials: Credentials, scheme: str) -> None:
    """A registry without TLS that is not this machine's, and that nobody agreed to: nothing is sent
    anywhere."""
    authenticator = Authenticator("place", lambda: credentials, scope="s", may_send=is_here)
    with pytest.raises(ComposError) as caught:
        authenticator.answer(
            [Challenge(scheme, {"realm": "http://10.0.0.5/token"})], None, base="http://10.0.0.5"
        )
    assert caught.value.id == "registry-auth"
    if scheme == "bearer" or credentials.user:
        assert "--insecure-registry 10.0.0.5" in str(caught.value.hint)
    assert authenticator.header is None
    assert "top-secret" not in f"{caught.value} {caught.value.hint}"
