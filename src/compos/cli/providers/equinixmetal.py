"""`compos push equinixmetal`: what became of it."""

from __future__ import annotations

import click

__all__ = ["push"]


@click.command("equinixmetal", context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED, expose_value=False, metavar="")
def push() -> None:
    """Say what became of Equinix Metal, which LinuxKit pushes to."""
    from compos.errors import CloudError

    raise CloudError(
        "cloud-gone",
        "Equinix Metal has ended: the service was shut down in June 2026",
        place="equinixmetal",
        hint="Boot machines of your own from compos serve: docs/tutorials/netboot.md.",
    )
