"""The client: whom it trusts, which proxies it uses, which redirects it follows, how patient it is.

May touch: the network; the proxy variables and certificate files, to read them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import urlsplit

from compos.errors import ComposError, NetworkTimeout
from compos.http.address import (
    redirect_error,
    redirected,
    same_server,
    web_address,
    without_secrets,
)
from compos.http.failure import network_error
from compos.http.retry import USUAL, Attempts, Patience, delay_from
from compos.version import __version__

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

__all__ = ["CHUNK", "MAX_REDIRECTS", "Answer", "Client"]

CHUNK = 1 << 20
"""Bytes read from a socket at a time: large enough that SHA-256 (which drops the GIL) dominates."""

MAX_REDIRECTS = 10
"""In a row; as Go's net/http has it, which most clients of registries are built on."""

_REDIRECTS = (301, 302, 303, 307, 308)
_SAME_METHOD = (307, 308)
"""After these a request with a body is sent again, as it was (RFC 9110 section 15.4)."""

_Result = TypeVar("_Result")


class Answer(NamedTuple):
    """A server's answer, its body not yet read: from which URL it came, and whether that is still
    the server that was asked. A short document has to be there in `whole` seconds."""

    response: BaseHTTPResponse
    url: str
    at_home: bool = True
    whole: float = USUAL.whole

    @property
    def status(self) -> int:
        """The status code."""
        return self.response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The header's fields; upper and lower case are the same."""
        return self.response.headers

    @property
    def length(self) -> int | None:
        """Bytes of the body that have not been read; None when the server does not say."""
        return self.response.length_remaining

    @property
    def delay(self) -> float | None:
        """Seconds that the server asks us to wait before the next request, if it does."""
        return delay_from(self.headers.get("Retry-After"), time.time)

    def chunks(self, *, as_they_come: bool = False) -> Iterator[bytes]:
        """The body in chunks of up to `CHUNK` bytes; raises `NetworkError` when the connection
        breaks or ends early.

        With `as_they_come` a chunk is what has arrived, however little: what came before a
        connection broke is not lost.
        """
        from urllib3.exceptions import HTTPError, ProtocolError

        read = self.response.read1 if as_they_come else self.response.read
        try:
            while chunk := read(CHUNK):
                yield chunk
        except (HTTPError, OSError) as error:
            raise network_error(self.url, error) from error
        except ValueError as error:
            # http.client, of a chunk that says it is shorter than nothing.
            raise network_error(self.url, ProtocolError(str(error))) from error

    def beginning(self, size: int) -> bytes:
        """The first `size` bytes of the body, or all of it when it is shorter. Raises as `chunks`
        does, and `NetworkTimeout` if that takes too long, however steadily it drips."""
        end = time.monotonic() + self.whole
        data = bytearray()
        for chunk in self.chunks(as_they_come=True):
            data += chunk
            if len(data) >= size:
                break
            if time.monotonic() > end:
                raise NetworkTimeout(
                    "network-timeout",
                    f"the server takes more than {self.whole:g} seconds for a document",
                    place=without_secrets(self.url),
                    hint="Try again later.",
                )
        return bytes(data[:size])


class Client(NamedTuple):
    """How this process talks HTTP. Used by several threads.

    `certificates` are PEM files trusted beside the system's; proxies come from the usual variables.
    `wait` sleeps between attempts; tests pass one that does not. `patience` is for servers that do
    not answer. Clients that trust the same certificates, and are as patient, share their
    connections.
    """

    certificates: tuple[str, ...] = ()
    wait: Callable[[float], None] = time.sleep
    patience: Patience = USUAL

    def attempts(self) -> Attempts:
        """How often this client tries again."""
        return Attempts(self.wait, self.patience)

    @contextmanager
    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        private: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        private_body: bool = False,
        home: str | None = None,
    ) -> Iterator[Answer]:
        """A request as `send` sends it, redirects followed by the rules of `redirected`.

        The headers `private` (secrets) go to the server of `home` (default: `url`) only, and no
        more once another one was involved; neither does a body with secrets, `private_body`: then
        the redirect is an error. Requests other than GET and HEAD follow 307 and 308, and with
        another redirect status that is the answer. Raises `ComposError` (`network-*`; of redirects
        `network-redirect`).
        """
        web_address(url)
        home = home or url
        at_home = True
        followed = _REDIRECTS if method in ("GET", "HEAD") else _SAME_METHOD
        for _ in range(MAX_REDIRECTS + 1):
            at_home = at_home and same_server(home, url)
            if private_body and not at_home:
                raise redirect_error("secrets would be sent to another server", url)
            sent = {**(headers or {}), **((private or {}) if at_home else {})}
            with self.send(method, url, headers=sent, body=body) as answer:
                location = answer.headers.get("Location")
                if answer.status not in followed or not location:
                    yield answer._replace(at_home=at_home)
                    return
            url = redirected(url, location)
        raise redirect_error(f"it is redirected more than {MAX_REDIRECTS} times", url)

    @contextmanager
    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
    ) -> Iterator[Answer]:
        """One request without redirects or retries; the answer may have any status.

        A `body` in pieces needs a `Content-Length`, and is iterated anew for each request.
        Raises `ComposError` (ids `network-*`) when no answer arrives, or `url` is no web address;
        `certificate-file` when a PEM file cannot be used.
        """
        from urllib3.exceptions import HTTPError

        web_address(url)
        pool = _pool_for(url, self.certificates, self.patience)
        try:
            response = pool.request(
                method,
                url,
                headers={**pool.headers, **(headers or {})},
                body=body,
                preload_content=False,
                redirect=False,
                decode_content=False,
            )
        except (HTTPError, OSError, ValueError) as error:
            raise network_error(url, error) from error
        try:
            yield Answer(response, url, whole=self.patience.whole)
        finally:
            # An unread body would keep the connection from being reused: closing is cheaper than
            # draining.
            if response.closed or response.length_remaining == 0:
                # An empty body, too, must be read before the connection can serve again.
                response.read()
                response.release_conn()
            else:
                response.close()

    def patiently(self, work: Callable[[], _Result]) -> _Result:
        """Run `work` again while it fails for reasons that may pass, as `Attempts` counts them."""
        attempts = self.attempts()
        while True:
            try:
                return work()
            except ComposError as error:
                attempts.failed(error)


@cache
def _pool(certificates: tuple[str, ...], patience: Patience) -> PoolManager:
    """The process's connections to servers that the system and `certificates` vouch for."""
    import ssl

    import urllib3

    context = ssl.create_default_context()
    for path in certificates:
        try:
            context.load_verify_locations(cafile=path)
        except OSError as error:
            raise ComposError(
                "certificate-file",
                f"cannot use the CA certificate file: {error.strerror or error}",
                place=path,
                hint="Pass a readable PEM file with --cert-file.",
            ) from error
    options: dict[str, object] = {
        "ssl_context": context,
        "headers": {"User-Agent": f"compos/{__version__}"},
        "retries": False,
        "maxsize": 8,
        "timeout": urllib3.Timeout(connect=patience.connect, read=patience.read),
    }
    return urllib3.PoolManager(**options)  # type: ignore[arg-type]


@cache
def _proxy_pool(proxy: str, certificates: tuple[str, ...], patience: Patience) -> PoolManager:
    import urllib3

    return urllib3.ProxyManager(proxy, **_pool(certificates, patience).connection_pool_kw)


def _pool_for(url: str, certificates: tuple[str, ...], patience: Patience) -> PoolManager:
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if proxy and parts.hostname and not proxy_bypass(parts.hostname):
        return _proxy_pool(proxy, certificates, patience)
    return _pool(certificates, patience)
