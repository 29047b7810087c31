"""One file in as many requests as it takes: what has arrived stays, the next request asks for the
rest (RFC 9110 section 14).

May touch: the network, through the client that sends the requests; what it receives goes to the
caller's sink.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from compos.errors import ComposError, ConnectionBroken, NetworkError
from compos.http.address import without_secrets
from compos.http.client import Answer, Client

__all__ = ["Incomplete", "Sink", "WrongSize", "download"]

PROGRESS = 1 << 20
"""Bytes that must have arrived for a failure to count as the first again."""


class Sink(Protocol):
    """Takes a file's bytes in their order."""

    @property
    def size(self) -> int:
        """How many it has taken."""

    def write(self, data: bytes, /) -> object:
        """Take the next ones."""


class Incomplete(ConnectionBroken):
    """The file ended early, as often as it was asked for (`network-broken`)."""


class WrongSize(NetworkError):
    """The server's file is shorter or longer than it should be (`network-size`)."""

    def __init__(self, url: str, *, size: int, found: int | None) -> None:
        """`found` is the size of the server's file; None when more arrived than was expected."""
        says = "more" if found is None else str(found)
        super().__init__(
            "network-size",
            f"the server has {says} bytes where {size} were expected",
            place=without_secrets(url),
        )
        self.found = found
        self.too_short = found is not None and found < size


Send = Callable[[Mapping[str, str]], AbstractContextManager[Answer]]
"""Sends the request for the file with these headers beside its own, and lets answers of the status
200, 206 and 416 through. Raises `ComposError` for others."""


def _ignore(_: int) -> None:
    pass


def download(
    client: Client,
    send: Send,
    sink: Sink,
    size: int,
    *,
    advance: Callable[[int], None] = _ignore,
) -> None:
    """Have `send` fetch what `sink` lacks of a file of `size` bytes, and again while that fails for
    reasons that may pass.

    A server that cannot resume sends everything again, and what is known of it is dropped. An
    announced size that is too large is an error before anything is read. One that is too small is
    not, as a cache on the way may hold a part only: a server that has no more answers the next
    request with 416. `advance` is called with every number of bytes that arrives, and may raise to
    stop. Raises `Incomplete`, `WrongSize`, and what `send`, `sink` and `advance` raise. Nothing
    is verified but the size.
    """
    attempts = client.attempts()
    while sink.size < size or not size:
        before = sink.size
        try:
            _receive(send, sink, size, advance)
            return
        except ComposError as error:
            if sink.size - before >= PROGRESS:
                attempts.reset()
            attempts.failed(error)


def _receive(send: Send, sink: Sink, size: int, advance: Callable[[int], None]) -> None:
    """One request."""
    start = sink.size
    # A compressed transfer's offsets and lengths would not be the file's.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with send(headers) as answer:
        if answer.status == 416:
            raise WrongSize(answer.url, size=size, found=start)
        known = start - _first_byte(answer, start)
        if answer.length is not None and answer.length - known > size - start:
            raise WrongSize(answer.url, size=size, found=answer.length + start - known)
        try:
            for chunk in answer.chunks(as_they_come=True):
                fresh = chunk[known:]
                known -= len(chunk) - len(fresh)
                if sink.size + len(fresh) > size:
                    raise WrongSize(answer.url, size=size, found=None)
                if fresh:
                    sink.write(fresh)
                    advance(len(fresh))
        except ConnectionBroken as error:
            raise _incomplete(answer, sink, size) from error
        if sink.size < size:
            raise _incomplete(answer, sink, size)


def _first_byte(answer: Answer, start: int) -> int:
    """Where in the file the answer's body begins: at `start`, as it was asked for, or at 0."""
    if answer.status != 206:
        return 0
    span = re.match(r"bytes ([0-9]{1,18})-", answer.headers.get("Content-Range", ""))
    if span is None or int(span[1]) != start:
        raise Incomplete(
            "network-broken",
            "the server sends another part of the file than it was asked for",
            place=without_secrets(answer.url),
            hint="Try again, or name a mirror.",
        )
    return start


def _incomplete(answer: Answer, sink: Sink, size: int) -> Incomplete:
    return Incomplete(
        "network-broken",
        f"the transfer ended after {sink.size} of {size} bytes",
        place=without_secrets(answer.url),
        hint="Try again, or name a mirror.",
    )
