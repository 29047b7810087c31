"""Tokens at Debian's docker-registry, which verifies them: those of its token server, and those
that `--registry-creds` has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compos.errors import ComposError
from compos.image.reference import Reference
from compos.image.registries.credentials import Credentials, given_credentials
from compos.image.registries.mirrors import Mirrors
from compos.image.registries.push import push
from compos.image.registries.registry import Registry
from compos.image.source import Images
from compos.image.store import Store
from tests.image.conftest import StartRegistry
from tests.image.token_server import PASSWORD, REFRESH, USER, TokenServer, token_server
from tests.images import AMD64, Members, make_image

LAYER: Members = [("bin", "dir", 0o755), ("bin/a", "file", 0o755, bytes(range(256)) * 300)]
SCOPE = "repository:team/app:pull"


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenServer]:
    with token_server(tmp_path / "tokens") as server:
        yield server


@pytest.fixture
def name(tokens: TokenServer, docker_registry: StartRegistry, source: Store) -> str:
    """An image at a registry that requires tokens; pushed with a password."""
    host = docker_registry(auth=tokens.auth)
    make_image(source, "team/app:1", [LAYER])
    registry = Registry(credentials=lambda _: Credentials(USER, PASSWORD))
    push(source, "team/app:1", registry=registry, target=f"{host}/team/app:1")
    asked = [scope for _, scope in tokens.asked]
    assert any("team/app" in scope and "push" in scope for scope in asked)
    tokens.asked.clear()
    return f"{host}/team/app:1"


def given(name: str, secret: str) -> Registry:
    """A client with `--registry-creds`."""
    host = Reference.parse(name).origin[0]
    return Registry(credentials=given_credentials([f"{host}={secret}"]), wait=lambda _: None)


def test_a_registry_token_is_sent_as_it_is(name: str, tokens: TokenServer, store: Store) -> None:
    """LinuxKit's REGISTRY=TOKEN: nobody is asked for another one."""
    image = Images(store, registry=given(name, tokens.token(SCOPE))).image(name, AMD64)
    assert [layer.size > 0 for layer in image.layers] == [True]
    assert tokens.asked == []


def test_a_password_gets_a_token_for_what_is_asked(
    name: str, tokens: TokenServer, store: Store
) -> None:
    registry = given(name, f"{USER}:{PASSWORD}")
    assert Images(store, registry=registry).image(name, AMD64).layers
    assert tokens.asked == [("GET", SCOPE)]


def test_a_refresh_token_gets_one_too(name: str, tokens: TokenServer, store: Store) -> None:
    registry = Registry(credentials=lambda _: Credentials(identity_token=REFRESH))
    assert Images(store, registry=registry).image(name, AMD64).layers
    assert tokens.asked == [("POST", SCOPE)]


def test_tokens_that_the_registry_refuses(
    name: str, tokens: TokenServer, store: Store, tmp_path: Path
) -> None:
    """An error without the token; nothing is fetched."""
    good = tokens.token(SCOPE)
    with token_server(tmp_path / "foreign") as stranger:
        foreign = stranger.token(SCOPE)
    for secret in (
        tokens.token("repository:team/other:pull"),
        tokens.token(""),
        tokens.token(SCOPE, age=2 * 3600),
        foreign,
        good[:-8] + "AAAAAAAA",
        "word",
        f"{USER}:wrong",
    ):
        with pytest.raises(ComposError) as raised:
            Images(store, registry=given(name, secret)).image(name, AMD64)
        error = raised.value
        assert error.id in ("registry-auth", "registry-denied"), secret
        assert secret.rpartition(":")[2] not in f"{error} {error.hint}"
    assert store.entries() == []


@pytest.mark.parametrize("secret", ["a b", "a\r\nX", "ä", "\ud800"])
def test_a_token_that_no_header_can_have(secret: str) -> None:
    with pytest.raises(ComposError) as raised:
        given_credentials([f"registry.example.com={secret}"])
    assert raised.value.id == "registry-credentials"
    assert secret not in str(raised.value)


@pytest.mark.parametrize(
    "registry",
    ["https://index.docker.io/v1/", "https://index.docker.io/", "docker.io", "index.docker.io"],
)
def test_the_registry_may_be_a_url(registry: str) -> None:
    """As LinuxKit's help has it."""
    find = given_credentials([f"{registry}=TOKEN"])
    endpoint = Mirrors().endpoint(Reference.parse("busybox:1"))
    assert find(endpoint) == Credentials(registry_token="TOKEN")
