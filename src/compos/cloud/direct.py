"""Calls of REST APIs that need no SDK: a token in a header is all.

May touch: the network.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

from compos.cloud.calls import Calls
from compos.cloud.failure import Problem
from compos.cloud.rest import Answer, Rest
from compos.errors import AddressError, CloudDenied, ComposError, NetworkError, TlsError
from compos.http.client import Client

__all__ = ["Connected", "direct", "token_from"]

MAX_ANSWER = 16 << 20
"""Bytes of an answer; lists have pages."""

Connected = Callable[[str], None]


def direct(
    base: str,
    headers: Mapping[str, str],
    *,
    show: Callable[[str], None] | None = None,
    wait: Callable[[float], None] | None = None,
    certificates: tuple[str, ...] = (),
) -> Rest:
    """The API at `base`, with `headers` (secrets) in each request to it."""
    calls = Calls(_explain, show=show, **({"wait": wait} if wait else {}))
    client = Client(certificates)

    def send(
        method: str, url: str, fields: Mapping[str, str], body: bytes | Iterator[bytes] | None
    ) -> Answer:
        own = url.startswith("/")
        sent = {**fields, **(headers if own else {})}
        try:
            with client.send(method, base + url if own else url, headers=sent, body=body) as found:
                data = found.beginning(MAX_ANSWER)
                fields = {key.lower(): value for key, value in found.headers.items()}
                return Answer(found.status, fields, data)
        except (AddressError, TlsError):
            raise
        except NetworkError as error:
            raise Problem(0, "", error.message) from error

    return Rest(calls, send)


def token_from(names: tuple[str, ...], cloud: str, *, dry: bool) -> str:
    """The first of the variables `names` that is set. Raises `CloudDenied`
    (`cloud-credentials`)."""
    found = next((os.environ[name] for name in names if os.environ.get(name)), "")
    if not found and not dry:
        raise CloudDenied(
            "cloud-credentials",
            f"no credentials for {cloud} are found",
            hint=f"Set {' or '.join(names)}; docs/clouds.md lists them.",
        )
    if not found.isascii() or not found.isprintable():
        raise CloudDenied(
            "cloud-credentials", f"{names[0]} is no token", hint=f"Set {names[0]} again."
        )
    return found


def _explain(error: Exception) -> Problem | ComposError | None:
    return None
