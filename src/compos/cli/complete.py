"""What a shell offers for words that are no flags: guests and their services, images of the store,
formats, files. Nothing is offered where nothing can be found out.

May touch: the runtime folder, the store's index (both reading); asks a guest for its services.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = [
    "complete_file",
    "complete_format",
    "complete_guest",
    "complete_image",
    "complete_service",
]

SERVICES = "/run/compos/status.json"
SHORT = ("docker.io/library/", "docker.io/")
"""What nobody types in front of an image's name."""


def complete_guest(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """The names of running guests."""
    from compos.run.guests import guests

    return [
        guest.record.name
        for guest in guests()
        if guest.runs and guest.record.name.startswith(typed)
    ]


def complete_service(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """The services of the guests in which commands can be run."""
    import json

    from compos.errors import ComposError
    from compos.run.guests import guests
    from compos.run.remote import read_file

    found: set[str] = set()
    for guest in guests():
        if guest.runs and guest.record.exec:
            try:
                found.update(str(one["name"]) for one in json.loads(read_file(guest, SERVICES)))
            except (ComposError, ValueError, KeyError, TypeError):
                continue
    return sorted(name for name in found if name.startswith(typed))


def complete_image(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """Names of the store's images, in full or as they are typed."""
    from compos.api.access import Access
    from compos.api.options import ImageOptions
    from compos.errors import ComposError
    from compos.image.store import REF_NAME

    try:
        entries = Access(ImageOptions()).store.entries()
        names = {name for one in entries if (name := one.annotations.get(REF_NAME))}
    except ComposError:
        return []
    short = typed.startswith("docker.io/")
    return sorted(
        one for name in names if (one := name if short else _short(name)).startswith(typed)
    )


def _short(name: str) -> str:
    for prefix in SHORT:
        name = name.removeprefix(prefix)
    return name


def complete_format(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """Formats of outputs; behind a comma, one more of them."""
    from compos.output.formats import FORMATS

    before, comma, last = typed.rpartition(",")
    said = before.split(",")
    return [
        f"{before}{comma}{name}"
        for name in sorted(FORMATS)
        if name.startswith(last) and name not in said
    ]


def complete_file(
    context: click.Context, parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Files, which the shell knows."""
    # Not at the top: only shells need it.
    from click.shell_completion import CompletionItem

    return [CompletionItem(typed, type="file")]
