"""Which Debian archive bricks are made from: the flags that every verb has which may build one."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import NamedTuple, TypeVar

import click

from compos.api.options import ImageOptions
from compos.cli.settings import Settings, with_flags

__all__ = ["DebianMirrors", "debian_options"]

Result = TypeVar("Result")

_FLAGS = (
    click.option(
        "--debian-mirror",
        metavar="URL",
        help="Debian mirror for bricks [COMPOS_DEBIAN_MIRROR, apt's].",
    ),
    click.option(
        "--debian-security-mirror",
        metavar="URL",
        help="Archive of Debian's security updates, or none [COMPOS_DEBIAN_SECURITY_MIRROR, "
        "apt's, or next to the mirror].",
    ),
)


class DebianMirrors(NamedTuple):
    """The flags, as given."""

    main: str | None
    security: str | None

    def over(self, settings: Settings) -> ImageOptions:
        """Where images come from by `settings`, with these mirrors for bricks."""
        return settings.images._replace(
            debian_mirror=self.main, debian_security_mirror=self.security
        )


def debian_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Add the flags to a command, which gets them as `debian`."""

    @wraps(function)
    def command(
        *, debian_mirror: str | None, debian_security_mirror: str | None, **others: object
    ) -> Result:
        return function(debian=DebianMirrors(debian_mirror, debian_security_mirror), **others)

    return with_flags(command, _FLAGS)
