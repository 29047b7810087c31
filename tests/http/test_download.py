"""One file in several requests: what is asked for again, what is dropped, what ends it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import pytest

from compos.errors import Interrupted
from compos.http.client import Answer, Client
from compos.http.download import Incomplete, WrongSize, download
from tests.http.server import Server, answering

CONTENT = bytes(range(100))


class Sink(bytearray):
    """The file so far."""

    @property
    def size(self) -> int:
        return len(self)

    write = bytearray.extend


LAST = b"Connection: close\r\n"
"""As the server does after each answer: a client would otherwise try its connection once more."""


def whole(data: bytes, length: int | None = None) -> bytes:
    said = len(data) if length is None else length
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (LAST, said, data)


def part(start: int, data: bytes, length: int | None = None, span: bytes | None = None) -> bytes:
    said = len(data) if length is None else length
    span = span or b"bytes %d-%d/100" % (start, start + said - 1)
    head = b"HTTP/1.1 206 Partial Content\r\n%bContent-Range: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (LAST, span, said) + data


UNMEASURED = b"HTTP/1.1 200 OK\r\n\r\n"
NO_MORE = b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n"
BROKEN = whole(CONTENT[:30], 100)


def run(server: Server, sink: Sink, size: int = 100, waits: list[float] | None = None) -> list[int]:
    """Download into `sink`; returns what was reported as progress."""
    client = Client(wait=([] if waits is None else waits).append)
    amounts: list[int] = []

    def send(headers: Mapping[str, str]) -> AbstractContextManager[Answer]:
        return client.request("GET", server.url, headers=headers)

    download(client, send, sink, size, advance=amounts.append)
    return amounts


GOES_WELL = {
    "at once": ([whole(CONTENT)], [None]),
    "without a length": ([UNMEASURED + CONTENT], [None]),
    "resumed": ([BROKEN, part(30, CONTENT[30:])], [None, "bytes=30-"]),
    "resumed twice": (
        [BROKEN, part(30, CONTENT[30:40], 70), part(40, CONTENT[40:])],
        [None, "bytes=30-", "bytes=40-"],
    ),
    "sent again from the beginning": ([BROKEN, whole(CONTENT)], [None, "bytes=30-"]),
    "sent again, and broken in what is known": (
        [BROKEN, whole(CONTENT[:20], 100), part(30, CONTENT[30:])],
        [None, "bytes=30-", "bytes=30-"],
    ),
    "another part": (
        [BROKEN, part(40, CONTENT[40:]), part(30, CONTENT[30:])],
        [None, "bytes=30-", "bytes=30-"],
    ),
    "a part that does not say which": (
        [BROKEN, part(30, CONTENT[30:], span=b"pages 1-2/3"), part(30, CONTENT[30:])],
        [None, "bytes=30-", "bytes=30-"],
    ),
    "announced too short": (
        [whole(CONTENT[:90]), part(90, CONTENT[90:])],
        [None, "bytes=90-"],
    ),
    "no answer at first": ([b"", whole(CONTENT)], [None, None]),
}


@pytest.mark.parametrize("case", GOES_WELL)
def test_files_that_arrive(case: str) -> None:
    answers, ranges = GOES_WELL[case]
    sink, waits = Sink(), list[float]()
    with answering(*answers) as server:
        assert sum(run(server, sink, waits=waits)) == 100
        assert server.ranges() == ranges
    assert bytes(sink) == CONTENT
    assert waits == [0.5, 1.0][: len(answers) - 1]


WRONG = {
    "announced too long": ([whole(CONTENT + b"x")], 101, 0),
    "longer than announced": ([UNMEASURED + CONTENT + b"x"], None, 0),
    "the rest is announced too long": ([BROKEN, part(30, CONTENT[30:] + b"x")], 101, 30),
    "no more than that": ([whole(CONTENT[:90]), NO_MORE], 90, 90),
}


@pytest.mark.parametrize("case", WRONG)
def test_files_of_another_size(case: str) -> None:
    answers, found, arrived = WRONG[case]
    sink = Sink()
    with answering(*answers) as server, pytest.raises(WrongSize) as caught:
        run(server, sink)
    assert (caught.value.id, caught.value.found) == ("network-size", found)
    assert caught.value.too_short is (case == "no more than that")
    assert len(sink) == arrived
    assert len(server.requests) == len(answers), "what lasts is not tried again"


def test_a_file_that_never_arrives() -> None:
    waits: list[float] = []
    with answering(part(0, b"")) as server, pytest.raises(Incomplete) as caught:
        run(server, Sink(), waits=waits)
    assert (caught.value.id, caught.value.place) == ("network-broken", server.url)
    assert "0 of 100 bytes" in caught.value.message
    assert caught.value.hint
    assert waits == [0.5, 1.0, 2.0]


def test_an_empty_file_is_asked_for_once() -> None:
    with answering(whole(b"")) as server:
        assert run(server, Sink(), 0) == []
    assert server.ranges() == [None]


def test_nothing_is_compressed_on_the_way() -> None:
    """Offsets and lengths would not be the file's."""
    with answering(whole(CONTENT)) as server:
        run(server, Sink())
    assert "Accept-Encoding: identity" in server.requests[0]


def test_progress_may_stop_it() -> None:
    def stop(_: int) -> None:
        raise Interrupted("interrupted", "stopped")

    client = Client(wait=lambda _: None)
    with answering(whole(CONTENT)) as server, pytest.raises(Interrupted):
        download(
            client,
            lambda headers: client.request("GET", server.url, headers=headers),
            Sink(),
            100,
            advance=stop,
        )
    assert len(server.requests) == 1
