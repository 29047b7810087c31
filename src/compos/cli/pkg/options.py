"""Flags that several verbs of `compos pkg` have."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TypeVar

import click

from compos.cli.settings import with_flags
from compos.package.naming import Naming

__all__ = ["accept_common_flags", "naming_options", "org_option", "package_options"]

Result = TypeVar("Result")

org_option = click.option(
    "--org",
    envvar="LINUXKIT_PKG_ORG",
    metavar="NAME",
    help="Organisation to use instead of the packages' own [LINUXKIT_PKG_ORG].",
)

_FLAGS = (
    click.option(
        "--build-yml",
        metavar="NAME",
        default="build.yml",
        show_default=True,
        help="File in the package's folder that describes it.",
    ),
    org_option,
    click.option(
        "--tag",
        metavar="TEMPLATE",
        help="Tag to use instead of the packages' own; {{.Hash}} is the hash.",
    ),
    click.option("--hash", "digest", metavar="TEXT", help="Hash to use instead of git's."),
    click.option(
        "--hash-commit",
        metavar="REV",
        default="HEAD",
        show_default=True,
        help="Commit whose tree is hashed; only HEAD can be built.",
    ),
    click.option("--hash-path", metavar="DIR", help="Folder to hash [the package's]."),
    click.option("--force-dirty", is_flag=True, help="Take the package as changed since HEAD."),
    click.option(
        "--dev", is_flag=True, help="Use the user's name as organisation and dev as hash."
    ),
)

_SWITCHES = (
    *("--dev", "--force-dirty", "--disable-cache", "--enable-cache"),
    *("--network", "--nonetwork"),
)
_VALUES = (
    *("--build-yml", "--org", "--tag", "--hash", "--hash-commit", "--hash-path"),
    "--registry-creds",
)
"""What LinuxKit has for all verbs (docs/linuxkit.md#cli-2.3)."""

_CONTENT_FLAGS = (
    click.option(
        "--dockerfile",
        metavar="PATH",
        help="Dockerfile in the package's folder [that of build.yml, Dockerfile].",
    ),
    click.option(
        "--build-arg-file",
        metavar="FILE",
        multiple=True,
        help="File with build arguments for Dockerfiles, NAME=VALUE lines; repeatable.",
    ),
)


def naming_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Add the flags that name packages to a command, which gets them as `naming`."""

    @wraps(function)
    def command(
        *,
        build_yml: str,
        org: str | None,
        tag: str | None,
        digest: str | None,
        hash_commit: str,
        hash_path: str | None,
        force_dirty: bool,
        dev: bool,
        **others: object,
    ) -> Result:
        naming = Naming(
            build_yml=build_yml,
            org=_developer() if dev and not org else org,
            tag=tag,
            hash=digest or "",
            hash_commit=hash_commit,
            hash_path=Path(hash_path) if hash_path else None,
            force_dirty=force_dirty,
            dev=dev,
        )
        return function(naming=naming, **others)

    return with_flags(command, _FLAGS)


def package_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Add the flags of `naming_options`, and those that say what a Dockerfile's package is made
    of, to a command, which gets them as `naming`."""

    @wraps(function)
    def command(
        *,
        naming: Naming,
        dockerfile: str | None,
        build_arg_file: tuple[str, ...],
        **others: object,
    ) -> Result:
        files = tuple(Path(path) for path in build_arg_file)
        naming = naming._replace(dockerfile=dockerfile, argument_files=files)
        return function(naming=naming, **others)

    return naming_options(with_flags(command, _CONTENT_FLAGS))


def accept_common_flags(command: click.Command) -> None:
    """Let a verb have the flags that all verbs of LinuxKit's `pkg` have, without effect where it
    has no use for them: scripts pass the same ones to all."""
    known = {name for one in command.params for name in one.opts}
    command.params += [
        click.Option([name], is_flag=name in _SWITCHES, hidden=True, expose_value=False)
        for name in (*_SWITCHES, *_VALUES)
        if name not in known
    ]


def _developer() -> str:
    import os

    user = os.environ.get("USER")
    if not user:
        raise click.UsageError("--dev needs the user's name in USER, or --org")
    return user
