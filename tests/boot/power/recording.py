"""What a disk was asked to change, request by request, and which of it has to be there after a
power cut."""

from __future__ import annotations

import bisect
import threading
from dataclasses import dataclass, field

__all__ = ["SECTOR", "Recording", "Request"]

SECTOR = 512
"""Bytes that a disk writes as a whole or not at all."""


@dataclass(slots=True)
class Request:
    """A write, a flush, or a discard. Two moments say when it came and when it was answered: those
    of all requests are one sequence. Without `data`, `length` bytes from `offset` become zeros, if
    there are any; a `forced` write (FUA) is on the medium when it is answered.
    """

    kind: str
    offset: int
    length: int
    data: bytes | None
    forced: bool
    came: int
    answered: int = 0


@dataclass(slots=True)
class Recording:
    """All requests in the order in which they came; `moment` is the last that has passed. Several
    disks of one machine may share a recording: their threads take turns."""

    requests: list[Request] = field(default_factory=list)
    moment: int = 0
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def begin(
        self, kind: str, offset: int, length: int, data: bytes | None, *, forced: bool
    ) -> Request:
        """A request has come."""
        with self._turn:
            self.moment += 1
            request = Request(kind, offset, length, data, forced, self.moment)
            self.requests.append(request)
            return request

    def end(self, request: Request) -> None:
        """A request has been answered, without an error."""
        with self._turn:
            self.moment += 1
            request.answered = self.moment

    def changes(self) -> list[Request]:
        """The answered requests that change something."""
        return [one for one in self.requests if one.answered and one.kind != "flush"]

    def moments(self) -> list[int]:
        """Before everything, and when each request was answered, flushes among them: between two
        of these nothing changes."""
        return [0, *sorted(one.answered for one in self.requests if one.answered)]

    def durable_at(self, moment: int) -> set[int]:
        """Which of `changes`, by index, no power cut at `moment` can take back.

        A flush makes durable what was answered before it came, once it is answered itself: what
        was under way meanwhile may or may not be.
        """
        flushes = [one for one in self.requests if one.kind == "flush" and one.answered > 0]
        came = [one.came for one in flushes if one.answered <= moment]
        last = max(came, default=0)
        return {
            index
            for index, one in enumerate(self.changes())
            if one.answered < last or (one.forced and one.answered <= moment)
        }

    def pending_at(self, moment: int) -> list[int]:
        """Which of `changes`, by index and in their order, the disk has been asked for but may
        lose."""
        durable = self.durable_at(moment)
        return [
            index
            for index, one in enumerate(self.changes())
            if one.came <= moment and index not in durable
        ]

    def before(self, moment: int) -> int:
        """How many of `changes` were answered at `moment`."""
        return bisect.bisect_right([one.answered for one in self.changes()], moment)
