"""`compos schema`: the JSON schema of the YAML, for editors."""

from __future__ import annotations

import click

__all__ = ["schema"]


@click.command
def schema() -> None:
    """Print the JSON schema of the YAML, for editors and other programs.

    It is generated from the tables that check the YAML in a build.
    """
    import json

    from compos.config.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
