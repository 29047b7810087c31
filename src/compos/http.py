"""HTTP for everything that downloads: one pool, one trust store, one rule for redirects, one way to
say what went wrong.

May touch: the network. Knows nothing of registries or Debian.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from compos.errors import (
    AddressError,
    ComposError,
    ConnectError,
    ConnectionBroken,
    NetworkError,
    NetworkTimeout,
    RedirectError,
    TlsError,
)
from compos.version import __version__

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

__all__ = [
    "CHUNK",
    "MAX_REDIRECTS",
    "Answer",
    "beginning",
    "chunks",
    "following",
    "network_error",
    "pool",
    "redirected",
    "request",
    "same_server",
    "web_address",
    "without_secrets",
]

CHUNK = 1 << 20
"""Bytes read from a socket at a time: large enough that SHA-256 (which drops the GIL) dominates."""

MAX_REDIRECTS = 10
"""In a row; as Go's net/http has it, which most clients of registries are built on."""

_REDIRECTS = (301, 302, 303, 307, 308)
_SAME_METHOD = (307, 308)
"""After these a request with a body is sent again, as it was (RFC 9110 section 15.4)."""

_PORTS = {"http": 80, "https": 443}


@cache
def pool(certificates: tuple[str, ...] = ()) -> PoolManager:
    """The process's connection pool.

    `certificates` are PEM files trusted beside the system's. Proxies come from the usual variables.
    Raises `ComposError` (id `certificate-file`) when a PEM file cannot be used.
    """
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
                hint="Name a readable PEM file with --cert-file.",
            ) from error
    options: dict[str, object] = {
        "ssl_context": context,
        "headers": {"User-Agent": f"compos/{__version__}"},
        "retries": False,
        "maxsize": 8,
        "timeout": urllib3.Timeout(connect=15, read=60),
    }
    return urllib3.PoolManager(**options)  # type: ignore[arg-type]


@cache
def _proxy_pool(proxy: str, certificates: tuple[str, ...]) -> PoolManager:
    import urllib3

    plain = pool(certificates)
    return urllib3.ProxyManager(proxy, **plain.connection_pool_kw)


def _pool_for(url: str, certificates: tuple[str, ...]) -> PoolManager:
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if proxy and parts.hostname and not proxy_bypass(parts.hostname):
        return _proxy_pool(proxy, certificates)
    return pool(certificates)


@contextmanager
def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    certificates: tuple[str, ...] = (),
) -> Iterator[BaseHTTPResponse]:
    """One request without redirects or retries; the body is streamed by `chunks`.

    Raises `ComposError` (ids `network-*`) when no answer arrives, or `url` is no web address. An
    answer of any status is returned.
    """
    from urllib3.exceptions import HTTPError

    web_address(url)
    manager = _pool_for(url, certificates)
    merged = {**manager.headers, **(headers or {})}
    try:
        response = manager.request(
            method,
            url,
            headers=merged,
            body=body,
            preload_content=False,
            redirect=False,
            decode_content=False,
        )
    except (HTTPError, OSError, ValueError) as error:
        raise network_error(url, error) from error
    try:
        yield response
    finally:
        # An unread body would keep the connection from being reused: closing is cheaper than
        # draining.
        if response.closed or response.length_remaining == 0:
            # An empty body, too, must be read before the connection can serve again.
            response.read()
            response.release_conn()
        else:
            response.close()


def chunks(response: BaseHTTPResponse, url: str, *, as_they_come: bool = False) -> Iterator[bytes]:
    """The body in pieces of up to `CHUNK` bytes; raises `ComposError` when the connection breaks or
    ends early.

    With `as_they_come` a piece is what has arrived, however little: what came before a connection
    broke is not lost.
    """
    from urllib3.exceptions import HTTPError, ProtocolError

    read = response.read1 if as_they_come else response.read
    try:
        while piece := read(CHUNK):
            yield piece
    except (HTTPError, OSError) as error:
        raise network_error(url, error) from error
    except ValueError as error:
        # http.client, of a chunk that says it is shorter than nothing.
        raise network_error(url, ProtocolError(str(error))) from error


def beginning(response: BaseHTTPResponse, url: str, size: int) -> bytes:
    """The first `size` bytes of a body, or all of it when it is shorter. Raises as `chunks`
    does."""
    data = bytearray()
    for piece in chunks(response, url):
        data += piece
        if len(data) >= size:
            break
    return bytes(data[:size])


class Answer(NamedTuple):
    """What came at the end of the redirects: from which URL, and whether that is still the server
    that was asked."""

    response: BaseHTTPResponse
    url: str
    at_home: bool


@contextmanager
def following(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    private: Mapping[str, str] | None = None,
    body: bytes | None = None,
    private_body: bool = False,
    home: str | None = None,
    certificates: tuple[str, ...] = (),
) -> Iterator[Answer]:
    """A request as `request` sends it, redirects followed by the rules of `redirected`.

    The headers `private` (secrets) go to the server of `home` (default: `url`) only, and no more
    once another one was involved; neither does a body with secrets, `private_body`: then the
    redirect is an error. Requests other than GET and HEAD follow 307 and 308, and with another
    redirect status that is the answer. Raises `ComposError` (`network-*`; of redirects
    `network-redirect`).
    """
    web_address(url)
    home = home or url
    at_home = True
    for _ in range(MAX_REDIRECTS + 1):
        at_home = at_home and same_server(home, url)
        if private_body and not at_home:
            raise _redirect_error("secrets would go to another server", url)
        sent = {**(headers or {}), **((private or {}) if at_home else {})}
        with request(method, url, headers=sent, body=body, certificates=certificates) as response:
            location = response.headers.get("Location")
            followed = response.status in (
                _REDIRECTS if method in ("GET", "HEAD") else _SAME_METHOD
            )
            if not followed or not location:
                yield Answer(response, url, at_home)
                _settle(response)
                return
            _settle(response)
        url = redirected(url, location)
    raise _redirect_error(f"it is redirected more than {MAX_REDIRECTS} times", url)


