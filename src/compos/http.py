"""HTTP for everything that downloads: one pool, one trust store, one way to say what went wrong.

May touch: the network. Knows nothing of registries or Debian.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from compos import __version__
from compos.errors import ComposError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

__all__ = ["CHUNK", "chunks", "network_error", "pool", "request", "without_secrets"]

CHUNK = 1 << 20
"""Bytes read from a socket at a time: large enough that SHA-256 (which drops the GIL) dominates."""


@cache
def pool(certificates: tuple[str, ...] = ()) -> PoolManager:
    """The process's connection pool.

    `certificates` are PEM files trusted beside the system's. Proxies come from the usual variables. Raises
    `ComposError` (id `certificate-file`) when a PEM file cannot be used.
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

    Raises `ComposError` (ids `network-*`) when no answer arrives. An answer of any status is returned.
    """
    from urllib3.exceptions import HTTPError

    manager = _pool_for(url, certificates)
    merged = {**manager.headers, **(headers or {})}
    try:
        response = manager.request(
            method, url, headers=merged, body=body, preload_content=False, redirect=False, decode_content=False
        )
    except (HTTPError, OSError) as error:
        raise network_error(url, error) from error
    try:
        yield response
    finally:
        # An unread body would keep the connection from being reused: closing is cheaper than draining.
        if response.closed or response.length_remaining == 0:
            response.read()  # an empty body, too, must be read before the connection can serve again
            response.release_conn()
        else:
            response.close()


def chunks(response: BaseHTTPResponse, url: str) -> Iterator[bytes]:
    """The body in pieces of up to `CHUNK` bytes; raises `ComposError` when the connection breaks or ends early."""
    from urllib3.exceptions import HTTPError

    try:
        while piece := response.read(CHUNK):
            yield piece
    except (HTTPError, OSError) as error:
        raise network_error(url, error) from error


def without_secrets(url: str) -> str:
    """`url` as it may be shown: no user, password, query or fragment."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.port:
        host = f"{host}:{parts.port}"
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def network_error(url: str, error: Exception) -> ComposError:
    """`error` from urllib3 or the socket layer as one of ours: id, sentence, place, hint."""
    import ssl

    from urllib3 import exceptions

    host = urlsplit(url).hostname or url
    cause: BaseException = error
    while isinstance(cause, exceptions.MaxRetryError) and cause.reason is not None:
        cause = cause.reason
    table: list[tuple[tuple[type[BaseException], ...], str, str, str]] = [
        ((exceptions.NameResolutionError,), "network-name", f"the name {host} cannot be resolved",
         "Check the host's name and this machine's DNS, or name a mirror."),
        # Before the time-out: urllib3 makes a refused connection a kind of it.
        ((exceptions.NewConnectionError,), *_refused(host)),
        ((exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError), "network-timeout", f"{host} does not answer",
         "Try again, or name a mirror."),
        ((exceptions.SSLError, ssl.SSLError), "network-tls", f"no trusted TLS connection to {host}",
         "For a private CA pass its certificate with --cert-file."),
        ((exceptions.ProxyError,), "network-proxy", f"the proxy on the way to {host} does not work",
         "Check http_proxy, https_proxy and no_proxy."),
        ((exceptions.IncompleteRead, exceptions.ProtocolError), "network-broken", f"{host} broke off the transfer",
         "Try again; what was complete is kept."),
        ((OSError,), *_refused(host)),
    ]  # fmt: skip
    for kinds, name, message, hint in table:
        if isinstance(cause, kinds):
            return ComposError(name, message, place=without_secrets(url), hint=hint)
    return ComposError("network-error", f"the request failed: {type(cause).__name__}", place=without_secrets(url))


def _refused(host: str) -> tuple[str, str, str]:
    proxied = any(os.environ.get(name) for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"))
    hint = "Check that the server runs and that this machine may reach it" + (
        ", and the proxy variables." if proxied else "."
    )
    return "network-connect", f"cannot connect to {host}", hint
