"""Records of guests."""

from __future__ import annotations

from dataclasses import replace

from compos.run.guests import Record

__all__ = ["record"]


def record(name: str, **fields: object) -> Record:
    """The record of a guest that nobody has started."""
    base = Record(name, "/os", "/os-state", "x86_64", 1024, 1, 1.0, exec=True)
    return replace(base, **fields)  # type: ignore[arg-type]
