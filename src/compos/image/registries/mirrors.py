"""Where a reference is really asked for: origin or mirror, host, scheme, repository.

Pure text. The rules are LinuxKit's (reference `yaml-and-build.md` sections 5.4 "Scheme" and 5.5),
but for plain HTTP: whoever is on the way could have it spoken instead of HTTPS, and read passwords.
It is for this machine, and for registries and mirrors of which the user said so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from compos.errors import ComposError, ImageError
from compos.http.address import web_address, without_secrets
from compos.image.reference import HUB, HUB_HOSTS, NAMESPACE, Reference, is_reserved

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

__all__ = ["Endpoint", "Mirrors", "is_loopback", "is_private", "registry_of_bricks"]

_ANY = "*"
_VARIABLE = "LINUXKIT_MIRROR"
_INSECURE_VARIABLE = "COMPOS_INSECURE_REGISTRIES"


class Endpoint(NamedTuple):
    """One repository of one registry: host with port, repository, and the schemes to try in this
    order.

    `insecure` are the hosts and networks to which passwords may go without TLS.
    """

    host: str
    repository: str
    schemes: tuple[str, ...] = ("https",)
    insecure: tuple[str, ...] = ()

    def may_send_secrets(self, url: str) -> bool:
        """Whether a password may go to `url`: over TLS, to this machine, or where the user has
        agreed to it without."""
        parts = urlsplit(url)
        return (
            parts.scheme == "https"
            or is_loopback(parts.netloc)
            or _is_agreed(parts.netloc, self.insecure)
        )


class Mirrors(NamedTuple):
    """Registry host (or `*`) → URL of the mirror that is asked in its place, without falling back
    to the origin.

    `bricks` is where our bricks are, `HOST[:PORT][/PATH]`: `compos/NAME` is asked for as
    `HOST/PATH/NAME`, and of no mirror; one of the public hub has what strangers put there.
    `insecure` are registries that may speak plain HTTP: HOST (with every port), HOST:PORT, or a
    network (10.0.0.0/8).
    """

    urls: Mapping[str, str] = MappingProxyType({})
    insecure: tuple[str, ...] = ()
    bricks: str = ""

    @classmethod
    def parse(
        cls,
        specifications: Iterable[str],
        environment: Mapping[str, str],
        insecure: Iterable[str] = (),
        bricks: str = "",
    ) -> Mirrors:
        """Read `REGISTRY=URL` and `URL` specifications; later ones win, and all win over
        `LINUXKIT_MIRROR`.

        `insecure` is added to what `COMPOS_INSECURE_REGISTRIES` names. Raises `ImageError`
        (`mirror-syntax`, `insecure-registry`, `bricks-registry`).
        """
        urls: dict[str, str] = {}
        for text in [*re.split(r"[,\s]+", environment.get(_VARIABLE, "")), *specifications]:
            if not text:
                continue
            name, equals, url = text.partition("=")
            # An equals sign may also stand inside a bare URL.
            if not equals or "://" in name:
                name, url = _ANY, text
            if name == NAMESPACE:
                raise ImageError(
                    "mirror-syntax",
                    f"{NAMESPACE} is no registry that could have a mirror",
                    place=without_secrets(text),
                    hint="Name the registry of bricks with --bricks HOST/PATH.",
                )
            try:
                web_address(url if name else "")
            except ComposError as error:
                raise ImageError(
                    "mirror-syntax",
                    "a mirror must be URL or REGISTRY=URL, with http:// or https://",
                    place=without_secrets(text),
                    hint="Write it as --mirror https://HOST or --mirror "
                    "REGISTRY=https://HOST/PREFIX.",
                ) from error
            for host in _covered(name):
                urls[host] = url
        agreed = [*re.split(r"[,\s]+", environment.get(_INSECURE_VARIABLE, "")), *insecure]
        insecure = tuple(_insecure(text) for text in agreed if text)
        return cls(urls, insecure, bricks and registry_of_bricks(bricks))

    def endpoint(self, reference: Reference) -> Endpoint:
        """Where `reference` is asked for; a mirror's path prefix becomes part of the repository."""
        host, repository = reference.origin
        if self.bricks and is_reserved(reference):
            host, _, path = self.bricks.partition("/")
            name = repository.removeprefix(f"{NAMESPACE}/")
            host = HUB_HOSTS[0] if host == HUB else host
            repository = f"{path}/{name}".lstrip("/")
            return Endpoint(host, repository, _schemes(host, self.insecure), self.insecure)
        url = self.urls.get(host) or self.urls.get(_ANY)
        if url is None:
            return Endpoint(host, repository, _schemes(host, self.insecure), self.insecure)
        parts = urlsplit(url)
        prefix = parts.path.strip("/")
        # User and password in a mirror's URL are not credentials: those come from the files of
        # docker and podman.
        netloc = parts.netloc.rpartition("@")[2]
        return Endpoint(
            netloc, f"{prefix}/{repository}".lstrip("/"), (parts.scheme,), self.insecure
        )


