"""`compos completion`: what shells need to complete commands and flags."""

from __future__ import annotations

import click

__all__ = ["completion"]

SHELLS = ("bash", "zsh", "fish")


@click.command
@click.argument("shell", type=click.Choice((*SHELLS, "powershell")))
def completion(shell: str) -> None:
    """Print the completion script for a shell.

    Use it with: source <(compos completion bash)
    """
    if shell not in SHELLS:
        raise click.UsageError(f"no completion for {shell}; supported shells: {', '.join(SHELLS)}")
    from click.shell_completion import get_completion_class

    from compos.cli.main import cli

    made = get_completion_class(shell)
    assert made is not None  # noqa: S101  click has all of SHELLS
    click.echo(made(cli, {}, "compos", "_COMPOS_COMPLETE").source())
