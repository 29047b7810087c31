"""JSON that somebody else wrote, read in one place, bounded and with one kind of error; and the
spelling of what we write where a digest follows. Pure."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["MAX_JSON", "canonical_json", "parse_json"]

MAX_JSON = 16 << 20
"""Bytes of a document. The distribution specification has registries take manifests of 4 MiB; SBOMs
are longer, and say so."""


def parse_json(data: bytes | str, *, limit: int = MAX_JSON) -> Any:
    """The value of one JSON document (RFC 8259) of up to `limit` bytes.

    Raises `ValueError`, and nothing else: for what is no JSON or not UTF-8, too long, nested too
    deep, has a number of thousands of digits, or one of the constants that only Python knows
    (`NaN`).
    """
    if len(data) > limit:
        raise ValueError(f"it is longer than {limit} bytes")
    try:
        return json.loads(data, parse_constant=_refused)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def canonical_json(value: object) -> bytes:
    """The one spelling of `value`: keys sorted, no blanks, only ASCII. Equal values have equal
    bytes, so equal digests."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
