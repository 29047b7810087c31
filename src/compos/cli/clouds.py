"""`compos clouds`: what compos has made in clouds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from compos.cli.settings import Settings, global_options

if TYPE_CHECKING:
    from datetime import timedelta

    from compos.cloud.model import Made

__all__ = ["clouds"]

LISTED = (
    "aws", "azure", "gcp", "openstack", "digitalocean", "hetzner", "scaleway", "vcenter",
)  # fmt: skip


@click.group
def clouds() -> None:
    """List and remove what compos has made in a cloud: images, snapshots, machines.

    Region, project and subscription are those of the environment, as for push and run.
    """


@clouds.command("list")
@click.argument("provider", type=click.Choice(LISTED))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document for each.")
@global_options
def list_made(provider: str, *, settings: Settings, as_json: bool) -> None:
    """List what has compos's tag."""
    from datetime import timedelta

    _collect(provider, timedelta(0), machines=True, remove=False, as_json=as_json)


@clouds.command
@click.argument("provider", type=click.Choice(LISTED))
@click.option("--older", metavar="AGE", required=True, help="Least age: 90m, 12h, 30d, 4w.")
@click.option("--machines", is_flag=True, help="Machines, too.")
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document for each.")
@global_options
def gc(
    provider: str, *, settings: Settings, older: str, machines: bool, dry_run: bool, as_json: bool
) -> None:
    """Remove images, and what pushes have left unfinished, that are older than AGE.

    Only what has compos's tag is looked at.
    """
    from compos.cloud.garbage import parse_age

    age = parse_age(older)
    _collect(provider, age, machines=machines, remove=not dry_run, as_json=as_json)


def _collect(provider: str, age: timedelta, *, machines: bool, remove: bool, as_json: bool) -> None:
    from datetime import UTC, datetime

    from compos.cloud.garbage import collect
    from compos.cloud.listing import listers

    def show(made: Made) -> None:
        document = {**made._asdict(), "created": made.created.isoformat()}
        state = "" if made.complete else " unfinished"
        text = f"{made.kind} {made.id} {made.name} {made.created:%Y-%m-%d %H:%M}{state}"
        click.echo(json.dumps(document) if as_json else text)

    found = listers(provider, machines=machines)
    collect(found, age, datetime.now(UTC), show, remove=remove)
