"""What an unquoted YAML scalar is: LinuxKit's rules, between YAML 1.1 and 1.2
(docs/linuxkit.md#1.0). Pure."""

from __future__ import annotations

import re

__all__ = ["Value", "typed", "value_of"]

Value = str | int | float | bool | None
"""A scalar's value. Its Python type is its kind; whole numbers with a point or exponent are floats
here."""

WORDS: dict[str, Value] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
NUMBER_STARTS = frozenset("0123456789+-.")
MAX_DIGITS = 80
"""Characters of an integer, beyond 64 bits in any base; what is longer is a float."""

_INTEGER = re.compile(r"([-+]?)(?:0b([01]+)|0x([0-9a-fA-F]+)|0o?([0-7]+)|([1-9][0-9]*|0))")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BASES = (2, 16, 8, 10)


def value_of(text: str) -> Value:
    """The value of a plain (unquoted, untagged) scalar. `yes`, `on`, dates and `1:30` are strings
    here."""
    if text in WORDS:
        return WORDS[text]
    if text[0] not in NUMBER_STARTS:
        return text
    digits = text.replace("_", "")
    if (found := _INTEGER.fullmatch(digits)) and len(digits) <= MAX_DIGITS:
        for base, part in zip(_BASES, found.groups()[1:], strict=True):
            if part is not None:
                return int(found[1] + part, base)
    return float(digits) if _FLOAT.fullmatch(digits) else text


def typed(text: str, tag: str) -> Value:
    """The value of a scalar with the explicit core tag `tag` (`str`, `int`, ...). Raises
    `ValueError` when it has none."""
    if tag in ("str", "timestamp"):
        return text
    value = value_of(text)
    if tag == "float" and type(value) is int:
        return float(value)
    if {"int": int, "float": float, "bool": bool, "null": type(None)}.get(tag) is not type(value):
        raise ValueError
    return value
