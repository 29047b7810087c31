"""What an unquoted YAML scalar is: LinuxKit's rules, between YAML 1.1 and 1.2 (reference 1.0). Pure."""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["Kind", "integer", "kind_of"]

Kind = Literal["null", "boolean", "integer", "number", "string"]

_NULL = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "True", "TRUE"}
_FALSE = {"false", "False", "FALSE"}
_INTEGER = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o[0-7_]+|[0-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def kind_of(text: str) -> Kind:
    """The type of a plain (unquoted, untagged) scalar. `yes`, `on`, dates and `1:30` are strings here."""
    if text in _NULL:
        return "null"
    if text in _TRUE or text in _FALSE:
        return "boolean"
    if _INTEGER.fullmatch(text):
        return "integer"
    return "number" if _FLOAT.fullmatch(text) else "string"


def integer(text: str) -> int:
    """The value of a scalar of kind integer: `0644` is octal, `08` is eight, underscores separate digits."""
    digits = text.replace("_", "").lstrip("+-")
    sign = -1 if text.startswith("-") else 1
    if re.fullmatch(r"0[0-7]+", digits):
        return sign * int(digits, 8)
    if re.fullmatch(r"[0-9]+", digits):
        return sign * int(digits)
    return sign * int(digits, 0)
