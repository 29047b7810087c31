"""Addresses: what is one, what a redirect may lead to, what of one may be shown. Pure."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from compos.errors import AddressError, ComposError, RedirectError

__all__ = ["redirect_error", "redirected", "same_server", "web_address", "without_secrets"]

_PORTS = {"http": 80, "https": 443}


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
        raise redirect_error(
            "it is redirected to something that is not a web address", url
        ) from error
    if target.scheme == "http" and urlsplit(url).scheme != "http":
        raise redirect_error("it is redirected to an address without TLS", url)
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
            "the address is not a web address",
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


def redirect_error(message: str, url: str) -> RedirectError:
    """A redirect in the answer of `url` that is not followed, and why."""
    return RedirectError(
        "network-redirect",
        message,
        place=without_secrets(url),
        hint="Use the final address, or a mirror.",
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
