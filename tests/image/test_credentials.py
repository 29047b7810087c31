"""Where credentials are found: files, keys, helpers, and in which order."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from compos.errors import ImageError
from compos.image.reference import HUB, HUB_HOSTS
from compos.image.registries.credentials import Credentials, find_credentials
from compos.image.registries.mirrors import Endpoint

HOST = Endpoint("h.example:5000", "team/app")
HUB_ENDPOINT = Endpoint(HUB_HOSTS[0], "library/alpine")


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def write(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


ME = Credentials("me", "pass:word")

# entries of `auths`, endpoint → found
AUTHS = {
    "host": ({"h.example:5000": auth("me", "pass:word")}, HOST, ME),
    "url": ({"https://h.example:5000/v2/": auth("me", "pass:word")}, HOST, ME),
    "plain": ({"h.example:5000": {"username": "me", "password": "pass:word"}}, HOST, ME),
    "other port": ({"h.example": auth("me", "x")}, HOST, None),
    "repository first": (
        {"h.example:5000": auth("x", "x"), "h.example:5000/team": auth("y", "y"),
         "h.example:5000/team/app": auth("me", "pass:word")}, HOST, ME),
    "folder first": ({"h.example:5000": auth("x", "x"), "h.example:5000/team": auth("me", "pass:word")}, HOST, ME),
    "other folder": ({"h.example:5000/tea": auth("x", "x")}, HOST, None),
    "identity token": ({"h.example:5000": {**auth("me", ""), "identitytoken": "T"}}, HOST,
                       Credentials("me", "", identity_token="T")),
    "registry token": ({"h.example:5000": {"registrytoken": "T"}}, HOST, Credentials(registry_token="T")),
    "empty": ({"h.example:5000": {}}, HOST, None),
    "hub as docker writes it": ({f"https://{HUB_HOSTS[0]}/v1/": auth("me", "pass:word")}, HUB_ENDPOINT, ME),
    "hub as podman writes it": ({HUB: auth("me", "pass:word")}, HUB_ENDPOINT, ME),
}  # fmt: skip


@pytest.mark.parametrize("case", AUTHS)
def test_auths(case: str, tmp_path: Path) -> None:
    auths, endpoint, expected = AUTHS[case]
    write(tmp_path / "config.json", {"auths": auths})
    assert (
        find_credentials(endpoint, {"HOME": "/nowhere", "DOCKER_CONFIG": str(tmp_path)}) == expected
    )


def test_order_of_files(tmp_path: Path) -> None:
    home = tmp_path / ".docker" / "config.json"
    docker = tmp_path / "docker" / "config.json"
    podman = tmp_path / "podman.json"
    runtime = tmp_path / "containers" / "auth.json"
    environment = {"HOME": str(tmp_path)}
    users = []
    for path, name, value in [
        (runtime, "XDG_RUNTIME_DIR", str(tmp_path)),
        (podman, "REGISTRY_AUTH_FILE", str(podman)),
        (home, "HOME", str(tmp_path)),
        (docker, "DOCKER_CONFIG", str(tmp_path / "docker")),
    ]:
        write(path, {"auths": {HOST.host: auth(str(path), "x")}})
        environment[name] = value
        found = find_credentials(HOST, environment)
        users.append(found.user if found else "")
    assert users == [str(path) for path in (runtime, podman, home, docker)]
    write(docker, {"auths": {"elsewhere": auth("x", "x")}})
    found = find_credentials(HOST, environment)
    assert found is not None
    assert found.user == str(podman), (
        "a file that says nothing about the host does not end the search"
    )


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"auths": 1}', '{"auths": {"h.example:5000": {"auth": "%%%"}}}']
)
def test_files_that_cannot_be_understood(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ImageError) as caught:
        find_credentials(HOST, {"HOME": "/nowhere", "DOCKER_CONFIG": str(tmp_path)})
    assert caught.value.id == "registry-auth"
    assert caught.value.place == str(tmp_path / "config.json")


def helper(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


SAYS = 'read server; printf \'{"ServerURL":"%s","Username":"me","Secret":"for %s"}\' "$server" "$server"'


@pytest.mark.parametrize(
    ("document", "endpoint", "expected"),
    [
        ({"credHelpers": {HOST.host: "test"}}, HOST, Credentials("me", f"for {HOST.host}")),
        ({"credsStore": "test"}, HOST, Credentials("me", f"for {HOST.host}")),
        (
            {"credsStore": "test"},
            HUB_ENDPOINT,
            Credentials("me", f"for https://{HUB_HOSTS[0]}/v1/"),
        ),
        (
            {"credsStore": "other", "credHelpers": {HOST.host: "test"}},
            HOST,
            Credentials("me", f"for {HOST.host}"),
        ),
        ({"credHelpers": {"elsewhere": "test"}}, HOST, None),
        ({"credsStore": "../test"}, HOST, None),
        ({"credsStore": "not-installed"}, HOST, None),
    ],
)
def test_helpers(
    document: object,
    endpoint: Endpoint,
    expected: Credentials | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    helper(tmp_path, "test", SAYS, monkeypatch)
    write(tmp_path / "config.json", document)
    assert (
        find_credentials(endpoint, {"HOME": "/nowhere", "DOCKER_CONFIG": str(tmp_path)}) == expected
    )


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('printf \'{"Username":"<token>","Secret":"T"}\'', Credentials(identity_token="T")),
        ("echo credentials not found in native keychain; exit 1", None),
        ("exit 3", None),
        ("echo nonsense", None),
        ("echo []", None),
    ],
)
def test_answers_of_helpers(
    script: str, expected: Credentials | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, "test", script, monkeypatch)
    write(tmp_path / "config.json", {"credHelpers": {HOST.host: "test"}})
    assert find_credentials(HOST, {"HOME": "/nowhere", "DOCKER_CONFIG": str(tmp_path)}) == expected


def test_secrets_do_not_show() -> None:
    credentials = Credentials("me", "one", "two", "three")
    assert not [secret for secret in credentials.secrets if secret in repr(credentials)]


NONSENSE = [
    5, "x", [1], {"username": 5, "password": "x"}, {"username": "a", "password": 6}, {"username": [1], "password": "x"},
    {"auth": 5},
    {"auth": "%"}, {"auth": "/w=="}, {"identitytoken": 5}, {"registrytoken": 5}, {"registrytoken": "a\r\nX: y"},
    {"registrytoken": "ä"}, {"registrytoken": "a b"}, {"username": "\ud800", "password": "x"}, {"identitytoken": "\ud800"},
]  # fmt: skip


@pytest.mark.parametrize("entry", NONSENSE, ids=repr)
def test_entries_that_are_none(entry: object, tmp_path: Path) -> None:
    write(tmp_path / "config.json", {"auths": {"h.example:5000": entry}})
    with pytest.raises(ImageError) as caught:
        find_credentials(HOST, {"HOME": "/nowhere", "DOCKER_CONFIG": str(tmp_path)})
    assert caught.value.id == "registry-auth"


def test_line_ends_in_base64_count_for_nothing(tmp_path: Path) -> None:
    """As Go's decoder has it, which docker and podman read these files with."""
    entry = {
        "auth": auth("me", "pass:word")["auth"][:6]
        + "\r\n"
        + auth("me", "pass:word")["auth"][6:]
        + "\n"
    }
    write(tmp_path / "config.json", {"auths": {"h.example:5000": entry}})
    assert find_credentials(HOST, {"HOME": "/nowhere", "DOCKER_CONFIG": str(tmp_path)}) == ME


@pytest.mark.parametrize("text", ["[" * 500_000, "{" * 500_000, "NaN", "\x00", ""])
def test_files_that_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ImageError) as caught:
        find_credentials(HOST, {"HOME": "/nowhere", "DOCKER_CONFIG": str(tmp_path)})
    assert caught.value.id == "registry-auth"
