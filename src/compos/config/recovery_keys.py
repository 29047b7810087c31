"""What `disk` and `slots` both say of a TPM that does not release a key. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from compos.config.check import Complaint
from compos.config.kinds import Text, key

if TYPE_CHECKING:
    from compos.config.model import Disk, Slots

__all__ = ["OTHERWISE", "answerable"]

OTHERWISE = key(
    "otherwise",
    Text(choices=("ask", "halt")),
    "What happens if the TPM does not release the key: ask for the recovery key, or halt "
    "[ask, or halt without a recovery key].",
)


def answerable(given: Disk | Slots, id: str) -> Iterator[Complaint]:
    """Whoever is asked for a recovery key must have one."""
    if given.recovery is False and given.otherwise == "ask":
        yield Complaint(
            id,
            "there is no recovery key to ask for",
            "Remove `recovery: false`, or write `otherwise: halt`.",
            "otherwise",
        )
