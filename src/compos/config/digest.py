"""A configuration's values as a digest: what a build is remembered under. Pure.

Every field of the model counts, by its position, but for `test`, which no build depends on. Places
(`Mark`) do not count: the same system written elsewhere is the same. It is made of JSON, whose
encoder is C, tells `None`, `()`, `true`, `1` and `"1"` apart, and is the same in every Python.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from compos.config import model
from compos.config.model import Config, Mark

__all__ = ["digest"]


def digest(config: Config) -> bytes:
    """SHA-256 (32 bytes) of every value in `config`. Raises `TypeError` for a type that the model
    does not have."""
    # Names and order of the fields: a field that takes the place of another one is not the same
    # value.
    shape = [getattr(model, name)._fields for name in model.__all__]
    document = (shape, _values(config._replace(test=None)))
    # Named tuples hold no circles: not looking for them saves a third.
    encoder = json.JSONEncoder(
        ensure_ascii=False,
        check_circular=False,
        allow_nan=False,
        separators=(",", ":"),
        default=_unknown,
    )
    text = encoder.encode(document)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _values(config: Config) -> list[Any]:
    """The sections; only they and their entries carry places."""
    return [_without_places(section) for section in config]


def _without_places(section: Any) -> Any:
    if isinstance(section, Config):
        return _values(section)
    if isinstance(section, Mark):
        return None
    if isinstance(section, Mapping):
        return {name: _without_places(value) for name, value in section.items()}
    if "mark" in getattr(section, "_fields", ()):
        return section._replace(mark=None)
    return [_without_places(entry) for entry in section] if isinstance(section, tuple) else section


def _unknown(value: object) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a configuration cannot hold {type(value).__name__}")
