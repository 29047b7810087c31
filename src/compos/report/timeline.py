"""A boot as stages, from what the console has shown: the kernel's times, and those of init. Pure.

The console's text may be a stranger's: lines that are not understood are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["Stage", "boot_stages"]

MAX_STAGES = 2000

_NUMBER = r"(\d{1,6}(?:\.\d{1,9})?)"
_KERNEL = (
    ("kernel", re.compile(rf"^\[ *{_NUMBER}\] Trying to unpack rootfs")),
    ("unpacking of the initrd", re.compile(rf"^\[ *{_NUMBER}\] Freeing initrd memory")),
    ("rest of the kernel", re.compile(rf"^\[ *{_NUMBER}\] Run /init")),
)
_BOOT = re.compile(rf"compos: boot done at {_NUMBER} s")
_ONBOOT = re.compile(rf"compos: onboot (\S{{1,200}}) done at {_NUMBER} s")
_STARTED = re.compile(rf"compos: service (\S{{1,200}}) started at {_NUMBER} s")
_HEALTHY = re.compile(rf"compos: service (\S{{1,200}}) (?:is )?healthy at {_NUMBER} s")


class Stage(NamedTuple):
    """What took from `start` to `end`, in seconds since the kernel's start."""

    name: str
    start: float
    end: float


def boot_stages(console: str) -> tuple[Stage, ...]:
    """The stages that a console's text tells of, in their order."""
    return tuple(_stages(_lines(console)))


def _lines(console: str) -> Iterator[str]:
    for line in console.split("\n"):
        yield line.strip("\r ")[:1000]


def _stages(lines: Iterable[str]) -> Iterator[Stage]:
    last = 0.0
    services = 0.0
    found = 0
    for line in lines:
        stage: Stage | None = None
        for name, pattern in _KERNEL:
            if match := pattern.match(line):
                stage = Stage(name, last, float(match[1]))
        if match := _BOOT.search(line):
            stage = Stage("init: mounts, drivers, containerd", last, float(match[1]))
        elif match := _ONBOOT.search(line):
            stage = Stage(f"onboot: {match[1]}", last, float(match[2]))
        elif match := _STARTED.search(line):
            # Services start beside each other, when onboot has ended.
            services = services or last
            yield Stage(f"service {match[1]} started", services, float(match[2]))
            found += 1
        elif match := _HEALTHY.search(line):
            yield Stage(f"service {match[1]} healthy", services, float(match[2]))
            found += 1
        if stage and stage.end >= last and not services:
            yield stage
            last = stage.end
            found += 1
        if found >= MAX_STAGES:
            return
