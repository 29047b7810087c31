"""Where a reference is really asked for: origin or mirror, host, scheme, repository.

Pure text. The rules are LinuxKit's (reference `yaml-and-build.md` sections 5.4 "Scheme" and 5.5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit

from compos.errors import ImageError
from compos.http import without_secrets
from compos.image.reference import HUB, HUB_HOSTS, NAMESPACE, Reference, is_reserved

__all__ = ["Endpoint", "Mirrors", "is_loopback"]

_ANY = "*"
_VARIABLE = "LINUXKIT_MIRROR"


class Endpoint(NamedTuple):
    """One repository of one registry: host with port, repository, and the schemes to try in this order."""

    host: str
    repository: str
    schemes: tuple[str, ...] = ("https",)


class Mirrors(NamedTuple):
    """Registry host (or `*`) → URL of the mirror that is asked in its place, without falling back to the origin.

    `compos` in place of a host names a registry of our bricks: a mirror of the public hub has what strangers put there.
    """

    urls: Mapping[str, str] = MappingProxyType({})

    @property
    def has_bricks(self) -> bool:
        """Whether the user named a registry of our bricks."""
        return NAMESPACE in self.urls

    @classmethod
    def parse(cls, specifications: Iterable[str], environment: Mapping[str, str]) -> Mirrors:
        """Read `REGISTRY=URL` and `URL` specifications; later ones win, and all win over `LINUXKIT_MIRROR`.

        Raises `ImageError` (`mirror-syntax`).
        """
        urls: dict[str, str] = {}
        for text in [*re.split(r"[,\s]+", environment.get(_VARIABLE, "")), *specifications]:
            if not text:
                continue
            name, equals, url = text.partition("=")
            # An equals sign may also stand inside a bare URL.
            if not equals or "://" in name:
                name, url = _ANY, text
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or not name:
                raise ImageError(
                    "mirror-syntax",
                    "a mirror is not written as URL or REGISTRY=URL, with http:// or https://",
                    place=without_secrets(url) if parts.hostname else text,
                    hint="Write it as --mirror https://HOST or --mirror REGISTRY=https://HOST/PREFIX.",
                )
            for host in _covered(name):
                urls[host] = url
        return cls(urls)

    def endpoint(self, reference: Reference) -> Endpoint:
        """Where `reference` is asked for; a mirror's path prefix becomes part of the repository."""
        host, repository = reference.origin
        own = self.urls.get(NAMESPACE) if is_reserved(reference) else None
        url = own or self.urls.get(host) or self.urls.get(_ANY)
        if url is None:
            return Endpoint(host, repository, _schemes(host))
        parts = urlsplit(url)
        prefix = parts.path.strip("/")
        # User and password in a mirror's URL are not credentials: those come from the files of docker and podman.
        return Endpoint(parts.netloc.rpartition("@")[2], f"{prefix}/{repository}".lstrip("/"), (parts.scheme,))


def _covered(name: str) -> tuple[str, ...]:
    return (HUB, *HUB_HOSTS) if name.rstrip("/") == HUB else (name,)


def is_loopback(host: str) -> bool:
    """Whether `host` (with or without port) is this machine by name or number."""
    from ipaddress import ip_address

    name = urlsplit(f"//{host}").hostname or ""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _schemes(host: str) -> tuple[str, ...]:
    """TLS everywhere, with plain HTTP allowed only where LinuxKit allows it (section 5.4)."""
    from ipaddress import IPv4Network, ip_address

    if is_loopback(host):
        # A plain server may wait long for the rest of a TLS greeting; one with TLS refuses plain HTTP at once.
        return ("http", "https")
    name = urlsplit(f"//{host}").hostname or ""
    local = name.endswith(".local")
    if re.fullmatch(r"[0-9.]+", name):
        private = [IPv4Network(network) for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
        try:
            local = any(ip_address(name) in network for network in private)
        except ValueError:
            local = False
    return ("https", "http") if local else ("https",)
