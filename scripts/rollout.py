"""Which machines a rollout has come to, as bricks/update/src/schedule.c decides it. Pure."""

from __future__ import annotations

__all__ = ["WHOLE", "place"]

WHOLE = 10_000
"""A machine's place is below this: at 25 %, those below 2500 take the version."""

_MASK = (1 << 64) - 1


def place(machine: str, version: str) -> int:
    """A machine's place in the order in which a version spreads: FNV-1a of both, each with a zero
    byte behind it, mixed by the finalizer of MurmurHash3."""
    value = 0xCBF29CE484222325
    for byte in f"{machine}\0{version}\0".encode():
        value = (value ^ byte) * 0x100000001B3 & _MASK
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        value = (value ^ value >> 33) * factor & _MASK
    return (value ^ value >> 33) % WHOLE
