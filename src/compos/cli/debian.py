"""Which Debian archive bricks are made from: the flags that every verb has which may build one."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import NamedTuple, TypeVar

import click

from compos.api.options import ImageOptions
from compos.cli.settings import Settings, with_flags

__all__ = ["DebianMirrors", "debian_options", "snapshot_option"]

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

_SNAPSHOT = click.option(
    "--debian-snapshot",
    metavar="URL",
    help="Archive of the past, for locked Debian packages that the mirror does not have any more "
    "[COMPOS_DEBIAN_SNAPSHOT].",
)


class DebianMirrors(NamedTuple):
    """The flags, as given."""

    main: str | None
    security: str | None
    snapshot: str | None = None

    def over(self, settings: Settings) -> ImageOptions:
        """Where images come from by `settings`, with these mirrors for bricks."""
        return settings.images._replace(
            debian_mirror=self.main,
            debian_security_mirror=self.security,
            debian_snapshot=self.snapshot,
        )


def debian_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Add the flags to a command, which gets them as `debian`."""

    @wraps(function)
    def command(
        *,
        debian_mirror: str | None,
        debian_security_mirror: str | None,
        debian_snapshot: str | None = None,
        **others: object,
    ) -> Result:
        mirrors = DebianMirrors(debian_mirror, debian_security_mirror, debian_snapshot)
        return function(debian=mirrors, **others)

    return with_flags(command, _FLAGS)


def snapshot_option(function: Callable[..., Result]) -> Callable[..., Result]:
    """Add the flag of verbs that build what is locked; above `debian_options`, which takes it."""
    return _SNAPSHOT(function)
