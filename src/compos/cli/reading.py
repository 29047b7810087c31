"""Flags of verbs that read the system's YAML, and reading it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

if TYPE_CHECKING:
    from compos.config.model import Config
    from compos.image.platform import Platform
    from compos.package.local import LocalPackages

__all__ = ["Reading", "read_system", "reading_options"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--arch", metavar="ARCH", help="amd64, arm64 or riscv64 [this machine's]."),
    click.option(
        "--set",
        "variables",
        multiple=True,
        metavar="NAME=VALUE",
        help="Set a variable; repeatable.",
    ),
    click.option(
        "--allow-local-files",
        is_flag=True,
        help="Let YAML from the network name files, packages and images of this machine.",
    ),
    click.option(
        "--env-file",
        "env_files",
        multiple=True,
        metavar="FILE",
        help="Variables from a file; repeatable.",
    ),
)


class Reading(NamedTuple):
    """A system as its YAML says, the platform that it is for, and the packages that it names by
    their folders."""

    config: Config
    platform: Platform
    local: LocalPackages


def reading_options(function: Decorated) -> Decorated:
    """Add the flags to a command; they are `arch`, `variables`, `env_files` and
    `allow_local_files`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def read_system(sources: tuple[str, ...], options: dict[str, Any]) -> Reading:
    """Read `sources` with what the flags in `options` say. Raises `ComposError`."""
    from compos.config.load import load
    from compos.config.variables import given_variables
    from compos.image.platform import Platform
    from compos.package.local import LocalPackages

    platform = Platform.named(options["arch"]) if options["arch"] else Platform.host()
    local = LocalPackages(allow_local_files=options["allow_local_files"])
    given = given_variables(options["variables"], options["env_files"])
    config = load(
        sources,
        architecture=platform.architecture,
        variables=given,
        rename=local.rename,
        allow_local_files=options["allow_local_files"],
    )
    return Reading(config, platform, local)
