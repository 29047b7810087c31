"""Everything that a report says of a system. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from compos.compose.system import Kept
from compos.config.images import SECTIONS
from compos.config.model import Config
from compos.report.difference import Difference
from compos.report.facts import FileFact, Package, Powers
from compos.report.overview import Duplicate, ImageUse, Update
from compos.report.sizes import Part
from compos.report.timeline import Stage

__all__ = ["Container", "Report", "containers_of"]


class Container(NamedTuple):
    """A container of the YAML; `needs` are the services that it waits for, each with what it waits
    for them to be (`started`, `healthy`, `completed`)."""

    section: str
    name: str
    image: str
    needs: tuple[tuple[str, str], ...]


class Report(NamedTuple):
    """A system: its parts with their sizes, its files, containers, packages and so on; `boot` is
    empty without a record of one, `since` is None without an earlier system to compare with, which
    `compared` names; where that could not be read, `not_compared` says why. `updates` is None
    unless they were looked for."""

    name: str
    architecture: str
    cmdline: str
    parts: tuple[Part, ...]
    files: Mapping[str, FileFact]
    images: tuple[ImageUse, ...]
    containers: tuple[Container, ...]
    powers: tuple[Powers, ...]
    packages: tuple[Package, ...]
    duplicates: tuple[Duplicate, ...]
    kept: tuple[Kept, ...]
    boot: tuple[Stage, ...] = ()
    since: Difference | None = None
    updates: tuple[Update, ...] | None = None
    compared: str = ""
    not_compared: str = ""


def containers_of(config: Config) -> Iterator[Container]:
    """The containers of the YAML, in its order."""
    for section in SECTIONS:
        for entry in getattr(config, section):
            needs = entry.settings.depends_on or {}
            yield Container(
                section,
                entry.name,
                entry.image,
                tuple(
                    (name, (one.condition or "service_started").removeprefix("service_"))
                    for name, one in needs.items()
                ),
            )
