"""Calls of REST APIs whose SDK is used for what it knows best: who the user is.

May touch: the network, through the SDK's own session.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlencode

from compos.cloud.calls import Calls
from compos.cloud.failure import Problem
from compos.errors import CloudMissing

__all__ = ["Answer", "Body", "Rest", "Transport", "delete", "pages"]

Body: TypeAlias = "bytes | Callable[[], Iterator[bytes]] | None"
"""Bytes, or what makes them anew for each attempt."""

MAX_ERROR = 64 << 10
"""Bytes of an error that are read."""


class Answer(NamedTuple):
    """What came back; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> dict[str, Any]:
        """The JSON object in the body; empty without one."""
        try:
            found = json.loads(self.body or b"{}")
        except ValueError as error:
            raise Problem(0, "", "the answer is no JSON") from error
        return found if isinstance(found, dict) else {"items": found}


Transport: TypeAlias = (
    "Callable[[str, str, Mapping[str, str], bytes | Iterator[bytes] | None], Answer]"
)
"""Sends a request (method, URL, headers, body) with the user's credentials, once. What it raises is
its SDK's."""


class Rest:
    """A REST API behind the door of `calls`."""

    def __init__(self, calls: Calls, transport: Transport) -> None:
        self.calls = calls
        self._transport = transport

    def __call__(
        self,
        method: str,
        url: str,
        document: Mapping[str, Any] | None = None,
        *,
        answer: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The JSON object that answers a request with `document`; `answer` in a dry run.

        Raises `CloudError`.
        """
        body = None if document is None else json.dumps(document).encode()
        headers = {} if document is None else {"Content-Type": "application/json"}
        made = Answer(200, {}, json.dumps(answer).encode())
        return self.exchange(
            method, url, headers=headers, body=body, answer=made, shown=document
        ).document()

    def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: Body,
        answer: Answer,
        shown: Mapping[str, Any] | None = None,
        accepted: tuple[int, ...] = (),
    ) -> Answer:
        """The answer to any request; statuses from 300 on are errors, but for those `accepted`."""

        def perform() -> Answer:
            sent = body() if callable(body) else body
            found = self._transport(method, url, headers, sent)
            if found.status >= 300 and found.status not in accepted:
                raise _problem(found)
            if method == "GET":
                found.document()
            return found

        # A query may be a permission, as that of an upload is; in a dry run there is none.
        place = url if self.calls.dry else url.partition("?")[0]
        return self.calls(f"{method} {place}", perform, answer=answer, shown=shown)


def pages(
    rest: Rest,
    path: str,
    kind: str,
    wanted: Mapping[str, str],
    *,
    size: int,
    size_word: str = "per_page",
) -> Iterator[dict[str, Any]]:
    """What the list at `path` has under the key `kind`, page by page of `size` entries; `wanted` is
    the query. The last page is the first one that is not full. Raises `CloudError`."""
    number = 0
    while True:
        number += 1
        query = urlencode({**wanted, "page": number, size_word: size})
        listed = rest("GET", f"{path}?{query}", answer={kind: []})[kind]
        yield from listed
        if len(listed) < size:
            return


def delete(rest: Rest, path: str) -> None:
    """Delete what is at `path`; what is gone already is no error. Raises `CloudError`."""
    try:
        rest("DELETE", path, answer={})
    except CloudMissing:
        return


def _problem(answer: Answer) -> Problem:
    """What an error says: Google's, Azure's and OpenStack's JSON, or the text."""
    code = message = ""
    try:
        found = json.loads(answer.body[:MAX_ERROR])
    except ValueError:
        found = None
    if isinstance(found, dict):
        inner = found.get("error", found)
        if isinstance(inner, dict) and len(inner) == 1 and "message" not in inner:
            # OpenStack names the fault: {"overLimit": {"message": …}}.
            ((code, inner),) = inner.items()
        if isinstance(inner, dict):
            message = str(inner.get("message", ""))
            reasons = [
                str(one.get("reason", ""))
                for one in inner.get("errors", ())
                if isinstance(one, dict)
            ]
            # Scaleway's word is `type`, DigitalOcean's `id`.
            words = (inner[key] for key in ("status", "code", "type", "id") if key in inner)
            code = str(reasons[0] if reasons else next(words, code))
        else:
            code, message = str(inner), str(found.get("error_description", ""))
    text = message or answer.body[:300].decode("utf-8", "replace")
    return Problem(answer.status, code, text, answer.headers.get("retry-after"))
