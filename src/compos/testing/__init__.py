"""Booted systems under test: in Python, by `test:` in their YAML, and as a plugin of pytest's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compos.testing.booted import Booted, Machine, boot

__all__ = ["Booted", "Machine", "boot"]


def __getattr__(name: str) -> Any:
    # The plugin is imported by every pytest, and this package with it.
    if name not in __all__:
        raise AttributeError(name)
    from compos.testing import booted

    return getattr(booted, name)
