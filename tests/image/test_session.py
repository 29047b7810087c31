"""Redirects, and what must not leave with them; schemes; what a registry says when it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from compos.errors import ComposError
from compos.image.reference import Reference
from compos.image.registries.credentials import Credentials
from compos.image.registries.mirrors import Endpoint, Mirrors
from compos.image.registries.registry import Registry
from compos.image.registries.session import Session
from compos.image.source import Images
from compos.image.store import Store
from tests.certificate import self_signed
from tests.images import AMD64, make_image
from tests.registry import FakeRegistry, Fault

FILE = [("a", "file", 0o644, "content")]


@pytest.fixture
def storage() -> Iterator[FakeRegistry]:
    """The object storage that a registry redirects to."""
    with FakeRegistry() as other:
        yield other


def test_credentials_do_not_follow_a_redirect(
    fake: FakeRegistry, storage: FakeRegistry, source: Store, store: Store
) -> None:
    image = make_image(source, "x:1", [FILE])
    name = fake.load(source, image.name, "xx", "1")
    storage.load(source, image.name, "elsewhere", "1")
    fake.user, fake.password = "me", "pw"
    digest = image.layers[0].digest
    target = f"http://{storage.host}/v2/elsewhere/blobs/{digest}?signature=abc"
    fake.misbehave(Fault("redirect", on=digest, text=target, times=9))
    registry = Registry(credentials=lambda _: Credentials("me", "pw"))
    assert Images(store, registry=registry).image(name, AMD64).layers == image.layers
    assert store.read(digest) == source.read(digest)
    assert ["authorization" in request.headers for request in storage.requests] == [False]
    assert "authorization" in fake.asked(digest)[-1].headers


def test_credentials_stay_away_once_another_host_was_involved(
    fake: FakeRegistry, storage: FakeRegistry, source: Store
) -> None:
    fake.user, fake.password = "me", "pw"
    fake.misbehave(Fault("redirect", on="/manifests/1", text=f"{storage.url}/v2/xx/manifests/back"))
    storage.misbehave(Fault("redirect", on="/manifests/back", text=f"{fake.url}/v2/xx/manifests/2"))
    with pytest.raises(ComposError) as caught:
        Registry(credentials=lambda _: Credentials("me", "pw")).digest(
            Reference.parse(f"{fake.host}/xx:1")
        )
    assert caught.value.id == "registry-denied"
    assert "authorization" not in fake.asked("/manifests/2")[0].headers


def test_a_login_page_elsewhere_gets_nothing(fake: FakeRegistry, storage: FakeRegistry) -> None:
    """A challenge from a host that we were redirected to is not answered."""
    storage.user, storage.password = "me", "pw"
    fake.misbehave(Fault("redirect", on="/manifests/1", text=f"{storage.url}/v2/xx/manifests/1"))
    with pytest.raises(ComposError) as caught:
        Registry(credentials=lambda _: Credentials("me", "pw")).digest(
            Reference.parse(f"{fake.host}/xx:1")
        )
    assert caught.value.id == "registry-denied"
    assert [request.headers.get("authorization") for request in storage.requests] == [None]


def test_relative_redirects_are_followed(fake: FakeRegistry, source: Store, store: Store) -> None:
    image = make_image(source, "x:1", [FILE])
    name = fake.load(source, image.name, "xx", "1")
    fake.misbehave(Fault("redirect", on="/manifests/1", text=f"/v2/xx/manifests/{image.digest}"))
    assert Images(store).image(name, AMD64).digest == image.digest


def test_tls_is_not_left() -> None:
    session = Session(Endpoint("h.example", "xx"), "h.example/xx", credentials=lambda _: None)
    assert session.follow("https://h.example/a/b", "c") == "https://h.example/a/c"
    assert session.follow("http://h.example/a", "https://x/y") == "https://x/y"
    for location in (
        "http://h.example/a",
        "ftp://h.example/",
        "javascript:x",
        "https://[::1",
        "https://h:x/",
    ):
        with pytest.raises(ComposError) as caught:
            session.follow("https://h.example/a", location)
        assert caught.value.id == "registry-redirect"


@pytest.fixture
def tls(fake: FakeRegistry, tmp_path: Path) -> str:
    """`fake` with TLS; gives its certificate's file."""
    certificate, context = self_signed(tmp_path)
    fake.wrap(context)
    return str(certificate)


def test_tls_with_a_certificate_of_ones_own(
    fake: FakeRegistry, tls: str, source: Store, store: Store
) -> None:
    image = make_image(source, "x:1", [FILE])
    name = fake.load(source, image.name, "xx", "1")
    registry = Registry(certificates=(tls,))
    assert Images(store, registry=registry).image(name, AMD64).digest == image.digest
    mirrors = Mirrors.parse([f"https://{fake.host}"], {})
    assert (
        Registry(mirrors, certificates=(tls,)).digest(Reference.parse("h.example/xx:1"))
        == image.digest
    )


