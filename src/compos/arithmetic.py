"""Rounding up, which every on-disk format does: to whole blocks, clusters, sectors. Pure.

Values are not negative, units are positive.
"""

from __future__ import annotations

__all__ = ["align_up", "ceil_div"]


def ceil_div(value: int, unit: int) -> int:
    """How many units hold `value`."""
    return -(-value // unit)


def align_up(value: int, unit: int) -> int:
    """The next multiple of `unit` that is not less than `value`."""
    return -(-value // unit) * unit
