"""Which Debian archive bricks are made from: the flags that every verb has which may build one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

__all__ = ["DebianMirrors", "debian_mirrors", "debian_options"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class DebianMirrors(NamedTuple):
    """The flags, as given."""

    main: str | None = None
    security: str | None = None


_OPTIONS = (
    click.option(
        "--debian-mirror",
        metavar="URL",
        help="Debian mirror for bricks [COMPOS_DEBIAN_MIRROR, apt's].",
    ),
    click.option(
        "--debian-security-mirror",
        metavar="URL",
        help="Archive of its security updates, or none [COMPOS_DEBIAN_SECURITY_MIRROR, apt's, "
        "beside the mirror].",
    ),
)


def debian_options(function: Decorated) -> Decorated:
    """Add the flags to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def debian_mirrors(options: dict[str, Any]) -> DebianMirrors:
    """The flags of a verb, taken out of `options`."""
    return DebianMirrors(options.pop("debian_mirror"), options.pop("debian_security_mirror"))
