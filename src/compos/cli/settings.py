"""Global flags: where the store is, mirrors, certificates, how much is said. Accepted before and
after the verb."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

if TYPE_CHECKING:
    from compos.image.mirrors import Mirrors

__all__ = ["Settings", "global_options", "settings_of"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Settings(NamedTuple):
    """Global flags, as given."""

    cache: str | None = None
    mirror: tuple[str, ...] = ()
    cert_file: tuple[str, ...] = ()
    verbose: int = 1
    trust_cache: bool = False
    insecure_registry: tuple[str, ...] = ()

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Settings:
        """From click's parameters; raises `click.UsageError` when they contradict each other."""
        if options["quiet"] and options["verbose"]:
            raise click.UsageError("--quiet and --verbose exclude each other")
        verbose = (
            0 if options["quiet"] else (1 if options["verbose"] is None else options["verbose"])
        )
        return cls(
            options["cache"],
            options["mirror"],
            options["cert_file"],
            verbose,
            options["trust_cache"],
            options["insecure_registry"],
        )

    def over(self, base: Settings) -> Settings:
        """These flags (given after the verb) over those given before it."""
        return base._replace(
            cache=self.cache or base.cache,
            mirror=(*base.mirror, *self.mirror),
            cert_file=(*base.cert_file, *self.cert_file),
            insecure_registry=(*base.insecure_registry, *self.insecure_registry),
            verbose=self.verbose if self.verbose != 1 else base.verbose,
            trust_cache=self.trust_cache or base.trust_cache,
        )

    @property
    def store_root(self) -> Path:
        """Where the store is: the flag, else the variables, else the default."""
        from compos.image.store import default_root

        return Path(self.cache) if self.cache else default_root()

    @property
    def mirrors(self) -> Mirrors:
        """Mirrors, and registries that may speak plain HTTP. Raises `ImageError` for what cannot be
        understood."""
        from compos.image.mirrors import Mirrors

        return Mirrors.parse(self.mirror, os.environ, self.insecure_registry)

    @property
    def certificates(self) -> tuple[str, ...]:
        """PEM files of additional CAs."""
        return self.cert_file


_OPTIONS = (
    click.option(
        "--cache",
        metavar="DIR",
        help="Store of images [COMPOS_CACHE, LINUXKIT_CACHE, ~/.cache/compos].",
    ),
    click.option(
        "--trust-cache",
        is_flag=True,
        help="Use it though other users can write to it [COMPOS_TRUST_CACHE].",
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
        help="Registry (or network, 10.0.0.0/8) that may speak plain HTTP, passwords included; "
        "repeatable"
        " [COMPOS_INSECURE_REGISTRIES].",
    ),
    click.option("-q", "--quiet", is_flag=True, help="Say errors only."),
    click.option(
        "-v",
        "--verbose",
        type=click.IntRange(0, 3),
        metavar="N",
        help="0 errors, 1 info, 2 debug, 3 trace.",
    ),
)


def global_options(function: Decorated) -> Decorated:
    """Add the global flags to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def settings_of(options: dict[str, Any]) -> Settings:
    """The flags that hold for a verb; takes its own out of `options`, and starts showing
    progress."""
    from compos.cli import show

    names = ("cache", "mirror", "cert_file", "quiet", "verbose", "trust_cache", "insecure_registry")
    own = Settings.from_options({name: options.pop(name) for name in names})
    settings = own.over(click.get_current_context().find_root().obj or Settings())
    show.install(settings.verbose)
    return settings
