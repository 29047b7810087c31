"""User and group ids: numbers, `root`, or the name of a container (docs/linuxkit.md#1.7). Pure."""

from __future__ import annotations

from collections.abc import Mapping

from compos.config.model import Config, Id
from compos.errors import ConfigError

__all__ = ["id_map", "resolve_id"]

FIRST = 100


def id_map(config: Config) -> dict[str, int]:
    """A number for each container, from 100, over onboot, onshutdown and services in order; the
    later of equals wins."""
    entries = (*config.onboot, *config.onshutdown, *config.services)
    return {entry.name: FIRST + number for number, entry in enumerate(entries)}


def resolve_id(value: Id | None, ids: Mapping[str, int]) -> int:
    """The number that `value` means. Names inside the image are never consulted. Raises
    `ConfigError`."""
    if value is None or value in ("", "root"):
        return 0
    if isinstance(value, int):
        return value
    if value not in ids:
        raise ConfigError(
            "config-id",
            f"{value!r} is not the name of a container",
            hint="Write a number without quotes, root, or the name of an onboot, onshutdown or "
            "services entry.",
        )
    return ids[value]
