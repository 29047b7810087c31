"""Redirects, and what must not leave with them; schemes; what a registry says when it refuses."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from compos.errors import ComposError
from compos.image.credentials import Credentials
from compos.image.mirrors import Endpoint, Mirrors
from compos.image.reference import Reference
from compos.image.registry import Registry
from compos.image.session import Session
from compos.image.source import Images
from compos.image.store import Store
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
        Registry(credentials=lambda _: Credentials("me", "pw")).digest(Reference.parse(f"{fake.host}/xx:1"))
    assert caught.value.id == "registry-denied"
    assert "authorization" not in fake.asked("/manifests/2")[0].headers


def test_a_login_page_elsewhere_gets_nothing(fake: FakeRegistry, storage: FakeRegistry) -> None:
    """A challenge from a host that we were redirected to is not answered."""
    storage.user, storage.password = "me", "pw"
    fake.misbehave(Fault("redirect", on="/manifests/1", text=f"{storage.url}/v2/xx/manifests/1"))
    with pytest.raises(ComposError) as caught:
        Registry(credentials=lambda _: Credentials("me", "pw")).digest(Reference.parse(f"{fake.host}/xx:1"))
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
    for location in ("http://h.example/a", "ftp://h.example/", "javascript:x"):
        with pytest.raises(ComposError) as caught:
            session.follow("https://h.example/a", location)
        assert caught.value.id == "registry-redirect"


@pytest.fixture
def tls(fake: FakeRegistry, tmp_path: Path) -> str:
    """`fake` with TLS; gives its certificate's file."""
    openssl = shutil.which("openssl")
    assert openssl
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    fake.wrap(context)
    return str(certificate)


def test_tls_with_a_certificate_of_ones_own(fake: FakeRegistry, tls: str, source: Store, store: Store) -> None:
    image = make_image(source, "x:1", [FILE])
    name = fake.load(source, image.name, "xx", "1")
    registry = Registry(certificates=(tls,))
    assert Images(store, registry=registry).image(name, AMD64).digest == image.digest
    mirrors = Mirrors.parse([f"https://{fake.host}"], {})
    assert Registry(mirrors, certificates=(tls,)).digest(Reference.parse("h.example/xx:1")) == image.digest


def test_an_untrusted_certificate_is_not_worked_around(fake: FakeRegistry, tls: str) -> None:
    with pytest.raises(ComposError) as caught:
        Registry().digest(Reference.parse(f"{fake.host}/xx:1"))
    assert caught.value.id == "network-tls"


def test_mirror_keeps_the_name(fake: FakeRegistry, source: Store, store: Store) -> None:
    image = make_image(source, "x:1", [FILE])
    fake.load(source, image.name, "pre/team/app", "1")
    mirrors = Mirrors.parse([f"h.example={fake.url}/pre"], {})
    assert Images(store, mirrors=mirrors).image("h.example/team/app:1", AMD64).name == "h.example/team/app:1"
    assert store.resolve("h.example/team/app:1")
    assert {request.path.split("/")[2] for request in fake.requests} == {"pre"}, "no probe where the scheme is given"


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
    fake: FakeRegistry, storage: FakeRegistry, source: Store, store: Store, monkeypatch: pytest.MonkeyPatch
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


def test_what_a_registry_says_is_shown_without_secrets_and_control_codes(fake: FakeRegistry) -> None:
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
