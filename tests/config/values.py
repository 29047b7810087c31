"""Values of the model, made from its types: a field that somebody adds is tried without a line here,
and a new type fails."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

from compos.config.model import Config, Mark, Settings

__all__ = ["records", "variants"]


def variants(hint: Any) -> Iterator[Any]:
    """Values of a type, all different from each other; the first one is full."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Mark:
        yield Mark("a.yml", 1, 1)
    elif origin in (Union, types.UnionType):
        for argument in arguments:
            yield from variants(argument)
    elif origin is tuple:
        first = next(variants(arguments[0]))
        yield from ((first,), (), (first, first))
        yield from ((other,) for other in variants(arguments[0]) if other != first)
    elif hint in (Settings, Config) or hasattr(hint, "_fields"):
        yield from records(hint)
    elif origin is Mapping:
        values = (
            list(variants(arguments[1]))
            if arguments[1] is not Config
            else [Config(init=("a",)), Config()]
        )
        yield from ({"key": value} for value in values)
        yield from ({"other": values[0]}, {})
    else:
        known: dict[Any, tuple[Any, ...]] = {
            str: ("text", "", "1", "None", "null"),
            int: (1, 0, -1, 2**64),
            bool: (True, False),
            type(None): (None,),
        }
        yield from known[hint]


def records(kind: Any) -> Iterator[Any]:
    hints = get_type_hints(kind)
    full = kind(**{name: next(variants(hint)) for name, hint in hints.items()})
    yield full
    for name, hint in hints.items():
        if name not in ("mark", "init_marks"):
            first = getattr(full, name)
            yield from (
                full._replace(**{name: other})
                for other in variants(hint)
                if other != first or type(other) is not type(first)
            )