def _settle(response: BaseHTTPResponse) -> None:
    """Read an empty body: its connection can be used again only then."""
    if response.length_remaining == 0 and not response.closed:
        response.read()


def redirected(url: str, location: str) -> str:
    """The absolute URL that a `Location` header in the answer of `url` names; what it says of user
    and password is left out.

    Raises `ComposError` (`network-redirect`) for what is no web address, and when TLS would be
    left.
    """
    try:
        # Blanks in a header's URL are not right, and everybody takes them.
        target = web_address(urljoin(url, location.strip().replace(" ", "%20")))
    except (ComposError, ValueError) as error:
        raise _redirect_error("it is redirected to what is no web address", url) from error
    if target.scheme == "http" and urlsplit(url).scheme != "http":
        raise _redirect_error("it is redirected to a place without TLS", url)
    return urlunsplit(target._replace(netloc=target.netloc.rpartition("@")[2], fragment=""))


def web_address(url: str) -> SplitResult:
    """The parts of an http or https URL with a host. Raises `ComposError` (`network-url`) for
    anything else."""
    try:
        parts = urlsplit(url)
        # Blanks and control characters could end the request's line; `port` raises for what is
        # none.
        usable = (
            parts.scheme in _PORTS
            and bool(parts.hostname)
            and parts.port != 0
            and not re.search(r"[\0-\x20\x7f]", url)
        )
    except ValueError:
        usable = False
    if not usable:
        raise AddressError(
            "network-url",
            "this is no web address",
            place=without_secrets(url),
            hint="Write http(s)://HOST[:PORT]/PATH.",
        )
    return parts


def same_server(one: str, other: str) -> bool:
    """Whether two web addresses are on one server; with TLS where there was none before is the
    same, on the usual ports."""
    first, second = _server(one), _server(other)
    return first == second or (
        first[1] == second[1] and (first[0], first[2], *second[::2]) == ("http", 80, "https", 443)
    )


def _server(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _redirect_error(message: str, url: str) -> RedirectError:
    return RedirectError(
        "network-redirect",
        message,
        place=without_secrets(url),
        hint="Name the address that it should lead to, or a mirror.",
    )


_SHOWN = 300
"""Characters of a URL that are shown."""


def without_secrets(url: str) -> str:
    """`url` as it may be shown: no user, password, query or fragment, no control characters, and
    not endless."""
    shown = re.sub(r"[?#].*", "", url, flags=re.DOTALL)
    scheme, separator, rest = shown.partition("//")
    host, slash, path = rest.partition("/")
    # A port that is none may be the beginning of a password with a slash in it.
    host = re.sub(r":(?!\d*$)[^:\]]*$", ":…", host.rpartition("@")[2])
    shown = f"{scheme}{separator}{host}{slash}{path}" if separator else shown.rpartition("@")[2]
    shown = "".join(character if character.isprintable() else "?" for character in shown)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def network_error(url: str, error: Exception) -> NetworkError:
    """`error` from urllib3 or the socket layer as one of ours: class, id, sentence, place, hint."""
    import ssl

    from urllib3 import exceptions

    host = _host(url)
    cause: BaseException = error
    while isinstance(cause, exceptions.MaxRetryError) and cause.reason is not None:
        cause = cause.reason
    refused = (ConnectError, "network-connect", f"cannot connect to {host}", _refused_hint())
    table: list[tuple[tuple[type[BaseException], ...], type[NetworkError], str, str, str]] = [
        ((exceptions.NameResolutionError,), NetworkError, "network-name",
         f"the name {host} cannot be resolved",
         "Check the host's name and this machine's DNS, or name a mirror."),
        # Before the time-out: urllib3 makes a refused connection a kind of it.
        ((exceptions.NewConnectionError,), *refused),
        ((exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError), NetworkTimeout,
         "network-timeout", f"{host} does not answer", "Try again, or name a mirror."),
        ((exceptions.SSLError, ssl.SSLError), TlsError, "network-tls",
         f"no trusted TLS connection to {host}",
         "For a private CA pass its certificate with --cert-file."),
        ((exceptions.ProxyError,), NetworkError, "network-proxy",
         f"the proxy on the way to {host} does not work",
         "Check http_proxy, https_proxy and no_proxy."),
        ((exceptions.IncompleteRead, exceptions.ProtocolError), ConnectionBroken, "network-broken",
         f"{host} broke off the transfer", "Try again; what was complete is kept."),
        ((exceptions.LocationValueError, ValueError), AddressError, "network-url",
         "this is no web address", "Write http(s)://HOST[:PORT]/PATH."),
        ((OSError,), *refused),
    ]  # fmt: skip
    for kinds, family, name, message, hint in table:
        if isinstance(cause, kinds):
            return family(name, message, place=without_secrets(url), hint=hint)
    return NetworkError(
        "network-error", f"the request failed: {type(cause).__name__}", place=without_secrets(url)
    )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or without_secrets(url)
    except ValueError:
        return without_secrets(url)


def _refused_hint() -> str:
    proxied = any(
        os.environ.get(name) for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    )
    end = ", and the proxy variables." if proxied else "."
    return f"Check that the server runs and that this machine may reach it{end}"
