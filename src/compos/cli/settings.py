"""Global flags: where the store is, mirrors, certificates, how much is said. Accepted before and
after the verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import NamedTuple, TypeVar

import click

from compos.api.options import ImageOptions, LoadOptions

__all__ = ["Settings", "global_options", "with_flags"]

Result = TypeVar("Result")


class Settings(NamedTuple):
    """Global flags: where images come from, and how much is said (0 to 3; None when not given)."""

    images: ImageOptions = ImageOptions()
    verbosity: int | None = None

    def over(self, base: Settings) -> Settings:
        """These flags (given after the verb) over those given before it."""
        own, other = self.images, base.images
        images = other._replace(
            cache=own.cache or other.cache,
            trust_cache=own.trust_cache or other.trust_cache,
            mirrors=(*other.mirrors, *own.mirrors),
            certificates=(*other.certificates, *own.certificates),
            insecure_registries=(*other.insecure_registries, *own.insecure_registries),
            bricks=own.bricks or other.bricks,
            bricks_key=own.bricks_key or other.bricks_key,
            policy=own.policy or other.policy,
        )
        return Settings(images, base.verbosity if self.verbosity is None else self.verbosity)

    def trusted(self, reading: LoadOptions) -> LoadOptions:
        """`reading` with the CA certificates that images are fetched with."""
        return reading._replace(certificates=self.images.certificates)


_FLAGS = (
    click.option(
        "--cache",
        metavar="DIR",
        help="Folder of the store [COMPOS_CACHE, LINUXKIT_CACHE, ~/.cache/compos].",
    ),
    click.option(
        "--trust-cache",
        is_flag=True,
        help="Use the store even if other users can write to it [COMPOS_TRUST_CACHE].",
    ),
    click.option(
        "--mirror",
        metavar="[REG=]URL",
        multiple=True,
        help="Registry mirror; repeatable [LINUXKIT_MIRROR].",
    ),
    click.option(
        "--cert-file", metavar="PEM", multiple=True, help="Additional CA certificates; repeatable."
    ),
    click.option(
        "--insecure-registry",
        metavar="HOST[:PORT]",
        multiple=True,
        help="Registry or network (10.0.0.0/8) for which plain HTTP is allowed, even with "
        "passwords; "
        "repeatable [COMPOS_INSECURE_REGISTRIES].",
    ),
    click.option(
        "--bricks",
        metavar="REGISTRY",
        help="Take bricks from a registry, HOST[:PORT]/PATH, instead of building them "
        "[COMPOS_BRICKS].",
    ),
    click.option(
        "--bricks-key",
        metavar="PEM",
        help="Public key that must have signed them [COMPOS_BRICKS_KEY].",
    ),
    click.option(
        "--policy",
        metavar="FILE",
        help="Who must have signed images, as containers-policy.json(5) has it [COMPOS_POLICY, "
        "~/.config/containers/policy.json, /etc/containers/policy.json].",
    ),
    click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
    click.option(
        "-v",
        "--verbose",
        type=click.IntRange(0, 3),
        metavar="N",
        help="Verbosity: 0 errors, 1 info, 2 debug, 3 trace [1].",
    ),
)


def global_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Add the global flags to a command, which gets them as `settings`; progress is shown from then
    on."""

    @wraps(function)
    def command(
        *,
        cache: str | None,
        trust_cache: bool,
        mirror: tuple[str, ...],
        cert_file: tuple[str, ...],
        insecure_registry: tuple[str, ...],
        bricks: str | None,
        bricks_key: str | None,
        policy: str | None,
        quiet: bool,
        verbose: int | None,
        **others: object,
    ) -> Result:
        from compos.cli import show

        if quiet and verbose:
            raise click.UsageError("--quiet and --verbose cannot be combined")
        root = Path(cache) if cache else None
        images = ImageOptions(
            root,
            trust_cache,
            mirror,
            cert_file,
            insecure_registry,
            bricks=bricks,
            bricks_key=bricks_key,
            policy=policy,
        )
        own = Settings(images, 0 if quiet else verbose)
        settings = own.over(click.get_current_context().find_root().obj or Settings())
        show.install(1 if settings.verbosity is None else settings.verbosity)
        return function(settings=settings, **others)

    return with_flags(command, _FLAGS)


def with_flags(
    function: Callable[..., Result], flags: Sequence[Callable[..., Callable[..., Result]]]
) -> Callable[..., Result]:
    """`function` with click's `flags`, shown in their order."""
    for flag in reversed(flags):
        function = flag(function)
    return function
