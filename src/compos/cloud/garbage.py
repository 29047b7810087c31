"""What compos has made in a cloud, and what of it may go.

May touch: the cloud, through what lists and removes there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from compos.cloud.model import Made
from compos.errors import CloudError

__all__ = ["Lister", "collect", "parse_age"]

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Lister(NamedTuple):
    """What lists things of a cloud, and what removes one of them."""

    made: Callable[[], Iterable[Made]]
    remove: Callable[[Made], None]


class _Show(Protocol):
    def __call__(self, made: Made, /) -> None: ...


def parse_age(text: str) -> timedelta:
    """An age such as `90m`, `12h`, `30d` or `4w`. Raises `CloudError` (`cloud-option`)."""
    match = re.fullmatch("([0-9]{1,5})([mhdw])", text)
    if match is None:
        raise CloudError(
            "cloud-option",
            f"{text!r} is no age",
            hint="Write it as a number of minutes, hours, days or weeks: 90m, 12h, 30d, 4w.",
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def collect(
    listers: Sequence[Lister], older: timedelta, now: datetime, show: _Show, *, remove: bool
) -> int:
    """Show what is at least as old as `older`, and remove it if that is asked for; returns how many
    there are. Only what has compos's tag is listed at all. Raises `CloudError`."""
    count = 0
    for lister in listers:
        # All are listed before one is removed: providers list page by page.
        # A cloud's clock may be ahead of ours, and some do not tell a time: nothing is younger than
        # new.
        listed = list(lister.made())
        for made in [one for one in listed if max(now - one.created, timedelta(0)) >= older]:
            show(made)
            if remove:
                lister.remove(made)
            count += 1
    return count