def registry_of_bricks(text: str) -> str:
    """A registry of bricks as the user wrote it, `HOST[:PORT][/PATH]`, without a slash at its end.
    Raises `ImageError` (`bricks-registry`)."""
    place = text.rstrip("/")
    # As long as no brick's name.
    reference = Reference.find(f"{place}/{'x' * 32}")
    if (
        reference is None
        or (reference.origin[0] in HUB_HOSTS and not place.startswith((HUB, *HUB_HOSTS)))
        or f"{reference.domain}/{reference.path}" != f"{place}/{'x' * 32}"
    ):
        raise ImageError(
            "bricks-registry",
            "the value is not a registry, or a path at a registry",
            place=without_secrets(text),
            hint="Write it as HOST[:PORT]/PATH, without https://.",
        )
    return place


def _covered(name: str) -> tuple[str, ...]:
    return (HUB, *HUB_HOSTS) if name.rstrip("/") == HUB else (name,)


def _insecure(text: str) -> str:
    """A registry that may speak plain HTTP, as the user wrote it. Raises `ImageError`
    (`insecure-registry`)."""
    if not (_network(text) if "/" in text else _host(text)):
        raise ImageError(
            "insecure-registry",
            "the value is not HOST, HOST:PORT or a network such as 10.0.0.0/8",
            place=without_secrets(text),
            hint="Write it as --insecure-registry HOST[:PORT], without http:// and path.",
        )
    return text.lower()


def _network(text: str) -> IPv4Network | IPv6Network | None:
    from ipaddress import ip_network

    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _host(netloc: str) -> str:
    """The name or number in HOST[:PORT]; empty when it is none."""
    try:
        parts = urlsplit(f"//{netloc}")
        # For its `ValueError`.
        _ = parts.port
    except ValueError:
        return ""
    return parts.hostname or "" if parts.netloc == netloc and "@" not in netloc else ""


def _address(netloc: str) -> IPv4Address | IPv6Address | None:
    from ipaddress import ip_address

    try:
        return ip_address(_host(netloc))
    except ValueError:
        return None


def _is_agreed(netloc: str, insecure: Iterable[str]) -> bool:
    """Whether HOST[:PORT] is among registries that may speak plain HTTP."""
    netloc = netloc.rpartition("@")[2].lower()
    names = (netloc, _host(netloc), f"[{_host(netloc)}]")
    address = _address(netloc)
    for one in insecure:
        network = _network(one) if "/" in one else None
        if one in names or (network is not None and address is not None and address in network):
            return True
    return False


def is_loopback(host: str) -> bool:
    """Whether `host` (with or without port) is this machine by name or number."""
    name = _host(host.rpartition("@")[2])
    address = _address(host.rpartition("@")[2])
    return address.is_loopback if address else name == "localhost" or name.endswith(".localhost")


def is_private(host: str) -> bool:
    """Whether `host` (with or without port) looks like one of a private network, where registries
    without TLS are."""
    address = _address(host)
    return address.is_private if address else _host(host).endswith((".local", ".lan", ".internal"))


def _schemes(host: str, insecure: Iterable[str] = ()) -> tuple[str, ...]:
    """TLS everywhere; plain HTTP on this machine (as Docker has it), and where the user agreed to
    it."""
    if is_loopback(host):
        # A plain server may wait long for the rest of a TLS greeting; one with TLS refuses plain
        # HTTP at once.
        return ("http", "https")
    return ("https", "http") if _is_agreed(host, insecure) else ("https",)
