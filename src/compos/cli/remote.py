"""Flags of verbs that share results with other machines: which remote caches, and whose."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import click

from compos.api.options import RemoteOptions
from compos.cli.settings import with_flags

__all__ = ["remote_options"]

Result = TypeVar("Result")

FROM, TO, KEY = "COMPOS_CACHE_FROM", "COMPOS_CACHE_TO", "COMPOS_CACHE_KEY"

_FLAGS = (
    click.option(
        "--cache-from",
        metavar="NAME",
        multiple=True,
        help="Take results from a remote cache, HOST[:PORT]/PATH[:TAG]; repeatable "
        f"[{FROM}, separated by blanks].",
    ),
    click.option(
        "--cache-to",
        metavar="NAME",
        help=f"Fill a remote cache with the results of this build [{TO}].",
    ),
    click.option(
        "--cache-key",
        metavar="PEM",
        help="Private key of the cache, or for --cache-from alone the public one "
        f"[{KEY}: a file or the key itself].",
    ),
)


def remote_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Add these flags to a command, which gets them as `remote`."""

    @wraps(function)
    def command(
        *,
        cache_from: tuple[str, ...],
        cache_to: str | None,
        cache_key: str | None,
        **others: object,
    ) -> Result:
        if cache_key and not (cache_from or cache_to or os.environ.get(FROM) or os.environ.get(TO)):
            raise click.UsageError("--cache-key requires --cache-from or --cache-to")
        remote = RemoteOptions(
            cache_from or tuple(os.environ.get(FROM, "").split()),
            cache_to or os.environ.get(TO) or None,
            cache_key or os.environ.get(KEY) or None,
        )
        return function(remote=remote, **others)

    return with_flags(command, _FLAGS)
