"""Redirects and addresses: the rules that hold for registries, token servers, YAML and everything
else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from compos.errors import ComposError
from compos.http import (
    beginning,
    chunks,
    following,
    network_error,
    redirected,
    request,
    same_server,
    web_address,
    without_secrets,
)

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
    with pytest.raises(ComposError) as caught, request("GET", url):
        pass
    assert caught.value.id == "network-url"
    with pytest.raises(ComposError), following("GET", url):
        pass


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


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that says `answer` to whoever connects, whatever is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.recv(1 << 16)
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/a"
        server.shutdown(socket.SHUT_RDWR)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: "
NO_HTTP = [
    b"", b"SSH-2.0-x\r\n", b"\x15\x03\x01\x00\x02\x02\x46", b"HTTP/1.1 0 X\r\n\r\n", b"HTTP/1.1 abc X\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, OK + b"a: b\r\n" * 2000 + b"\r\n", OK + b"a: " + b"b" * 100_000 + b"\r\n\r\n",
    OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", OK + b"Content-Length: 9\r\n\r\n{}",
    CHUNKED + b"zz\r\n{}", CHUNKED + b"-5\r\n{}", CHUNKED + b"f" * 5000 + b"\r\n{}", CHUNKED + b"5\r\nab", CHUNKED + b"\r\n",
    MOVED + b"http://" + b"a" * 100 + b".example/\r\n\r\n", MOVED + b"http://..../\r\n\r\n", MOVED + b"http://%00/\r\n\r\n",
    MOVED + b"http://\xff\xfe:1/\r\n\r\n", MOVED + b"http://[::1\r\n\r\n", MOVED + b"http://h:99999999/\r\n\r\n",
    MOVED + b"/" + b"a" * 60_000 + b"\r\n\r\n", MOVED + b"/\r\n\r\n", MOVED + b"file:///etc/passwd\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("answer", NO_HTTP, ids=range(len(NO_HTTP)))
@pytest.mark.parametrize("as_they_come", [False, True])
def test_servers_that_do_not_speak_http(answer: bytes, as_they_come: bool) -> None:
    with (
        answering(answer) as url,
        pytest.raises(ComposError) as caught,
        following("GET", url) as found,
    ):
        list(chunks(found.response, url, as_they_come=as_they_come))
    assert caught.value.id.startswith("network-")
    assert len(str(caught.value)) < 1000


READ = [
    (OK + b"Content-Length: 3\r\n\r\nabcdef", b"abc"),
    (OK + b"\r\nabc", b"abc"),
    (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    (OK + b"\r\n" + bytes(3 << 20), bytes(1000)),
]


@pytest.mark.parametrize(("answer", "data"), READ, ids=range(len(READ)))
def test_no_more_is_read_than_is_wanted(answer: bytes, data: bytes) -> None:
    with answering(answer) as url, request("GET", url) as response:
        assert beginning(response, url, 1000) == data
