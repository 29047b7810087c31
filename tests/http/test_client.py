"""Servers that do not speak HTTP, or say more than is wanted; failures that pass."""

from __future__ import annotations

import pytest

from compos.errors import ComposError, PackageError
from compos.http.client import Client
from tests.http.server import answering

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
        answering(answer) as server,
        pytest.raises(ComposError) as caught,
        Client().request("GET", server.url) as found,
    ):
        list(found.chunks(as_they_come=as_they_come))
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
    with answering(answer) as server, Client().send("GET", server.url) as found:
        assert found.beginning(1000) == data


def test_an_answer_says_how_long_to_wait() -> None:
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: 7\r\n\r\n"
    with answering(busy) as server, Client().request("GET", server.url) as answer:
        assert (answer.status, answer.length, answer.delay) == (503, 0, 7.0)


def test_work_is_done_again_while_its_failures_may_pass() -> None:
    waits: list[float] = []
    client = Client(wait=waits.append)
    with answering(b"", b"", OK + b"Content-Length: 3\r\n\r\nabc") as server:

        def work() -> bytes:
            with client.request("GET", server.url) as answer:
                return answer.beginning(10)

        assert client.patiently(work) == b"abc"
    assert waits == [0.5, 1.0]

    def fail() -> None:
        raise PackageError("debian-http", "no")

    with pytest.raises(PackageError):
        client.patiently(fail)
    assert waits == [0.5, 1.0]


def test_a_certificate_file_that_cannot_be_used() -> None:
    with (
        pytest.raises(ComposError) as caught,
        Client(("/nowhere.pem",)).send("GET", "https://127.0.0.1:1/"),
    ):
        pass
    assert (caught.value.id, caught.value.place) == ("certificate-file", "/nowhere.pem")
