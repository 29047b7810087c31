"""Where each value of a merged system comes from. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compos.config.images import SECTIONS
from compos.config.model import Config, Mark

__all__ = ["origins"]


def origins(config: Config) -> dict[str, Mark]:
    """The place of every value, by its key path in the merged system (`services[2].binds[0]`)."""
    found = {f"init[{number}]": mark for number, mark in enumerate(config.init_marks)}
    if config.kernel is not None:
        found.update(_within("kernel", config.kernel.mark))
    for section in (*SECTIONS, "files", "volumes"):
        entries: tuple[Any, ...] = getattr(config, section)
        for number, entry in enumerate(entries):
            found.update(_within(f"{section}[{number}]", entry.mark))
    return found


def _within(path: str, mark: Mark) -> Iterator[tuple[str, Mark]]:
    for key, inner in (mark.inner or {}).items():
        yield f"{path}.{key}" if key else path, inner
