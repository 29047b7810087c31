"""What this machine can do for compos, and what is missing: `compos doctor`.

May touch: the store; programs of this machine, which are asked for their versions, and QEMU, which
is run for a few seconds; the network (a request to each archive and registry).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from compos.api.access import Access
from compos.api.doctor.building import BUILDING
from compos.api.doctor.finding import Finding, Verdict, bounded
from compos.api.doctor.machines import MACHINES
from compos.api.doctor.publishing import PUBLISHING
from compos.api.options import ImageOptions

__all__ = ["Finding", "Verdict", "examine"]

Check = Callable[[Access], Sequence[Finding]]

CHECKS: tuple[Check, ...] = (*BUILDING, *MACHINES, *PUBLISHING)


def examine(options: ImageOptions = ImageOptions()) -> Iterator[Finding]:
    """The findings, one after the other as they are made. Nothing takes longer than a few seconds,
    but for a first test of KVM, whose verdict is kept."""
    access = Access(options)
    for check in CHECKS:
        yield from bounded(check, access)