def test_an_untrusted_certificate_is_not_worked_around(fake: FakeRegistry, tls: str) -> None:
    with pytest.raises(ComposError) as caught:
        Registry().digest(Reference.parse(f"{fake.host}/xx:1"))
    assert caught.value.id == "network-tls"


def test_mirror_keeps_the_name(fake: FakeRegistry, source: Store, store: Store) -> None:
    image = make_image(source, "x:1", [FILE])
    fake.load(source, image.name, "pre/team/app", "1")
    mirrors = Mirrors.parse([f"h.example={fake.url}/pre"], {})
    assert (
        Images(store, registry=Registry(mirrors)).image("h.example/team/app:1", AMD64).name
        == "h.example/team/app:1"
    )
    assert store.resolve("h.example/team/app:1")
    assert {request.path.split("/")[2] for request in fake.requests} == {"pre"}, (
        "no probe where the scheme is given"
    )


@pytest.mark.parametrize("trouble", ["not there", "no server", "an error", "a damaged layer"])
def test_a_mirror_that_does_not_serve_is_passed_over(
    fake: FakeRegistry,
    storage: FakeRegistry,
    source: Store,
    store: Store,
    trouble: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = make_image(source, "x:1", [FILE])
    name = fake.load(source, image.name, "team/app", "1")
    mirror = storage.url
    if trouble == "no server":
        mirror = "http://127.0.0.1:1"
    if trouble == "an error":
        storage.misbehave(Fault("status", times=50, value=500))
    if trouble == "a damaged layer":
        storage.load(source, image.name, "team/app", "1")
        storage.misbehave(Fault("corrupt", on="/blobs/", times=50))
    mirrors = Mirrors.parse([f"{fake.host}={mirror}"], {})
    strict = Registry(mirrors, wait=lambda _: None)
    with pytest.raises(ComposError):
        Images(Store(store.root / "strict"), registry=strict).image(name, AMD64)
    registry = Registry(mirrors, wait=lambda _: None, fallback=True)
    assert Images(store, registry=registry).image(name, AMD64).digest == image.digest


def test_proxies_are_used_and_passed_by(
    fake: FakeRegistry,
    storage: FakeRegistry,
    source: Store,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`storage` is the proxy: it is asked for whole URLs."""
    image = make_image(source, "x:1", [FILE])
    name = fake.load(source, image.name, "team/app", "1")
    monkeypatch.setenv("http_proxy", storage.url)
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ComposError):
        Images(store, registry=Registry(wait=lambda _: None)).image(name, AMD64)
    assert fake.requests == []
    assert any(request.path.startswith(f"http://{fake.host}/v2/") for request in storage.requests)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert Images(store).image(name, AMD64).digest == image.digest


def test_what_a_registry_says_is_shown_without_secrets_and_control_codes(
    fake: FakeRegistry,
) -> None:
    said = {"errors": [{"code": "DENIED", "message": "no \x1b[31mway for top-secret " + "x" * 500}]}
    fake.user, fake.password = "me", "top-secret"
    fake.misbehave(Fault("status", on="/manifests/", value=403, text=json.dumps(said)))
    registry = Registry(credentials=lambda _: Credentials("me", "top-secret"))
    with pytest.raises(ComposError) as caught:
        registry.manifest(Reference.parse(f"{fake.host}/xx:1"))
    assert caught.value.id == "registry-denied"
    assert "DENIED no  [31mway for ***" in caught.value.message
    assert len(caught.value.message) < 300


def test_rate_limit_names_the_time(fake: FakeRegistry) -> None:
    fake.misbehave(Fault("status", on="/manifests/", value=429, headers={"Retry-After": "3600"}))
    with pytest.raises(ComposError) as caught:
        Registry().manifest(Reference.parse(f"{fake.host}/xx:1"))
    assert caught.value.id == "registry-rate-limit"
    assert "3600 seconds" in str(caught.value.hint)


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.1:99999999/", "http://[::1/", "file:///etc/passwd", "http://u:pw@/"],
)
@pytest.mark.parametrize("on", ["/manifests/1", "/blobs/"])
def test_redirects_to_no_address(
    fake: FakeRegistry, source: Store, store: Store, location: str, on: str
) -> None:
    name = fake.load(source, make_image(source, "x:1", [FILE]).name, "xx", "1")
    fake.misbehave(Fault("redirect", on=on, text=location, times=9))
    with pytest.raises(ComposError) as caught:
        Images(store, registry=Registry(wait=lambda _: None)).image(name, AMD64)
    assert caught.value.id == "registry-redirect"
    assert f"{fake.host}/v2/xx{on.rstrip('1')}" in str(caught.value)
    assert "pw" not in str(caught.value)


def test_user_and_password_in_a_location_are_not_sent(
    fake: FakeRegistry, storage: FakeRegistry, source: Store, store: Store
) -> None:
    image = make_image(source, "x:1", [FILE])
    name = fake.load(source, image.name, "xx", "1")
    storage.load(source, image.name, "xx", "1")
    fake.misbehave(
        Fault(
            "redirect",
            on="/blobs/",
            text=f"http://u:pw@{storage.host}/v2/xx/blobs/{image.layers[0].digest}",
        )
    )
    with pytest.raises(ComposError):
        Images(store).image(name, AMD64)
    assert storage.requests
    assert not any("authorization" in request.headers for request in storage.requests)


def test_retries_keep_secrets_at_home(
    fake: FakeRegistry, storage: FakeRegistry, source: Store, store: Store
) -> None:
    """Whatever fails on another host, and however often it is tried again there."""
    image = make_image(source, "x:1", [FILE])
    name = fake.load(source, image.name, "xx", "1")
    storage.load(source, image.name, "xx", "1")
    fake.user, fake.password = "me", "pw"
    digest = image.layers[0].digest
    fake.misbehave(
        Fault("redirect", on=digest, text=f"{storage.url}/v2/xx/blobs/{digest}", times=9)
    )
    storage.misbehave(
        Fault("status", on=digest, value=503, times=2), Fault("truncate", on=digest, value=3)
    )
    registry = Registry(credentials=lambda _: Credentials("me", "pw"), wait=lambda _: None)
    assert Images(store, registry=registry).image(name, AMD64).layers == image.layers
    assert len(storage.requests) == 4
    assert not any("authorization" in request.headers for request in storage.requests)


def test_a_private_registry_is_not_asked_without_tls(fake: FakeRegistry) -> None:
    """What answers has no TLS: the flag is named, and no password has left."""
    fake.user, fake.password = "me", "pw"
    endpoint = Endpoint(fake.host, "xx", ("https",))
    session = Session(endpoint, "10.0.0.5/xx", credentials=lambda _: Credentials("me", "pw"))
    with pytest.raises(ComposError) as caught, session.request("GET", session.url("manifests/1")):
        pass
    assert caught.value.id.startswith("network-")
    assert f"--insecure-registry {fake.host}" in str(caught.value.hint)
    assert fake.requests == []
    agreed = Session(
        Endpoint(fake.host, "xx", ("https", "http"), ("127.0.0.1",)),
        "x",
        credentials=lambda _: Credentials("me", "pw"),
    )
    with agreed.request("GET", agreed.url("manifests/1"), allowed=(404,)) as response:
        assert response.status == 404
    assert [
        request.headers.get("authorization", "")[:5] for request in fake.asked("/manifests/")
    ] == ["", "Basic"]


@pytest.mark.parametrize("status", [307, 308])
def test_uploads_may_be_sent_on(fake: FakeRegistry, storage: FakeRegistry, status: int) -> None:
    """A body is sent again as it was, the password is not."""
    session = Session(
        Endpoint(fake.host, "xx", ("http",)), "x", credentials=lambda _: Credentials("me", "pw")
    )
    fake.user, fake.password = "me", "pw"
    fake.misbehave(
        Fault(
            "status",
            on="/uploads/",
            value=status,
            headers={"Location": f"{storage.url}/v2/xx/blobs/uploads/1"},
            times=9,
        )
    )
    with session.request("POST", session.url("blobs/uploads/"), body=b"abc", allowed=(404,)):
        pass
    assert [(one.method, one.headers.get("content-length")) for one in storage.requests] == [
        ("POST", "3")
    ]
    assert "authorization" not in storage.requests[0].headers


def test_uploads_do_not_leave_tls() -> None:
    session = Session(Endpoint("h.example", "xx"), "h.example/xx", credentials=lambda _: None)
    with pytest.raises(ComposError) as caught:
        session.follow(
            "https://h.example/v2/xx/blobs/uploads/",
            "http://h.example/v2/xx/blobs/uploads/1?state=secret",
        )
    assert caught.value.id == "registry-redirect"
    assert "secret" not in str(caught.value)


def test_errors_of_a_registry_that_are_nested_deep(fake: FakeRegistry) -> None:
    fake.misbehave(Fault("status", on="/manifests/", value=403, text="[" * 60_000))
    with pytest.raises(ComposError) as caught:
        Registry().manifest(Reference.parse(f"{fake.host}/xx:1"))
    assert caught.value.id == "registry-denied"
