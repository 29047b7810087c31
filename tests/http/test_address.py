"""Redirects and addresses: the rules that hold for registries, token servers, YAML and everything
else."""

from __future__ import annotations

import pytest

from compos.errors import ComposError
from compos.http.address import redirected, same_server, web_address, without_secrets
from compos.http.client import Client
from compos.http.failure import network_error

FOLLOWED = [
    ("http://h/a/b", "c", "http://h/a/c"),
    ("http://h/a/b", "/c?x=1", "http://h/c?x=1"),
    ("http://h/a", "//other/c", "http://other/c"),
    ("https://h/a", "//other/c", "https://other/c"),
    ("http://h/a", "https://h/a", "https://h/a"),
    ("https://h/a", "HTTPS://h/a", "https://h/a"),
    ("https://h/a", "https://user:secret@other/a", "https://other/a"),
    ("https://h/a", "https://other/a#fragment", "https://other/a"),
    ("https://h/a", "a b.tar", "https://h/a%20b.tar"),
    ("https://h/a", " /c ", "https://h/c"),
    ("http://h/a", "http://[::1]:80/", "http://[::1]:80/"),
    ("https://h/a", "?x=1", "https://h/a?x=1"),
    ("https://h/a", "../../../b", "https://h/b"),
]


@pytest.mark.parametrize(("url", "location", "target"), FOLLOWED)
def test_redirects(url: str, location: str, target: str) -> None:
    assert redirected(url, location) == target


REFUSED = [
    "http://h/a", "http:///a", "HTTP://h/a", "file:///etc/passwd", "ftp://h/", "gopher://h/", "data:text/plain,x",
    "javascript:x", "https://h:99999999/", "https://h:-1/", "https://h:x/", "https://h:0/", "https://[::1/", "https://[x]/",
    "https://:443/", "https://user:secret@/", "https://h\x00/", "https://h\r\nX: y/", "https://h/\x7f",
    "https://h\u2100/",
]  # fmt: skip


@pytest.mark.parametrize("location", REFUSED)
def test_redirects_that_are_not_followed(location: str) -> None:
    with pytest.raises(ComposError) as caught:
        redirected("https://user:secret@h/a?token=secret", location)
    assert caught.value.id == "network-redirect"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "/x",
        "file:///etc/passwd",
        "http://[::1",
        "http://h:99999999/",
        "http://h:x",
        "http://a b/",
    ],
)
def test_what_is_no_web_address(url: str) -> None:
    with pytest.raises(ComposError) as caught:
        web_address(url)
    assert caught.value.id == "network-url"
    for send in (Client().send, Client().request):
        with pytest.raises(ComposError) as caught, send("GET", url):
            pass
        assert caught.value.id == "network-url"


SHOWN = {
    "https://h/a": "https://h/a",
    "https://user:secret@h:1/a?secret#secret": "https://h:1/a",
    "https://user:sec@ret@h/a@sha256:1": "https://h/a@sha256:1",
    "https://user:sec/ret@h/a": "https://user:…/ret@h/a",
    "https://user:s?secret": "https://user:…",
    "https://[::1]:5000/a": "https://[::1]:5000/a",
    "https://[::1": "https://[::1",
    "user:secret@h": "h",
    "h:5000": "h:5000",
    "https://h/\x1b[31m\n": "https://h/?[31m?",
    "https://h/" + "x" * 1000: "https://h/" + "x" * 290 + "…",
}


@pytest.mark.parametrize("url", SHOWN)
def test_what_is_shown_of_a_url(url: str) -> None:
    assert without_secrets(url) == SHOWN[url]


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://u:secret@h:x/", "//", "\x00", "http://u:secret@h/?secret"]
)
def test_errors_show_no_secrets(url: str) -> None:
    for error in (OSError(1, "x"), ValueError("secret")):
        assert "secret" not in str(network_error(url, error))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://h/a", "http://h:80/b", True),
        ("https://h/a", "https://H:443/b", True),
        ("http://h/a", "https://h/a", True),
        ("https://h/a", "http://h/a", False),
        ("http://h:5000/a", "https://h/a", False),
        ("http://h:5000/a", "https://h:5000/a", False),
        ("https://h/a", "https://h:444/a", False),
        ("https://h/a", "https://x.h/a", False),
        ("https://h/a", "https://h.x/a", False),
        ("https://h/a", "https://h@x/a", False),
    ],
)
def test_same_server(one: str, other: str, same: bool) -> None:
    assert same_server(one, other) is same
