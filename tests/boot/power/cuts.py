"""A disk as a power cut leaves it, made of the disk before and of what it was asked for."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.boot.power.recording import SECTOR, Recording, Request
from tests.boot.power.server import clear

__all__ = ["BLOCKS", "Cut", "Recorded", "copy"]

BLOCKS = (SECTOR, 4096)
"""What disks write as a whole: old ones a sector, today's eight of them."""


def copy(source: Path, target: Path) -> None:
    """Without the holes."""
    subprocess.run(["cp", "--sparse=always", str(source), str(target)], check=True)


@dataclass(frozen=True, slots=True)
class Cut:
    """When the power goes. Without a `seed` all that was answered is there, in its order; with one,
    it decides what becomes of each change that no flush has made durable: there, lost, or torn
    between blocks of `block` bytes, in which the disk writes."""

    moment: int
    seed: int | None = None
    block: int = SECTOR


@dataclass(frozen=True, slots=True)
class Recorded:
    """A scenario's disk before it, and what happened to it."""

    before: Path
    recording: Recording

    def cuts(self, seeds: int, stride: int = 1) -> Iterator[Cut]:
        """Every `stride`th moment: as it is, and with `seeds` random fates where any fate is open,
        for one size of block after the other."""
        for index, moment in enumerate(self.recording.moments()):
            if index % stride == 0:
                yield Cut(moment)
                if self.recording.pending_at(moment):
                    for seed in range(seeds):
                        block = BLOCKS[(index + seed) % len(BLOCKS)]
                        yield Cut(moment, 1000 * moment + seed, block)

    def make(self, cut: Cut, image: Path) -> None:
        """Writes the disk after `cut` to `image`."""
        copy(self.before, image)
        descriptor = os.open(image, os.O_RDWR)
        try:
            for change in self.left(cut):
                _apply(descriptor, change)
        finally:
            os.close(descriptor)

    def left(self, cut: Cut) -> Iterator[Request]:
        """The changes that are on the disk after `cut`, in their order."""
        changes = self.recording.changes()
        if cut.seed is None:
            yield from (change for change in changes if change.answered <= cut.moment)
            return
        draw = random.Random(cut.seed)
        durable = self.recording.durable_at(cut.moment)
        pending = set(self.recording.pending_at(cut.moment))
        for index, change in enumerate(changes):
            if index in durable:
                yield change
            elif index in pending:
                yield from _maybe(change, draw, cut.block)


def _apply(descriptor: int, change: Request) -> None:
    if change.length == 0:
        return
    if change.data is None:
        clear(descriptor, change.offset, change.length)
    else:
        os.pwrite(descriptor, change.data, change.offset)


def _maybe(change: Request, draw: random.Random, block: int) -> Iterator[Request]:
    """Whole, not at all, up to a block, or any of its blocks."""
    fate = draw.randrange(4)
    start, end = change.offset, change.offset + change.length
    bounds = [start, *range(start - start % block + block, end, block), end]
    if fate == 0:
        yield change
    elif fate == 1:
        yield _part(change, start, draw.choice(bounds))
    elif fate == 2:
        chosen = sorted(draw.choice(bounds) for _ in range(2 * min(len(bounds), 16)))
        for first, last in zip(chosen[::2], chosen[1::2], strict=True):
            yield _part(change, first, last)


def _part(change: Request, first: int, last: int) -> Request:
    """Of a change, the bytes of the disk from `first` to before `last`."""
    data = change.data
    if data is not None:
        data = data[first - change.offset : last - change.offset]
    return Request(change.kind, first, last - first, data, change.forced, change.came)
