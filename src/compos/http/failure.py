"""What went wrong on the way to a server, as one of our errors. Reads the proxy variables."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from compos.errors import (
    AddressError,
    ConnectError,
    ConnectionBroken,
    NetworkError,
    NetworkTimeout,
    TlsError,
)
from compos.http.address import without_secrets

__all__ = ["network_error"]


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
         "Check the host name and this machine's DNS, or use a mirror."),
        # Before the time-out: urllib3 makes a refused connection a kind of it.
        ((exceptions.NewConnectionError,), *refused),
        ((exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError), NetworkTimeout,
         "network-timeout", f"{host} does not respond", "Try again, or use a mirror."),
        ((exceptions.SSLError, ssl.SSLError), TlsError, "network-tls",
         f"there is no trusted TLS connection to {host}",
         "For a private CA, pass its certificate with --cert-file."),
        ((exceptions.ProxyError,), NetworkError, "network-proxy",
         f"the proxy for {host} does not work",
         "Check http_proxy, https_proxy and no_proxy."),
        ((exceptions.IncompleteRead, exceptions.ProtocolError), ConnectionBroken, "network-broken",
         f"{host} interrupted the transfer", "Try again; completed downloads are kept."),
        ((exceptions.LocationValueError, ValueError), AddressError, "network-url",
         "the address is not a web address", "Write http(s)://HOST[:PORT]/PATH."),
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
    return f"Check that the server is running and reachable from this machine{end}"
