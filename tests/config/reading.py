"""Short ways to read YAML in tests: what it says, and which mistakes it has."""

from __future__ import annotations

from typing import Any

from compos.config.load import load
from compos.config.model import Config, Settings
from compos.errors import CombinedError, ComposError


def config(text: str | bytes) -> Config:
    """What `text` says."""
    data = text.encode() if isinstance(text, str) else text
    return load(["-"], stdin=lambda: data)


def errors(text: str | bytes) -> list[ComposError]:
    """The mistakes in `text`, in order."""
    try:
        config(text)
    except CombinedError as error:
        return list(error.errors)
    except ComposError as error:
        return [error]
    return []


def mistakes(text: str | bytes) -> list[tuple[str, str]]:
    """Id and place (without the source's name) of each mistake in `text`."""
    return [
        (error.id, (error.place or "").removeprefix("<stdin>").removeprefix(":"))
        for error in errors(text)
    ]


def settings(fields: str) -> Settings:
    """The settings of a service with `fields` (in flow style)."""
    return config(f"services: [{{name: a, image: b, {fields}}}]").services[0].settings


def setting(name: str, fields: str) -> Any:
    """One of them."""
    return getattr(settings(fields), name)


def ids(fields: str) -> list[str]:
    """The mistakes' ids of a service with `fields`."""
    return [error.id for error in errors(f"services: [{{name: a, image: b, {fields}}}]")]
