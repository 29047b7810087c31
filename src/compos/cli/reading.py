"""Flags of verbs that read the system's YAML."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Literal, TypeVar

import click

from compos.api.options import LoadOptions
from compos.cli.settings import with_flags

__all__ = ["reading_options"]

Result = TypeVar("Result")

_FLAGS = (
    click.option(
        "--arch",
        metavar="ARCH",
        help="Target architecture: amd64, arm64 or riscv64 [this machine's]. Builds and locks "
        "may have several, separated by commas.",
    ),
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
        help="Allow YAML from the network to use files, packages and images of this machine.",
    ),
    click.option(
        "--bricks-for",
        type=click.Choice(("linuxkit",)),
        help="Use our bricks where the YAML names LinuxKit's packages.",
    ),
    click.option(
        "--packages",
        type=click.Path(),
        multiple=True,
        metavar="DIR",
        envvar="COMPOS_PACKAGES",
        help="Folder with packages whose images the YAML may name; repeatable [COMPOS_PACKAGES].",
    ),
    click.option(
        "--env-file",
        "env_files",
        multiple=True,
        metavar="FILE",
        help="Read variables from a file; repeatable.",
    ),
)


def reading_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Add the flags to a command, which gets them as `reading`."""

    @wraps(function)
    def command(
        *,
        arch: str | None,
        variables: tuple[str, ...],
        env_files: tuple[str, ...],
        allow_local_files: bool,
        bricks_for: Literal["linuxkit"] | None,
        packages: tuple[str, ...],
        **others: object,
    ) -> Result:
        from compos.config.variables import given_variables

        given = given_variables(variables, env_files)
        reading = LoadOptions(arch, given, allow_local_files, bricks_for, packages=packages)
        return function(reading=reading, **others)

    return with_flags(command, _FLAGS)
