"""`compos push`: images into clouds and registries."""

from __future__ import annotations

import click

from compos.cli.providers import PROVIDERS, provider_command
from compos.suggestion import did_you_mean

__all__ = ["push"]


class Providers(click.Group):
    """A group that imports a provider only when it is named."""

    def list_commands(self, context: click.Context) -> list[str]:
        """All providers."""
        return list(PROVIDERS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The provider's command."""
        return provider_command(name, "push")

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, naming the providers."""
        if args and args[0] not in PROVIDERS:
            hint = did_you_mean(args[0], PROVIDERS, f"Use one of: {', '.join(PROVIDERS)}.")
            raise click.UsageError(f"no provider {args[0]!r}. {hint}", context)
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of providers: help must not import them."""
        with formatter.section("Providers"):
            formatter.write_dl(list(PROVIDERS.items()))


@click.group(cls=Providers)
def push() -> None:
    """Push an image to a cloud or a registry.

    SOURCE is YAML, which is built first, or what was built before: a file or its prefix.
    """
