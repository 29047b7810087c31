"""What a booted system uses: memory, processor time, processes, restarts, the time of its boot.

May touch: asks the guest for its kernel's counters. Sources: Linux's proc(5) (meminfo, stat) and
Documentation/admin-guide/cgroup-v2.rst. What the guest says may be a stranger's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from compos.errors import RunError

__all__ = ["Metrics", "ServiceMetrics", "measure"]

TICKS = 100
"""Units of /proc/stat in a second (USER_HZ, on every architecture)."""

_CONTROL_GROUPS = "/sys/fs/cgroup"


@dataclass(frozen=True, slots=True)
class ServiceMetrics:
    """What a service uses: bytes of memory now and at most, with its page cache; seconds of
    processor time; processes; `started` is in seconds since the kernel's start. Of one that does
    not run only `restarts` and `started` are not 0."""

    memory: int
    memory_peak: int
    cpu: float
    processes: int
    restarts: int
    started: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """What the system uses: bytes of memory that nobody else could have, seconds of processor time,
    all services' restarts; `boot` is in seconds, from the kernel's start until the last service was
    started."""

    memory: int
    cpu: float
    restarts: int
    boot: float
    services: Mapping[str, ServiceMetrics]


def measure(services: Mapping[str, Mapping[str, Any]], read: Callable[[str], bytes]) -> Metrics:
    """The metrics of a system with these services (as `svc ps --json` has them); `read` gives the
    contents of a file in its root. Raises what `read` raises, and `RunError`
    (`metrics-unreadable`), as for a system with control groups of version 1."""
    found = {name: _service(state, read) for name, state in services.items()}
    memory = _fields("/proc/meminfo", read)
    cpu = [_integer(text, "/proc/stat") for text in _fields("/proc/stat", read).get("cpu", ())]
    return Metrics(
        (_number(memory, "MemTotal:") - _number(memory, "MemAvailable:")) * 1024,
        # user, nice, system; idle and iowait; irq, softirq
        sum((*cpu[:3], *cpu[5:7])) / TICKS,
        sum(one.restarts for one in found.values()),
        max((one.started for one in found.values()), default=0.0),
        found,
    )


def _service(state: Mapping[str, Any], read: Callable[[str], bytes]) -> ServiceMetrics:
    restarts, started = int(state["restarts"]), float(state["since"])
    if not state["pid"]:
        return ServiceMetrics(0, 0, 0.0, 0, restarts, started)
    place = f"/proc/{int(state['pid'])}/cgroup"
    group = re.search(rb"^0::(/[!-~]+)$", read(place), re.MULTILINE)
    if group is None:
        raise RunError(
            "metrics-unreadable",
            "the services have no control groups of version 2",
            place=place,
            hint="Remove linuxkit.unified_cgroup_hierarchy=0 from the kernel's command line.",
        )
    folder = f"{_CONTROL_GROUPS}{group[1].decode()}"

    def number(name: str) -> int:
        return _integer(read(f"{folder}/{name}").decode(errors="replace"), f"{folder}/{name}")

    usage = _number(_fields(f"{folder}/cpu.stat", read), "usage_usec")
    return ServiceMetrics(
        number("memory.current"),
        number("memory.peak"),
        usage / 1e6,
        number("pids.current"),
        restarts,
        started,
    )


def _fields(place: str, read: Callable[[str], bytes]) -> dict[str, list[str]]:
    """A file of names with values."""
    lines = (line.split() for line in read(place).decode(errors="replace").splitlines())
    return {words[0]: words[1:] for words in lines if words}


def _number(fields: Mapping[str, list[str]], name: str) -> int:
    return _integer((fields.get(name) or [""])[0], name)


def _integer(text: str, place: str) -> int:
    if not re.fullmatch(r"\s*[0-9]{1,18}\s*", text):
        raise RunError("metrics-unreadable", "the guest's kernel says no number", place=place)
    return int(text)
